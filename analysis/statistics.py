"""Cells -> mean, spread and interval."""

import numpy as np
import pandas as pd
from scipy import stats

from analysis.planned import CELL_FIELDS, MISSING
from jobs.image import FINISHED

CONFIDENCE = 0.95
_KEY = ["model_type", "activation", "p"]


def summarise(runs: pd.DataFrame, cell: np.ndarray, cells: pd.DataFrame) -> pd.DataFrame:
    """One row a cell, sorted by model_type, activation, p.

    Means are over finished runs: ok, chance and diverged.

    Args:
        runs: a row for every planned run, as `analysis.merge.Merged.runs`: status (MISSING without a record), test_accuracy
            (fraction) and test_loss (nats).
        cell: int (n,), the row in `cells` of each run.
        cells: `analysis.planned.cells_of` the runs.

    Returns:
        model_type, activation, p; repeats: finished runs; mean_test_accuracy; std_test_accuracy: population standard
        deviation; stderr_test_accuracy: that over sqrt(repeats) (0 for one run); ci95_low, ci95_high: Student's t interval
        of the mean from the sample standard deviation (NaN for one run); mean_test_loss; missing, failed: runs without a
        record, with a failure's record only; chance, diverged: finished runs of that status; then the cell's other fields.
    """
    is_finished = runs["status"].isin(FINISHED)
    finished = runs.loc[is_finished, ["test_accuracy", "test_loss"]].groupby(cell[is_finished])
    n = finished.size().reindex(cells.index, fill_value=0)
    mean, std = (getattr(finished["test_accuracy"], name)().reindex(cells.index) for name in ("mean", "std"))
    half = stats.t.ppf((1 + CONFIDENCE) / 2, (n - 1).clip(1)) * std / np.sqrt(n)
    spread = finished["test_accuracy"].std(ddof=0).reindex(cells.index)
    counts = {name: (runs["status"] == name).groupby(cell).sum() for name in (MISSING, "failed", "chance", "diverged")}
    values = {
        "repeats": n,
        "mean_test_accuracy": mean,
        "std_test_accuracy": spread,
        "stderr_test_accuracy": spread / np.sqrt(n),
        "ci95_low": mean - half,
        "ci95_high": mean + half,
        "mean_test_loss": finished["test_loss"].mean().reindex(cells.index),
        **counts,
    }
    others = [name for name in CELL_FIELDS if name not in _KEY]
    summary = cells.assign(**values)[[*_KEY, *values, *others]]
    texts = summary.select_dtypes("category").astype(object)
    return summary.assign(**texts).sort_values([*_KEY, *others], kind="stable", ignore_index=True)
