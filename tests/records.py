"""Records and shards for the tests that need many and no training: real files, invented numbers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jobs.campaign import Campaign
from jobs.files import publish
from jobs.image import Record
from jobs.shard import RECORDS_PER_PART, ShardWriter, read_shard
from jobs.taskfile import Task
from noisy.runs import Runs
from noisy.spec import Execution, RunSpec

ATTRIBUTES = {
    "campaign": "c0ffee",
    "code_commit": "abc",
    "data_digest": "d1",
    "device": "cpu",
    "cpu_threads": 1,
    "host": "node1",
    "cpu": "A Processor",
    "versions": "torch 1",
}


def record(run: RunSpec, n_correct: int = 300, status: str = "ok", **changes: Any) -> Record:
    """A finished (or failed) record of `run` on a test set of 355 images."""
    bits = np.arange(355) < n_correct
    fields: dict[str, Any] = {
        "run_id": run.run_id,
        "spec": run.canonical_json(),
        "status": status,
        "test_accuracy": n_correct / 355,
        "test_loss": 0.5,
        "n_correct": n_correct,
        "n_test": 355,
        "n_parameters": 42,
        "wall_s": 2.0,
        "cpu_s": 1.5,
        "peak_mem_mb": 100.0,
        "finished_at_s": 1e9,
        "history": np.linspace(0, 1, 3 * run.epochs).reshape(3, run.epochs),
        "correct": np.packbits(bits),
        **changes,
    }
    return Record(**fields)


def failure(run: RunSpec, message: str = "ValueError: no") -> Record:
    """The record of a run that raised."""
    return Record(run.run_id, run.canonical_json(), "failed", message, finished_at_s=1e9)


def write_shard(folder: Path, task: int, records: list[Record], attempt: int = 0, **attributes: Any) -> None:
    """A shard of submission 1 with these records, as it is after the last of them; it is written once."""
    assert len(records) <= RECORDS_PER_PART
    folder.mkdir(parents=True, exist_ok=True)
    ShardWriter(folder, 1, task, attempt, ATTRIBUTES | attributes)._publish(records, "")


def submitted(folder: Path, data_dir: Path, *tasks: Sequence[RunSpec], **execution: Any) -> Campaign:
    """A campaign whose submission 1 has these tasks; none is begun."""
    campaign = Campaign(folder)
    campaign.log(1, 0).parent.mkdir(parents=True)
    campaign.shards.mkdir()
    how = Execution(**execution)
    lines = (Task(i, "c0ffee", "abc", str(data_dir), how, Runs.of(task)).line() for i, task in enumerate(tasks))
    publish(campaign.tasks(1), lines)
    return campaign


def recorded(campaign: Campaign, prefix: str = "") -> list[tuple[str, str]]:
    """(run_id, status) of every record, in the order of the shards' names."""
    shards = [read_shard(path) for path in campaign.shard_paths(prefix)]
    return [(row["run_id"].decode(), row["status"].decode()) for shard in shards for row in shard.runs]
