"""The validator of RO-Crates accepts an archive: `make test-crate`."""

import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests import commands
from tests.synthetic import campaign, reliable

PROGRAMS = commands.ROOT / ".venv-crate" / "bin"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive."""
    folder = tmp_path_factory.mktemp("packed")
    some = [run for run in reliable(repeats=2, epochs=2, model_types=["mlp"]) if run.p in (0.0, 0.5)]
    made = campaign(folder / "nets", some)
    options = ("--license", "https://creativecommons.org/licenses/by/4.0/", "--author", "A. Author", "--shards")
    assert commands.call("analysis.archive", made.folder, *options).returncode == 0
    return folder / "nets.tar.gz"


@pytest.fixture
def opened(packed: Path, tmp_path: Path) -> Path:
    """The folder that it is unpacked to."""
    with tarfile.open(packed) as tar:
        tar.extractall(tmp_path)
    return tmp_path / "nets"


def issues(folder: Path, tmp_path: Path, severity: str) -> list[str]:
    """What the validator finds, the identifier of each check that failed."""
    subprocess.run([PROGRAMS / "python", Path(__file__).with_name("warm.py"), tmp_path / "cache"], check=True)
    options = ["--offline", "--cache-path", tmp_path / "cache", "--profile-identifier", "ro-crate-1.1", "--no-paging"]
    options += ["--requirement-severity", severity, "--output-format", "json", "--output-file", tmp_path / "found.json"]
    subprocess.run([PROGRAMS / "rocrate-validator", "-y", "validate", *options, folder], check=False, capture_output=True)
    return sorted({issue["check"]["identifier"] for issue in json.loads((tmp_path / "found.json").read_text())["issues"]})


def test_all_that_is_required_is_there(opened: Path, tmp_path: Path) -> None:
    assert issues(opened, tmp_path, "REQUIRED") == []


def test_of_what_is_recommended_only_publisher_and_affiliation_are_missing(opened: Path, tmp_path: Path) -> None:
    assert issues(opened, tmp_path, "RECOMMENDED") == ["ro-crate-1.1_22.3", "ro-crate-1.1_30.2", "ro-crate-1.1_30.3"]


def test_the_validator_finds_what_is_wrong(opened: Path, tmp_path: Path) -> None:
    path = opened / "ro-crate-metadata.json"
    described = json.loads(path.read_text())
    del described["@graph"][0]["license"]
    path.write_text(json.dumps(described))
    assert issues(opened, tmp_path, "REQUIRED") == ["ro-crate-1.1_8.3"]
