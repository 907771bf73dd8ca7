"""Records and shards for the tests that need many and no training: real files, invented numbers."""

from pathlib import Path
from typing import Any

import numpy as np

from jobs.image import Record
from jobs.shard import ShardWriter
from noisy.spec import RunSpec

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
    """A shard of submission 1 with these records."""
    folder.mkdir(parents=True, exist_ok=True)
    writer = ShardWriter(folder, 1, task, attempt, ATTRIBUTES | attributes)
    writer.start("")
    for item in records:
        writer.append(item)
