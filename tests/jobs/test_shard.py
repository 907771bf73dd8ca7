"""The shard: what was acknowledged is found, whatever happened; what is damaged is named."""

import dataclasses
import itertools
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from jobs.image import ShardError
from jobs.shard import RECORDS_PER_PART, Shard, ShardWriter, read_shard, version_of
from tests.records import ATTRIBUTES, failure, record
from tests.specs import spec


def writer(folder: Path, attempt: int = 0) -> ShardWriter:
    made = ShardWriter(folder, 3, 7, attempt, ATTRIBUTES)
    made.begin("first")
    return made


def only_shard(folder: Path) -> Shard:
    (path,) = folder.iterdir()
    return read_shard(path)


def test_an_empty_shard_is_there_before_the_first_record(tmp_path: Path) -> None:
    writer(tmp_path)
    shard = only_shard(tmp_path)
    assert len(shard.runs) == 0
    assert shard.attributes["current_run"] == "first"
    assert shard.path.name.startswith("0003-00007-0-")
    assert shard.path.name.endswith("-p00.h5")


def test_what_is_appended_is_read(tmp_path: Path) -> None:
    records = [record(spec(epochs=3), 200), failure(spec(repeat=1), "ValueError: näh"), record(spec(repeat=2, epochs=5), 355)]
    shards = writer(tmp_path)
    for item in records:
        shards.append(item, current_run="next")
    shard = only_shard(tmp_path)
    assert not shard.damaged
    assert shard.attributes["current_run"] == "next"
    assert {name: shard.attributes[name] for name in ATTRIBUTES} == ATTRIBUTES
    for row, history, correct, item in zip(shard.runs, shard.history, shard.correct, records, strict=True):
        for field in dataclasses.fields(item):
            if field.name not in ("history", "correct"):
                kept = row[field.name].decode() if isinstance(row[field.name], bytes) else row[field.name]
                np.testing.assert_equal(kept, getattr(item, field.name))
        n_epochs = item.history.shape[1]
        np.testing.assert_array_equal(history[:, :n_epochs], item.history)
        assert np.isnan(history[:, n_epochs:]).all()
        np.testing.assert_array_equal(correct[: len(item.correct)], item.correct)


def test_beginning_a_run_writes_only_what_is_new(tmp_path: Path) -> None:
    shards = writer(tmp_path)
    (path,) = tmp_path.iterdir()
    versions = [version_of(path)]
    for run_id in ("first", "second", "second"):
        shards.begin(run_id)
        versions.append(version_of(path))
    shards.append(record(spec()), current_run="third")
    versions.append(version_of(path))
    shards.begin("third")
    versions.append(version_of(path))
    assert [before == after for before, after in itertools.pairwise(versions)] == [True, False, True, False, True]
    shards.begin("fourth")
    shard = only_shard(tmp_path)
    assert (shard.attributes["current_run"], len(shard.runs)) == ("fourth", 1)


@pytest.mark.slow
def test_a_new_part_begins_when_one_is_full(tmp_path: Path) -> None:
    runs = [spec(repeat=repeat) for repeat in range(RECORDS_PER_PART + 2)]
    shards = writer(tmp_path)
    shards._records = [record(run) for run in runs[:-4]]  # each append would write all of them again
    for run in runs[-4:]:
        shards.append(record(run))
    parts = [read_shard(path) for path in sorted(tmp_path.iterdir())]
    assert [len(part.runs) for part in parts] == [RECORDS_PER_PART, 2]
    assert [int(part.attributes["part"]) for part in parts] == [0, 1]
    found = [run_id.decode() for part in parts for run_id in part.runs["run_id"]]
    assert found == [run.run_id for run in runs]


def test_two_writers_of_one_attempt_do_not_meet(tmp_path: Path) -> None:
    """A zombie and its successor: both go on, both are kept."""
    both = writer(tmp_path), writer(tmp_path)
    for repeat in range(3):
        for shards in both:
            shards.append(record(spec(repeat=repeat)))
    assert [len(read_shard(path).runs) for path in tmp_path.iterdir()] == [3, 3]


def test_the_file_describes_itself(tmp_path: Path) -> None:
    writer(tmp_path).append(record(spec()))
    (path,) = tmp_path.iterdir()
    with h5py.File(path) as file:
        assert file.attrs["schema_version"] == 1
        assert file["runs"].attrs["unit_cpu_s"] == "s"
        assert list(file["history"].attrs["quantities"]) == ["train_loss", "test_loss", "test_accuracy"]
        assert file["history"].attrs["dimensions"] == "run quantity epoch"


# Reading what is damaged


@pytest.fixture
def path(tmp_path: Path) -> Path:
    shards = writer(tmp_path)
    for repeat in range(5):
        shards.append(record(spec(repeat=repeat), 100 + repeat))
    (path,) = tmp_path.iterdir()
    return path


@pytest.mark.parametrize("content", [b"", b"not HDF5", b"\x89HDF\r\n\x1a\n" + bytes(500)])
def test_a_foreign_file_is_named(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ShardError, match=rf"{path.name}: not readable as a shard"):
        read_shard(path)


def test_a_truncated_file_is_named(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ShardError, match=path.name):
        read_shard(path)


