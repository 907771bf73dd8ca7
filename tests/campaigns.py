"""A small campaign of real trainings, and checks of its results."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from analysis.merge import merge
from jobs.campaign import Campaign
from jobs.recorded import Recorded
from tests import commands

VOLATILE = ["wall_s", "cpu_s", "peak_mem_mb", "finished_at_s", "host", "attempt", "shard"]  # times, hosts, places
GRID = """
dataset: digits
activations: [relu, tanh]
ps: [0.0, 0.5]
repeats: 2
epochs: 1
hidden_sizes: [16]
max_workers: 2
"""  # 8 runs


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that `make` fills, for all test processes together: the first that asks makes it, others wait."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with folder.with_suffix(".lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            folder.mkdir()
            make(folder)
    return folder


def done(folder: Path) -> set[str]:
    """The run_ids that are done; no shard is unreadable."""
    found = Recorded("").updated(Campaign(folder).shard_paths())
    assert not found.problems
    return set(found.records["run_id"][found.is_finished].astype(str).tolist())


def each_run_once(folder: Path, n_runs: int) -> None:
    """All runs are done and count once, and the report has no problems or notes."""
    merged = merge(Campaign(folder), folder / "results.h5")
    assert not merged.problems
    assert list(merged.runs["status"].isin(["ok", "chance"])) == [True] * n_runs
    assert merged.runs["run_id"].nunique() == n_runs


def table(campaign: Path) -> str:
    """The per-run CSV without times and hosts."""
    reported = commands.call("analysis.report", "--no-figures", "--output-dir", campaign)
    assert reported.returncode == 0, reported.stderr
    return pd.read_csv(campaign / "results_per_run.csv").drop(columns=VOLATILE).to_csv(index=False)
