"""The programs that the laboratory watches: `python -m tests.crash.writers project|naive FOLDER APPENDS RECORDS_PER_PART`.

Each appends APPENDS records to a shard in FOLDER and prints the run_id of each at the moment at which it counts as kept.
"""

import os
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

import jobs.shard
from jobs.image import Record
from jobs.shard import ShardWriter, read_shard
from tests.records import ATTRIBUTES, failure, record
from tests.specs import spec


def records(n: int) -> list[Record]:
    """Always the same: 15 to 20 epochs, 10,000 test images; the second one is a failure, without history and bits."""
    random = np.random.default_rng(1)
    made = [
        record(run, history=random.random((3, run.epochs)), correct=random.integers(0, 256, 1250, np.uint8), n_test=10_000)
        for run in (spec(repeat=repeat, epochs=15 + repeat % 6) for repeat in range(n))
    ]
    return [*made[:1], failure(spec(repeat=1, epochs=16)), *made[2:]]


def project(folder: Path, to_write: list[Record], records_per_part: int) -> None:
    """What a task does, but with smaller parts."""
    jobs.shard.RECORDS_PER_PART = records_per_part
    writer = ShardWriter(folder, 1, 0, 0, ATTRIBUTES)
    following = [*(item.run_id for item in to_write[1:]), ""]
    writer.begin(to_write[0].run_id)
    for item, next_run in zip(to_write, following, strict=True):
        writer.append(item, current_run=next_run)
        _acknowledge(item)


def naive(folder: Path, to_write: list[Record]) -> None:
    """The same datasets, appended to in place with h5py, each time opened and closed; nothing is synced."""
    with tempfile.TemporaryDirectory() as elsewhere:
        whole = ShardWriter(Path(elsewhere), 1, 0, 0, ATTRIBUTES)
        for item in to_write:
            whole.append(item)
        shard = read_shard(next(Path(elsewhere).iterdir()))
    arrays = {"runs": shard.runs, "history": shard.history, "correct": shard.correct}
    path = folder / "0001-00000-0-000000-p00.h5"
    with h5py.File(path, "w") as file:
        file.attrs.update(shard.attributes)
        for name, array in arrays.items():
            file.create_dataset(
                name, (0, *array.shape[1:]), array.dtype, maxshape=(None, *array.shape[1:]), chunks=(4, *array.shape[1:])
            )
    for index, item in enumerate(to_write):
        with h5py.File(path, "r+") as file:
            for name, array in arrays.items():
                file[name].resize(index + 1, axis=0)
                file[name][index] = array[index]
        _acknowledge(item)


def _acknowledge(item: Record) -> None:
    os.write(1, item.run_id.encode() + b"\n")


if __name__ == "__main__":
    folder, to_write, records_per_part = Path(sys.argv[2]), records(int(sys.argv[3])), int(sys.argv[4])
    if sys.argv[1] == "project":
        project(folder, to_write, records_per_part)
    else:
        naive(folder, to_write)