def test_hdf5_of_another_kind_is_named(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["x"] = 1
    with pytest.raises(ShardError, match="schema version None"):
        read_shard(path)


def test_a_newer_schema_is_refused(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = 2
    with pytest.raises(ShardError, match="schema version 2, and this version of the code reads 1 to 1; update"):
        read_shard(path)


@pytest.mark.parametrize("what", ["runs", "history", "correct"])
def test_silent_bit_rot_names_the_damaged_record(path: Path, what: str) -> None:
    """One flipped bit in the raw bytes of record 3: HDF5 itself does not notice."""
    whole = read_shard(path)
    with h5py.File(path) as file:
        dataset = file[what]
        n_bytes_a_record = dataset.id.get_storage_size() // 5
        place = dataset.id.get_offset() + 3 * n_bytes_a_record + n_bytes_a_record // 2
    content = bytearray(path.read_bytes())
    content[place] ^= 0x10
    path.write_bytes(content)
    shard = read_shard(path)
    assert shard.damaged == (spec(repeat=3).run_id,)
    np.testing.assert_array_equal(shard.runs, whole.runs[[0, 1, 2, 4]])
    np.testing.assert_array_equal(shard.history, whole.history[[0, 1, 2, 4]])


def test_a_file_that_is_away_for_a_moment_is_read(path: Path) -> None:
    """As a rename on NFS looks to another machine."""
    path.rename(path.with_suffix(".away"))
    back = threading.Timer(0.05, path.with_suffix(".away").rename, [path])
    back.start()
    assert len(read_shard(path).runs) == 5
    back.join()


# Writers that die or are refused

HAMMER = """
import sys
from pathlib import Path
from jobs.shard import ShardWriter
from tests.records import ATTRIBUTES, record
from tests.specs import spec
writer = ShardWriter(Path(sys.argv[1]), 1, 0, 0, ATTRIBUTES)
writer.begin("")
for repeat in range(10_000):
    run = spec(repeat=repeat)
    writer.append(record(run))
    print(run.run_id, flush=True)  # acknowledged
"""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_killed_writer_leaves_what_it_acknowledged(tmp_path: Path, seed: int) -> None:
    root = Path(__file__).resolve().parents[2]
    hammer = subprocess.Popen([sys.executable, "-c", HAMMER, tmp_path], stdout=subprocess.PIPE, cwd=root)
    acknowledged = [hammer.stdout.readline()]  # at work
    time.sleep(random.Random(seed).uniform(0.05, 0.6))
    hammer.kill()
    acknowledged += hammer.communicate()[0].splitlines(keepends=True)
    shards = [read_shard(path) for path in tmp_path.glob("[!.]*.h5")]
    found = [run_id for shard in shards for run_id in shard.runs["run_id"]]
    whole_lines = {line.strip() for line in acknowledged if line.endswith(b"\n")}
    assert len(whole_lines) > 1
    assert whole_lines <= set(found)
    assert len(found) == len(set(found)) <= len(whole_lines) + 1
    assert not any(shard.damaged for shard in shards)


REFUSED = """
import resource, signal, sys
from pathlib import Path
from jobs.shard import NotKept, ShardWriter
from tests.records import ATTRIBUTES, record
from tests.specs import spec
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
writer = ShardWriter(Path(sys.argv[1]), 1, 0, 0, ATTRIBUTES)
writer.begin("")
unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
for repeat in range(3):
    writer.append(record(spec(repeat=repeat)))
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, unlimited[1]))
try:
    writer.append(record(spec(repeat=3)))
except NotKept as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
writer.append(record(spec(repeat=4)))
"""


def test_a_refused_append_is_an_error_and_harms_nothing(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", REFUSED, tmp_path], capture_output=True, text=True, check=True, cwd=root)
    said = r"File too large; raise the limit on the size of a file \(ulimit -f\), then submit again"
    assert re.fullmatch(rf"{tmp_path}/0001-00000-0-[0-9a-f]{{6}}-p00\.h5: {said}\n", done.stdout)
    found = [run_id.decode() for run_id in only_shard(tmp_path).runs["run_id"]]
    assert found == [spec(repeat=repeat).run_id for repeat in (0, 1, 2, 4)]


FORBIDDEN = """
import os, sys
from pathlib import Path
from jobs.shard import NotKept, ShardWriter
from tests.records import ATTRIBUTES
if not os.geteuid():
    os.setuid(65534)  # root may do everything
try:
    ShardWriter(Path(sys.argv[1]), 1, 0, 0, ATTRIBUTES).begin("")
except NotKept as error:
    print(error)
"""


def test_a_folder_that_one_may_not_write_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", FORBIDDEN, tmp_path], capture_output=True, text=True, cwd=root)
    tmp_path.chmod(0o700)
    assert done.stdout.endswith(
        "-p00.h5: Permission denied; make sure that you may read and write there, then submit again\n"
    ), done.stderr


def test_a_reader_needs_no_lock_and_leaves_none(path: Path) -> None:
    """A reader that is stopped in the middle does not keep a writer from its file."""
    program = f"import h5py, time; f = h5py.File({str(path)!r}, 'r', locking=False); print(1, flush=True); time.sleep(60)"
    reader = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    try:
        reader.stdout.readline()
        os.kill(reader.pid, signal.SIGSTOP)
        assert len(read_shard(path).runs) == 5
        with h5py.File(path, "r+"):
            pass
    finally:
        reader.kill()
        reader.communicate()
