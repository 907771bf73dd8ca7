"""An archive holds everything, in equal bytes, and its check finds what was changed afterwards."""

import gzip
import itertools
import json
import re
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from rocrate.rocrate import ROCrate

from analysis.checked import _is_close
from analysis.packing import _beside
from jobs.archived import SUMS, sums
from jobs.campaign import Campaign
from jobs.files import publish
from jobs.image import SEAL, is_file_sealed
from jobs.manifest import read_manifest, write_manifest
from jobs.reading import crc32_of
from jobs.shard import ShardWriter
from tests import commands
from tests.records import ATTRIBUTES, failure, record, write_shard
from tests.specs import runs, spec
from tests.synthetic import _record, campaign, reliable

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    """Six runs with invented results."""
    some = [run for run in reliable(repeats=3, epochs=1, model_types=["mlp"]) if run.p == 0.5 and run.activation != "sigmoid"]
    return campaign(tmp_path_factory.mktemp("made") / "nets 1", some, a_shard=2)


@pytest.fixture(scope="module")
def packed(made: Campaign) -> Path:
    """The archive of it, with its shards."""
    answer = commands.call("analysis.archive", "--output-dir", made.folder, "--shards", "--author", "A. Author")
    assert answer.returncode == 0, answer.stderr
    return made.folder.with_name("nets 1.tar.gz")


@pytest.fixture
def opened(packed: Path, tmp_path: Path) -> Path:
    """The folder that it is unpacked to, by another program."""
    subprocess.run(["tar", "--extract", "--file", packed, "--directory", tmp_path], check=True)
    return tmp_path / "nets_1"


def check(path: Path) -> subprocess.CompletedProcess:
    return commands.call("analysis.archive", "--check", path)


def test_an_archive_is_compared_packed_and_unpacked(made: Campaign, packed: Path, opened: Path, tmp_path: Path) -> None:
    for path in (packed, opened):
        answer = commands.call("analysis.compare", made.folder, path, "--to", tmp_path / "out")
        assert answer.returncode == 0, answer.stderr
        assert f"B          {path}: 6 finished runs\n" in answer.stdout
    with (opened / "results_per_run.csv").open("a") as file:
        file.write("\n")
    refused = commands.call("analysis.compare", made.folder, opened, "--to", tmp_path / "none")
    assert refused.returncode == 2 and not (tmp_path / "none").exists()
    assert refused.stderr == f"error: B: {opened}: 1 file is not as packed; see noisy archive --check {opened}\n"


def test_an_archive_lies_beside_its_folder(made: Campaign, packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made.folder.parent)
    assert _beside(Path("nets 1")) == Path("nets 1.tar.gz")
    assert _beside(made.folder) == packed
    monkeypatch.chdir(made.folder)
    assert _beside(Path()) == _beside(Path("shards/..")) == packed


def test_an_archive_is_checked_packed_and_unpacked(packed: Path, opened: Path) -> None:
    for path in (packed, opened):
        answer = check(path)
        assert answer.returncode == 0, answer.stderr
        assert answer.stdout.count("made again, equal in every byte") == 3
        assert re.search(r"^shards +3 files, read again$", answer.stdout, re.MULTILINE)
    assert subprocess.run(["sha256sum", "--check", "--quiet", SUMS], cwd=opened, check=False).returncode == 0


def test_everything_is_in_it_and_nothing_in_the_campaign_has_changed(made: Campaign, opened: Path) -> None:
    names = {path.name for path in opened.iterdir()}
    assert names == {
        "README.md", "report.html", "results_per_run.csv", "results_summary.csv", "comparisons.csv", "results.h5", "methods.md",
        "grid.yaml", "manifest.jsonl", "archive.json", "requirements.txt", "ro-crate-metadata.json", SUMS, "figures", "shards",
    }  # fmt: skip
    assert {path.name for path in made.folder.iterdir()} == {"grid.yaml", "manifest.jsonl", "shards"}
    assert (opened / "grid.yaml").read_bytes() == made.grid.read_bytes()
    assert {path.suffix for path in (opened / "figures").iterdir()} == {".pdf", ".png", ".svg", ".csv"}
    assert "numpy==" in (opened / "requirements.txt").read_text()
    assert len(pd.read_csv(opened / "results_per_run.csv")) == 6
    readme = (opened / "README.md").read_text()
    assert "6 of 6" in readme
    assert "* commit abc" in readme
    assert all(f"`{name}" in readme for name in names)


