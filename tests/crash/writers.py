"""The programs that the laboratory watches: `python -m tests.crash.writers project|naive FOLDER APPENDS RECORDS_PER_PART`.

Each makes a new campaign two folders below FOLDER and appends APPENDS records to a shard of it. It prints what counts as
kept, at the moment at which it does: `manifest`, `submission`, and the run_id of each record; the naive one has records alone.
"""

import os
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

import jobs.shard
from hpc.request.prepare import begin
from hpc.state import submissions
from hpc.state.submissions import Submission
from jobs.campaign import Campaign
from jobs.image import Record
from jobs.process import Process
from jobs.shard import ShardWriter, read_shard
from jobs.taskfile import Task
from noisy.runs import Runs
from noisy.spec import Execution, RunSpec
from tests.records import ATTRIBUTES, failure, record
from tests.specs import spec


def campaign_in(folder: Path) -> Campaign:
    """Where each writer makes its campaign."""
    return Campaign(folder / "results" / "new")


def specs(n: int) -> list[RunSpec]:
    """The runs of `records`."""
    return [spec(repeat=repeat, epochs=15 + repeat % 6) for repeat in range(n)]


def records(n: int) -> list[Record]:
    """Always the same: 15 to 20 epochs, 10,000 test images; the second one is a failure, without history and bits."""
    random = np.random.default_rng(1)
    made = [
        record(run, history=random.random((3, run.epochs)), correct=random.integers(0, 256, 1250, np.uint8), n_test=10_000)
        for run in specs(n)
    ]
    return [*made[:1], failure(spec(repeat=1, epochs=16)), *made[2:]]


def project(folder: Path, to_write: list[Record], records_per_part: int) -> None:
    """What a submit does, and then a task, but with smaller parts."""
    jobs.shard.RECORDS_PER_PART = records_per_part
    campaign, runs = campaign_in(folder), Runs.of(specs(len(to_write)))
    its_id = begin(campaign, "", runs).campaign
    _acknowledge("manifest")
    submission = Submission(1, its_id, submissions.now(), "local", 1, len(runs), 1, Process.current())
    submissions.claim(campaign, submission, [Task(0, its_id, "abc", "/data", Execution(), runs)])
    _acknowledge("submission")
    writer = ShardWriter(campaign.shards, 1, 0, 0, {**ATTRIBUTES, "campaign": its_id})
    following = [*(item.run_id for item in to_write[1:]), ""]
    writer.begin(to_write[0].run_id)
    for item, next_run in zip(to_write, following, strict=True):
        writer.append(item, current_run=next_run)
        _acknowledge(item.run_id)


def naive(folder: Path, to_write: list[Record]) -> None:
    """The same datasets, appended to in place with h5py, each time opened and closed; nothing is synced."""
    with tempfile.TemporaryDirectory() as elsewhere:
        whole = ShardWriter(Path(elsewhere), 1, 0, 0, ATTRIBUTES)
        for item in to_write:
            whole.append(item)
        shard = read_shard(next(Path(elsewhere).iterdir()))
    arrays = {"runs": shard.runs, "history": shard.history, "correct": shard.correct}
    shards = campaign_in(folder).shards
    shards.mkdir(parents=True)
    path = shards / "0001-00000-0-000000-p00.h5"
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
        _acknowledge(item.run_id)


def _acknowledge(what: str) -> None:
    os.write(1, what.encode() + b"\n")


if __name__ == "__main__":
    folder, to_write, records_per_part = Path(sys.argv[2]), records(int(sys.argv[3])), int(sys.argv[4])
    if sys.argv[1] == "project":
        project(folder, to_write, records_per_part)
    else:
        naive(folder, to_write)
