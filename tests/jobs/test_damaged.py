"""Whatever is named *.h5 in a shards folder: it is read, or named with what is wrong; nobody crashes.

FLIPS=1500 python -m pytest tests/jobs/test_damaged.py
"""

import os
import random
import re
import resource
import shutil
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from jobs.campaign import Campaign
from jobs.image import Body, ShardError, image, is_sealed, parse
from jobs.manifest import read_header, write_manifest
from jobs.salvage import salvage
from jobs.shard import Shard, read_shard, read_shards
from tests import commands
from tests.commands import ROOT
from tests.processes import wait_for
from tests.records import ATTRIBUTES, record, write_shard
from tests.specs import runs, spec

FLIPS = int(os.environ.get("FLIPS", "100"))
RUNS = [spec(repeat=repeat) for repeat in range(5)]
WHOLE = image(
    [record(run, 100 + run.repeat) for run in RUNS],
    {**ATTRIBUTES, "schema_version": 1, "submission": 1, "task": 0, "attempt": 0, "part": 0, "current_run": ""},
)


def edited(change: Callable[[h5py.File], None]) -> Callable[[Path], None]:
    """A damage by way of HDF5, which takes the seal away."""

    def edit(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            file.attrs.pop("attributes_crc32", None)
            change(file)

    return edit


def attribute(name: str, value: object) -> Callable[[Path], None]:
    return edited(lambda file: file.attrs.__setitem__(name, value))


def replaced(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def change_it(file: h5py.File) -> None:
        values = change(file[name][()])
        del file[name]
        file[name] = values

    return edited(change_it)


def instead(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def make_it(path: Path) -> None:
        path.unlink()
        make(path)

    return make_it


def sparse(path: Path) -> None:
    path.write_bytes(WHOLE[:8])
    os.truncate(path, 2**41)


def not_text(runs: np.ndarray) -> np.ndarray:
    """Invalid UTF-8, with the checksum that fits."""
    runs["message"][2] = b"\xff"
    return runs


Damages = dict[str, tuple[Callable[[Path], object], str]]  # what was done -> how; part of the answer
_OF_FILES: Damages = {
    "empty": (lambda path: path.write_bytes(b""), "not HDF5: it begins with b''"),
    "text": (lambda path: path.write_bytes(b"not HDF5\n"), "not HDF5: it begins with b'not HDF5'"),
    "a pickle": (lambda path: path.write_bytes(b"cos\nsystem\n(S'touch owned'\ntR."), "not HDF5"),
    "HDF5's signature, then zeros": (lambda path: path.write_bytes(WHOLE[:8] + bytes(5000)), "not readable as a shard"),
    "cut to the signature": (lambda path: os.truncate(path, 8), "not readable as a shard"),
    "cut in the first block": (lambda path: os.truncate(path, 50), "not readable as a shard"),
    "cut in the middle": (lambda path: os.truncate(path, len(WHOLE) // 2), "not readable as a shard"),
    "cut by 100 bytes": (lambda path: os.truncate(path, len(WHOLE) - 100), "not readable as a shard"),
    "a hole of zeros": (lambda path: path.write_bytes(WHOLE[:512] + bytes(4096) + WHOLE[4608:]), "not readable as a shard"),
    "a pipe": (instead(os.mkfifo), "not a regular file"),
    "a folder": (instead(Path.mkdir), "not a regular file"),
    "a link to nowhere": (instead(lambda path: path.symlink_to("nowhere")), "No such file or directory"),
    "a link to itself": (instead(lambda path: path.symlink_to(path.name)), "symbolic links"),
    "a device": (instead(lambda path: path.symlink_to("/dev/zero")), "not a regular file"),
    "2 TB of nothing": (sparse, "not a file of at most 1,000,000,000 bytes"),
}
OF_CONTENT: Damages = {  # HDF5 itself is intact
    "a newer schema": (attribute("schema_version", 2), "schema version 2, and this version of the code reads 1 to 1; update"),
    "no schema": (edited(lambda file: file.attrs.pop("schema_version")), "schema version None"),
    "no campaign": (edited(lambda file: file.attrs.pop("campaign")), "missing or of another kind: 'campaign'"),
    "no run at hand": (edited(lambda file: file.attrs.pop("current_run")), "another kind: 'current_run'"),
    "submission: text": (attribute("submission", "x"), "another kind: 'submission'"),
    "task: a fraction": (attribute("task", 0.5), "another kind: 'task'"),
    "current_run: bytes": (attribute("current_run", np.bytes_(b"abc")), "another kind: 'current_run'"),
    "current_run: a list": (attribute("current_run", ["a", "b"]), "another kind: 'current_run'"),
    "host: a table": (attribute("host", np.eye(2)), "another kind: 'host'"),
    "no runs": (edited(lambda file: file.pop("runs")), "not readable as a shard (KeyError"),
    "runs: a group": (edited(lambda file: (file.pop("runs"), file.create_group("runs"))), "not readable as a shard"),
    "runs: numbers": (replaced("runs", lambda runs: np.arange(5)), "runs: columns missing or of another kind"),
    "runs without a column": (
        replaced("runs", lambda runs: runs[[name for name in runs.dtype.names if name != "cpu_s"]].copy()),
        "runs: columns missing or of another kind",
    ),
    "runs with big-endian numbers": (
        replaced("runs", lambda runs: runs.astype([(n, runs.dtype[n].newbyteorder(">")) for n in runs.dtype.names])),
        "runs: columns missing or of another kind",
    ),
    "one run fewer": (replaced("runs", lambda runs: runs[1:]), "runs (4,), history (5, 3, 2), correct (5, 45)"),
    "history of rank 2": (replaced("history", lambda history: history[0]), "history: columns missing or of another kind"),
    "history of two quantities": (replaced("history", lambda h: h[:, :2].copy()), "history (5, 2, 2)"),
    "correct of rank 1": (replaced("correct", lambda correct: correct[0]), "correct: columns missing or of another kind"),
    "correct: signed": (replaced("correct", lambda c: c.astype("i1")), "correct: columns missing or of another kind"),
}
DAMAGES = _OF_FILES | OF_CONTENT
SOME = ("empty", "cut in the middle", "a pipe", "a folder", "a link to nowhere", "submission: text")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "0001-00000-0-aaaaaa-p00.h5").write_bytes(WHOLE)
    return tmp_path / "0001-00000-0-aaaaaa-p00.h5"


@pytest.mark.parametrize("name", [*_OF_FILES, "submission: text"])
def test_a_damaged_shard_is_named(name: str, path: Path) -> None:
    damage, answer = DAMAGES[name]
    damage(path)
    with pytest.raises(ShardError) as error:
        read_shard(path)
    assert str(error.value).startswith(f"{path}: ")
    assert answer in str(error.value)
    assert str(error.value).isprintable()


@pytest.mark.parametrize("name", OF_CONTENT)
def test_damaged_content_is_named(name: str, path: Path) -> None:
    """What the other process says, said in this one: HDF5 does not hang or crash on these."""
    damage, answer = DAMAGES[name]
    damage(path)
    with pytest.raises(ShardError) as error:
        salvage(path.read_bytes())
    assert answer in str(error.value)
    assert str(error.value).isprintable()


def test_text_that_is_none_is_found_though_its_checksum_is_right(path: Path) -> None:
    wrong = record(RUNS[0], message="x")
    content = image([wrong], {**parse(WHOLE)[0]})
    assert read_after(path, content).runs["message"][0] == b"x"
    with h5py.File(path, "r+") as file:
        runs, history, correct = (file[name][()] for name in ("runs", "history", "correct"))
        runs["message"] = b"\xff"
        for row, rest in enumerate(zip(history, correct, strict=True)):
            runs["crc32"][row] = zlib.crc32(runs[row].tobytes()[:-4] + b"".join(part.tobytes() for part in rest))
        file["runs"][...] = runs
    with pytest.raises(ShardError, match=r"0001-00000-0-aaaaaa-p00\.h5: not readable as a shard \(UnicodeDecodeError"):
        read_shard(path)


def read_after(path: Path, content: bytes) -> Shard:
    path.write_bytes(content)
    return read_shard(path)


def test_a_message_that_is_no_text_is_kept(path: Path) -> None:
    shard = read_after(path, image([record(RUNS[0], message="no file a\udcff")], {**parse(WHOLE)[0]}))
    assert shard.runs["message"][0] == rb"no file a\udcff"


@pytest.mark.slow
def test_every_truncation_is_found(path: Path) -> None:
    """Every length: HDF5 never sees them, since no file that is shorter is sealed; some of them are read all the way."""
    assert is_sealed(WHOLE)
    assert not any(is_sealed(WHOLE[:length]) for length in range(len(WHOLE)))
    for length in random.Random(1).sample(range(len(WHOLE) - 15), 1):
        with pytest.raises(ShardError, match=r"p00\.h5: not readable as a shard"):
            read_after(path, WHOLE[:length])
    for length in (len(WHOLE) - 15, len(WHOLE) - 1):  # of the seal alone: all data are there
        assert len(read_after(path, WHOLE[:length]).runs) == 5


@pytest.mark.slow
def test_no_flipped_bit_does_harm() -> None:
    """In a small process: this one takes long to fork."""
    program = "from tests.jobs.test_damaged import flip_bits; flip_bits()"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def flip_bits() -> None:
    """The seal finds each; what is then read in a process that may crash is right, or is not believed."""
    whole, verdicts = parse(WHOLE), Counter[str]()
    for bit in random.Random(FLIPS).sample(range(8 * len(WHOLE)), FLIPS):
        content = bytearray(WHOLE)
        content[bit // 8] ^= 1 << bit % 8
        assert not is_sealed(bytes(content)), bit
        verdict = in_a_child(lambda content=bytes(content): judge(content, whole))
        verdicts[verdict] += 1
        if verdict == VERDICTS[-1]:
            print(f"HDF5 hangs or crashes with bit {bit} flipped")
        assert verdict != "harm", bit
    print(f"{FLIPS} flips of {8 * len(WHOLE)} bits: {dict(verdicts)}")
    assert verdicts["a record is named"] > FLIPS // 20
    assert verdicts["the file is named"] > FLIPS // 20


def judge(content: bytes, whole: Body) -> str:
    try:
        attributes, *arrays, intact = parse(content)
    except ShardError:
        return "the file is named"
    is_right = len(intact) == len(RUNS) and whole[0].items() <= attributes.items()
    if not is_right or any(a[intact].tobytes() != b[intact].tobytes() for a, b in zip(arrays, whole[1:4], strict=True)):
        return "harm"
    return "harmless" if intact.all() else "a record is named"


VERDICTS = ("the file is named", "a record is named", "harmless", "harm", "HDF5 hangs or crashes")


def in_a_child(judge: Callable[[], str]) -> str:
    """A verdict that a fork of this process comes to, within a second."""
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_CPU, (1, 1))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.close(2)  # HDF5 and libc tell of a crash there
        verdict = VERDICTS.index("harm")
        try:
            verdict = VERDICTS.index(judge())
        finally:
            os._exit(verdict)
    status = os.waitpid(child, 0)[1]
    return VERDICTS[os.WEXITSTATUS(status)] if os.WIFEXITED(status) else VERDICTS[-1]


def test_what_is_read_has_dtypes_of_numpy_alone() -> None:
    """h5py adds notes to those of texts. Some versions of numpy cannot read again what they saved of such an array."""
    runs = parse(WHOLE)[1]
    assert not [name for name in runs.dtype.names if runs.dtype[name].metadata]


@pytest.mark.parametrize("said", ["welcome", "PK\3\4", ""])
def test_an_answer_of_the_other_process_that_cannot_be_read_is_named(
    said: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the Python of a cluster greets its users, and ends early."""
    (path.parent / "sitecustomize.py").write_text(f"import os; os.write(1, {said.encode()!r}); os._exit(0)")
    monkeypatch.setenv("PYTHONPATH", str(path.parent))
    with pytest.raises(ShardError, match=r"p00\.h5: not readable as a shard \([A-Za-z]+: "):
        read_after(path, WHOLE[:-1])


@pytest.mark.parametrize("dataset", ["runs", "history", "correct"])
def test_the_whole_way_of_a_flipped_bit(dataset: str, path: Path) -> None:
    with h5py.File(path) as file:
        place = file[dataset].id.get_offset() + file[dataset].id.get_storage_size() // 2
    content = bytearray(WHOLE)
    content[place] ^= 1
    shard = read_after(path, bytes(content))
    assert shard.damaged == (RUNS[2].run_id,)
    assert [run_id.decode() for run_id in shard.runs["run_id"]] == [run.run_id for run in RUNS if run.repeat != 2]


@pytest.mark.slow
def test_a_file_on_which_hdf5_hangs_is_answered(tmp_path: Path) -> None:
    """One of the flips that FLIPS=1500 finds. Its reader's child ends at a limit of CPU time; the reader itself does not hang.

    The limit is 2 s here, since a lower limit that is already set stays (`test_who_reads_a_damaged_file_has_limits`).
    """
    path = shutil.copy(ROOT / "tests/jobs/hangs_hdf5.h5", tmp_path / "0001-00000-0-aaaaaa-p00.h5")
    program = (
        "import pathlib, resource, sys; from jobs.shard import ShardError, read_shard\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (2, 2))\n"
        "try: print(len(read_shard(pathlib.Path(sys.argv[1])).damaged))\n"
        "except ShardError as error: print(error)"
    )
    command = [sys.executable, "-c", program, path]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=90, check=True).stdout
    assert "p00.h5: not readable as a shard (damaged: HDF5 hangs or crashes, status -9)" in said or int(said) <= 1


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells of limits")
def test_who_reads_a_damaged_file_has_limits() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "jobs.salvage"], cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        limits = Path(f"/proc/{child.pid}/limits")
        wait_for(lambda: re.search(r"Max core file size +0 +0 ", limits.read_text()))  # set last
        assert re.search(r"Max cpu time +5 +5 ", limits.read_text())
        assert re.search(r"Max address space +4000000000 +4000000000 ", limits.read_text())
        assert b"not readable as a shard" in child.communicate(b"")[1]


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    """A run done, among shards of which nothing can be used."""
    made = Campaign(tmp_path / "campaign")
    made.folder.mkdir()
    header = write_manifest(made.manifest, runs(*RUNS), "abc")
    write_shard(made.shards, 0, [record(RUNS[0])], campaign=header.campaign)
    write_shard(made.shards, 99, [record(RUNS[1])], campaign="another")
    made.submissions.mkdir()
    for i, name in enumerate(SOME, start=100):
        path = made.shards / f"0001-{i:05d}-0-aaaaaa-p00.h5"
        path.write_bytes(WHOLE)
        DAMAGES[name][0](path)
    return made


@pytest.mark.slow
def test_every_reader_survives(campaign: Campaign, digits_dir: Path) -> None:
    n_wrong = len(SOME) + 1
    its_id = read_header(campaign.manifest).campaign
    assert sum(isinstance(shard, str) for shard in read_shards(campaign.shard_paths(), its_id)) == n_wrong
    reported = commands.call("analysis.report", "--no-figures", "--output-dir", campaign.folder)
    assert reported.returncode == 1
    assert reported.stderr.count("problem: ") == n_wrong
    assert "1 of 5 runs done, 4 missing, 0 failed" in reported.stdout
    status = commands.call("hpc.status", "--output-dir", campaign.folder)
    assert status.returncode == 1
    assert status.stderr.count("warning: ") == n_wrong
    grid = campaign.folder / "grid.yaml"
    grid.write_text("{dataset: digits, activations: [relu], ps: [0.3], epochs: 2, hidden_sizes: [32]}")
    submitted = commands.submit(grid, campaign.folder, digits_dir, "--dry-run")
    assert submitted.returncode == 0, submitted.stderr
    assert "4 to run; 1 of the grid's 5 are done" in submitted.stdout
    for said in (reported, status, submitted):
        assert "Traceback" not in said.stderr
