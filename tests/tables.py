"""The tables of invented results, without training and without files."""

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd

from analysis.planned import MISSING, Planned, cells_of
from analysis.statistics import summarise
from jobs.manifest import Header
from noisy.runs import Runs
from noisy.spec import RunSpec

N_TEST = 10_000
Outcome = tuple[str, int]  # status, number of correct test images


def tables(
    runs: Iterable[RunSpec], outcome: Callable[[RunSpec], Outcome], explained: float = np.nan
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A row for every run, as `analysis.merge.Merged.runs`, and the summary. explained: the variance of every cell."""
    planned = Runs.of(runs)
    whole = Planned(Header("c0ffee", "2026-01-01", "abc", len(planned), ""), planned, cells_of(planned))
    status, n_correct = (np.array(values) for values in zip(*map(outcome, planned), strict=True))
    is_finished = ~np.isin(status, [MISSING, "failed"])
    per_run = pd.DataFrame(
        {
            **whole.columns(),
            "status": status,
            "test_accuracy": np.where(is_finished, n_correct / N_TEST, np.nan),
            "test_loss": np.where(is_finished, 0.1, np.nan),
            "n_correct": np.where(is_finished, n_correct, 0),
            "n_test": np.where(is_finished, N_TEST, 0),
            "cpu_s": np.where(status == MISSING, np.nan, 60.0 + n_correct / 100),
            "wall_s": np.where(status == MISSING, np.nan, 70.0),
            "peak_mem_mb": np.where(status == MISSING, np.nan, 512.0),
        }
    )
    explained_variance = np.full(len(whole.cells), explained)
    return per_run, summarise(per_run, planned.cell, whole.cells, explained_variance)


def good(run: RunSpec) -> Outcome:
    """Around 0.9, another value for each run."""
    return "ok", 9_000 + int(run.run_id[:4], 16) % 500