def test_it_is_the_same_in_every_byte_also_after_a_report_and_elsewhere(
    packed: Path, made: Campaign, opened: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "elsewhere" / made.folder.name
    shutil.copytree(made.folder, folder, copy_function=shutil.copy2)
    assert commands.call("analysis.report", "--no-figures", "--output-dir", folder).returncode == 0
    shutil.copytree(opened / "figures", folder / "figures")
    for name in ("report.html", "methods.md"):
        shutil.copy(opened / name, folder / name)
    options = ("--output-dir", folder, "--shards", "--author", "A. Author", "--to", tmp_path / "again.tgz")
    assert commands.call("analysis.archive", *options).returncode == 0
    assert (tmp_path / "again.tgz").read_bytes() == packed.read_bytes()


def test_nothing_of_this_machine_and_moment_is_in_it(packed: Path) -> None:
    with tarfile.open(packed) as tar:
        members = tar.getmembers()
    assert {(one.uid, one.gid, one.uname, one.gname, one.mode, one.mtime) for one in members} == {
        (0, 0, "", "", 0o644, members[0].mtime)
    }
    assert [one.name for one in members] == sorted(one.name for one in members)
    assert str(packed.parent).encode() not in gzip.decompress(packed.read_bytes())


def test_its_metadata_are_read_by_the_library(opened: Path) -> None:
    crate = ROCrate(opened)
    files = {path.relative_to(opened).as_posix() for path in opened.rglob("*") if path.is_file()}
    assert {entity.id for entity in crate.data_entities} | {SUMS, "ro-crate-metadata.json"} == files
    assert crate.root_dataset["author"]["name"] == "A. Author"
    assert "ask the authors" in crate.root_dataset["license"]
    described = json.loads((opened / "ro-crate-metadata.json").read_text())
    assert described["@context"] == "https://w3id.org/ro/crate/1.1/context"


def rewritten(path: Path, change: Callable[[h5py.File], object]) -> None:
    """Change a results.h5 and seal it again: what checksums cannot notice."""
    content = path.read_bytes()
    path.write_bytes(content[: -len(SEAL % 0)])
    with h5py.File(path, "r+") as h5:
        change(h5)
    with path.open("r+b") as file:
        file.seek(0)
        file.write(SEAL % crc32_of(file))
    assert is_file_sealed(path)


def worse(h5: h5py.File) -> None:
    h5["test_accuracy"][3] = 0.5


def csv_changed(folder: Path, name: str, column: str) -> None:
    table = pd.read_csv(folder / name)
    table.loc[0, column] += 0.001
    table.to_csv(folder / name, index=False)


FORGED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a run": (lambda folder: csv_changed(folder, "results_per_run.csv", "test_accuracy"), "results_per_run.csv: differs"),
    "a mean": (lambda folder: csv_changed(folder, "results_summary.csv", "mean_test_accuracy"), "in mean_test_accuracy"),
    "a difference": (lambda folder: csv_changed(folder, "comparisons.csv", "mean_difference"), "comparisons.csv: differs"),
    "a row": (lambda folder: pd.read_csv(folder / "comparisons.csv")[1:].to_csv(folder / "comparisons.csv"), "made again,"),
    "results.h5": (lambda folder: rewritten(folder / "results.h5", worse), "its column test_accuracy is not what"),
    "a shard gone": (lambda folder: next((folder / "shards").iterdir()).unlink(), "they do not say what results.h5 says"),
    "another manifest": (lambda folder: (folder / "manifest.jsonl").write_text("{}"), "manifest.jsonl"),
}


@pytest.mark.parametrize("name", FORGED)
def test_what_was_changed_with_new_digests_is_found_by_making_it_again(name: str, opened: Path) -> None:
    change, said = FORGED[name]
    change(opened)
    (opened / SUMS).write_bytes(sums(opened))
    answer = check(opened)
    assert answer.returncode == 1
    assert said in answer.stderr


def test_what_was_changed_without_new_digests_is_named(opened: Path) -> None:
    (opened / "report.html").write_text("all is well")
    answer = check(opened)
    assert answer.returncode == 1
    assert answer.stderr == "problem: report.html: differs from its SHA-256\n"


@pytest.mark.parametrize("text", ["{}", "no", "[]", '{"schema": 99}'])
def test_an_archive_that_says_nonsense_of_itself_is_refused(text: str, opened: Path) -> None:
    (opened / "archive.json").write_text(text)
    answer = check(opened)
    assert answer.returncode == 2
    assert "archive.json: cannot be used" in answer.stderr


