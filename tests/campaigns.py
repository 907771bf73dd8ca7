"""A small campaign of real trainings, and what became of it."""

from pathlib import Path

from analysis.merge import merge
from jobs.campaign import Campaign
from jobs.recorded import Recorded

GRID = """
dataset: digits
activations: [relu, tanh]
ps: [0.0, 0.5]
repeats: 2
epochs: 1
hidden_sizes: [16]
max_workers: 2
"""  # 8 runs


def done(folder: Path) -> set[str]:
    """The run_ids that are done; no shard is unreadable."""
    found = Recorded("").updated(Campaign(folder).shard_paths())
    assert not found.problems
    return set(found.records["run_id"][found.is_finished].astype(str).tolist())


def each_run_once(folder: Path, n_runs: int) -> None:
    """All runs are done, and count once, without a word of doubt."""
    merged = merge(Campaign(folder), folder / "results.h5")
    assert not merged.problems
    assert list(merged.runs["status"].isin(["ok", "chance"])) == [True] * n_runs
    assert merged.runs["run_id"].nunique() == n_runs
