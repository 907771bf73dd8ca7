"""The house keeps its order: imports run one way, heavy libraries stay in their rooms, dependencies are declared once."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "noisy": {"noisy"},
    "jobs": {"noisy", "jobs"},
    "hpc": {"noisy", "jobs", "hpc"},
    "analysis": {"noisy", "jobs", "analysis"},
}


def imported(path: Path) -> set[str]:
    """Full names of all modules that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def sources(room: str) -> list[Path]:
    found = sorted((ROOT / room).rglob("*.py"))
    assert found
    return found


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_run_one_way(room: str) -> None:
    rooms = {*MAY_IMPORT, "tests", "benchmarks"}
    for path in sources(room):
        wrong = {name for name in imported(path) if name.split(".")[0] in rooms - MAY_IMPORT[room]}
        assert not wrong, f"{path}: {wrong}"


@pytest.mark.parametrize(
    ("room", "forbidden"),
    [
        ("hpc", {"torch", "torchvision", "pandas", "matplotlib"}),
        ("analysis", {"torch", "torchvision", "submitit"}),
        ("noisy", {"h5py", "yaml", "argparse", "pandas"}),
    ],
)
def test_libraries_stay_in_their_rooms(room: str, forbidden: set[str]) -> None:
    for path in sources(room):
        assert not {name.split(".")[0] for name in imported(path)} & forbidden, path


def test_yaml_is_read_in_one_file() -> None:
    readers = [path.name for room in MAY_IMPORT for path in sources(room) if "yaml" in imported(path)]
    assert readers == ["checks.py"]


@pytest.mark.parametrize("module", ["hpc.submit", "analysis.report", "jobs.task", "jobs.pool"])
def test_commands_start_without_torch(module: str) -> None:
    """In fact, not only by their own imports: a login node and a laptop must not pay for torch."""
    program = f"import sys, {module}; print(sorted({{'torch', 'torchvision', 'sklearn'}} & set(sys.modules)))"
    printed = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert printed == "[]\n"


def requirements(lines: list[str]) -> dict[str, str]:
    """name -> version bounds."""
    parsed = [re.fullmatch(r"([A-Za-z0-9-]+)(.*)", line.replace(" ", "")) for line in lines]
    return {match[1].lower().replace("pytorch-cpu", "torch"): match[2] for match in parsed if match}


def test_environment_yml_is_in_step_with_pyproject() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    listed = re.findall(r"^(?:dependencies|dev) = \[\n(.*?)^\]", text, re.DOTALL | re.MULTILINE)
    assert len(listed) == 2
    declared = requirements(re.findall(r'^ +"([^"]+)"', "\n".join(listed), re.MULTILINE))
    declared["python"] = re.search(r'requires-python = "(.*)"', text)[1]
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert requirements(conda) == declared | {"jupyter": ""}