def test_an_archive_of_a_campaign_at_work_can_be_checked_and_says_that_more_was_written(tmp_path: Path) -> None:
    some = reliable(repeats=4, epochs=1, model_types=["mlp"])[:4]
    made = campaign(tmp_path / "nets", some, is_done=lambda place: place < 3, a_shard=1)
    writer = ShardWriter(made.shards, 2, 0, 0, ATTRIBUTES | {"campaign": read_manifest(made.manifest).header.campaign})
    writer.append(_record(some[3], np.random.default_rng(3)))
    has_ended, n_written = threading.Event(), itertools.count()

    def work() -> None:
        while not has_ended.wait(0.005):
            writer.begin(some[next(n_written) % 3].run_id)  # replaces the shard by one that is as long

    worker = threading.Thread(target=work)
    worker.start()
    try:
        answer = commands.call("analysis.archive", "--output-dir", made.folder, "--shards")
    finally:
        has_ended.set()
        worker.join()
    assert next(n_written) > 20
    assert (answer.returncode, "files were written while the report was made" in answer.stderr) == (1, True)
    checked = check(tmp_path / "nets.tar.gz")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert re.search(r"^shards +4 files, read again$", checked.stdout, re.MULTILINE)


def test_failed_and_missing_runs_are_said(tmp_path: Path) -> None:
    """Some systems do not allow the name of this folder, so it is not that of the folder in the archive."""
    made = Campaign(tmp_path / "aux $(id)" / "aux")
    made.folder.mkdir(parents=True)
    packed = made.folder.with_name("aux.tar.gz")
    publish(made.grid, b"dataset: digits\n")
    all_runs = [spec(repeat=repeat, epochs=1) for repeat in range(3)]
    write_manifest(made.manifest, runs(*all_runs), "abc", campaign="c0ffee")
    answer = commands.call("analysis.archive", "--output-dir", made.folder)
    assert (answer.returncode, "no run is finished" in answer.stderr) == (2, True)
    write_shard(made.shards, 0, [record(all_runs[0]), failure(all_runs[1])])
    answer = commands.call("analysis.archive", "--output-dir", made.folder)
    assert answer.returncode == 1
    assert "1 of 3 trainings" in answer.stdout and f" --check '{packed}'\n" in answer.stdout
    assert check(packed).returncode == 0
    with tarfile.open(packed) as tar:
        assert {name.split("/")[0] for name in tar.getnames()} == {"campaign_aux"}
    (path,) = made.shard_paths()
    assert commands.call("analysis.report", "--no-figures", "--output-dir", made.folder).returncode == 1
    path.unlink()
    before = (packed).read_bytes()
    answer = commands.call("analysis.archive", "--output-dir", made.folder)
    assert (answer.returncode, "can no longer be read from the shards" in answer.stderr) == (1, True)
    assert (packed).read_bytes() == before


BAD = (
    (("--output-dir", "nowhere"), "nowhere"),
    (("--check", "nowhere.tar.gz"), "nowhere.tar.gz: cannot be used as an archive"),
    (("--check", "x.tar.gz", "--shards"), "--check: not possible together"),
    (("--output-dir", "CAMPAIGN", "--to", "/"), "allowed: the name of a file"),
    (("--output-dir", "CAMPAIGN", "--to", "/no/where/x.tar.gz"), "allowed: the name of a file"),
    (("--output-dir", "CAMPAIGN", "--to", "CAMPAIGN/manifest.jsonl"), "with .tar.gz or .tgz at its end"),
    (("--output-dir", "CAMPAIGN", "--reference", "gelu"), "not an activation of this campaign"),
)


@pytest.mark.parametrize(("options", "said"), BAD)
def test_bad_input_is_answered_in_words(options: tuple[str, ...], said: str, made: Campaign) -> None:
    answer = commands.call("analysis.archive", *(one.replace("CAMPAIGN", str(made.folder)) for one in options))
    assert answer.returncode == 2
    assert said in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not list(made.folder.parent.glob(".noisy*"))


def test_numbers_are_close_up_to_the_last_digits() -> None:
    a = pd.Series([0.1, np.nan, 3.0])
    assert _is_close(a, a * (1 + 1e-12))
    assert not _is_close(a, a + 1e-6)
    assert not _is_close(a, pd.Series([0.1, 2.0, 3.0]))
    assert not _is_close(pd.Series(["x", None]), pd.Series(["y", None]))
    assert _is_close(pd.Series(["x", None]), pd.Series(["x", np.nan]))
