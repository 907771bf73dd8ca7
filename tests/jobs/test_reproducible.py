"""Every model, activation and precision finds the same bits alone, packed with others in a task, and resumed after a kill."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from jobs.campaign import Campaign
from jobs.shard import read_shard
from jobs.task import execute_task
from jobs.taskfile import task_places
from noisy.data import Data
from noisy.processor import this_processor
from noisy.result import RunResult
from noisy.spec import ACTIVATION_NAMES, MODEL_TYPES, PRECISIONS
from noisy.training import train
from tests.processes import pool, wait_for, workers
from tests.records import submitted
from tests.specs import spec

Bits = tuple[bytes, bytes, bytes]
HERE = [precision for precision in PRECISIONS if precision == "float32" or not this_processor().bfloat16_refusal]
EPOCHS = {"mlp": 2, "cnn": 1}  # most of the time of so small a CNN is that of the test set
RUNS = [
    spec(model_type=model_type, activation=activation, precision=precision, epochs=EPOCHS[model_type], max_train_samples=130)
    for number, activation in enumerate(ACTIVATION_NAMES)
    for model_type in MODEL_TYPES
    for precision in (HERE if model_type == "mlp" else [HERE[number % len(HERE)]])  # a CNN takes ten times as long
]


def bits_of(result: RunResult) -> Bits:
    history = np.stack([result.train_loss, result.test_loss, result.test_accuracy])
    return result.status.encode(), history.tobytes(), result.correct.tobytes()


def bits(campaign: Campaign) -> dict[str, Bits]:
    """run_id -> what was found, of every record; no run has two."""
    shards = [read_shard(path) for path in campaign.shard_paths()]
    found = [
        (row["run_id"].decode(), (row["status"], trained(history).tobytes(), correct.tobytes()))
        for shard in shards
        for row, history, correct in zip(shard.runs, shard.history, shard.correct, strict=True)
    ]
    assert len(dict(found)) == len(found)
    return dict(found)


def trained(history: np.ndarray) -> np.ndarray:
    """The epochs of a run: a shard has as many for each as the run with the most has, and fills the others with NaN."""
    return history[:, ~np.isnan(history).all(axis=0)]


@pytest.mark.slow
def test_alone_packed_and_resumed_agree_in_every_bit(tmp_path: Path, digits_dir: Path, digits: Data) -> None:
    """The resumed ones by forked workers of another process, side by side and one after the other, of which one is killed.

    tests/noisy/test_training.py compares this process with a fresh one.
    """
    alone = {run.run_id: bits_of(train(run, digits)) for run in reversed(RUNS)}
    packed = submitted(tmp_path / "packed", digits_dir, RUNS)
    resumed = submitted(tmp_path / "resumed", digits_dir, *(RUNS[i::3] for i in range(3)))
    execute_task(task_places(packed, 1)[0], 0)
    with pool(resumed) as process:
        at_work = wait_for(lambda: len(bits(resumed)) >= 2 and workers(resumed.folder))
        os.kill(max(at_work), signal.SIGKILL)
        assert process.stdout.read() == ""  # communicate() would close its input
    assert process.returncode == 0
    assert any("-1-" in path.name for path in resumed.shard_paths()), "a second attempt"
    for row in (row for path in resumed.shard_paths() for row in read_shard(path).runs):
        assert 0 < row["cpu_s"] < 60
        assert 50 < row["peak_mem_mb"] < 2_000
    assert bits(packed) == alone
    assert bits(resumed) == alone
