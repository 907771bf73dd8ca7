"""What is declared of versions agrees, in pyproject.toml, the lock, requirements-report.txt, CITATION.cff and apptainer.def."""

import re
import subprocess
import sys

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from tests.commands import ROOT
from tests.test_house import MAY_IMPORT, imported, sources

PYPROJECT = (ROOT / "pyproject.toml").read_text()
(LISTED,) = re.findall(r"^dependencies = \[\n(.*?)^\]", PYPROJECT, re.DOTALL | re.MULTILINE)
DECLARED = {one.name: one for one in map(Requirement, re.findall(r'^ +"([^"]+)"', LISTED, re.MULTILINE))}
LOCK = (ROOT / "requirements.lock").read_text()
MODULES = {"jinja2": "jinja2", "pyyaml": "yaml", "scikit-learn": "sklearn"}  # distribution -> module, where they differ


def lines(name: str) -> list[Requirement]:
    text = (ROOT / name).read_text()
    return [Requirement(line) for line in text.splitlines() if line and not line.startswith("#")]


def test_the_lock_has_a_version_of_every_dependency_that_is_allowed() -> None:
    locked = lines("requirements.lock")
    assert {one.name for one in locked} >= DECLARED.keys()
    for one in locked:
        (version,) = re.findall(r"^==(\S+)$", str(one.specifier))
        assert one.name not in DECLARED or DECLARED[one.name].specifier.contains(Version(version)), one


def test_the_lock_names_no_place() -> None:
    assert not re.search(r"https?:|file:|//|--(index|find)|/(tmp|home|root|opt|usr)\b", LOCK)


def test_what_a_report_needs_is_a_part_of_the_dependencies_with_the_same_bounds() -> None:
    needed = {one.name: one for one in lines("requirements-report.txt")}
    assert needed.items() <= DECLARED.items()
    modules = {MODULES.get(name, name): name for name in DECLARED}
    imports = {name.split(".")[0] for path in sources("analysis") for name in imported(path)}
    assert {modules[name] for name in imports & modules.keys()} <= needed.keys()


@pytest.mark.slow
def test_the_commands_of_a_laptop_load_nothing_else() -> None:
    """In fact: with all that the rooms below import."""
    commands = [f"analysis.{name}" for name in ("making", "campaigns", "packing", "checked", "crate", "merging")]
    program = f"import importlib, sys\nfor name in {commands}: importlib.import_module(name)\nprint(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    modules = {MODULES.get(name, name) for name in DECLARED} & set(loaded)
    assert modules == {MODULES.get(one.name, one.name) for one in lines("requirements-report.txt")}


def test_the_citation_names_this_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= cited.keys()
    assert (cited["title"], cited["version"]) == tuple(re.findall(r'^(?:name|version) = "(.*)"', PYPROJECT, re.MULTILINE))


def test_the_container_copies_files_that_there_are() -> None:
    recipe = (ROOT / "apptainer.def").read_text()
    (section,) = re.findall(r"^%files\n(.*?)\n\n", recipe, re.DOTALL | re.MULTILINE)
    copied = dict(line.split() for line in section.splitlines())
    assert copied == {name: f"/opt/noisy-training/{name}" for name in copied}
    assert {"pyproject.toml", "README.md", "requirements.lock", *MAY_IMPORT} == copied.keys()
