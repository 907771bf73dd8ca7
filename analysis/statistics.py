"""Cells -> mean, spread and interval."""

import numpy as np
import pandas as pd
from scipy.special import stdtrit  # the quantiles of scipy.stats.t, which takes as long to load as all else

from analysis.planned import CELL_FIELDS, MISSING
from jobs.image import FINISHED

CONFIDENCE = 0.95
_KEY = ["model_type", "activation", "p"]


def summarise(runs: pd.DataFrame, cell: np.ndarray, cells: pd.DataFrame) -> pd.DataFrame:
    """One row a cell, sorted by model_type, activation, p.

    One rule for all columns: mean, spread and interval are over all finished runs (ok, chance, diverged), which `repeats`
    counts. A mean that would leave out a NaN is NaN.

    Args:
        runs: a row for every planned run, as `analysis.merge.Merged.runs`: status (MISSING without a record), test_accuracy
            (fraction) and test_loss (nats).
        cell: int (n,), the row in `cells` of each run.
        cells: `analysis.planned.cells_of` the runs.

    Returns:
        The columns of `analysis.columns.SUMMARY`, in that order.
    """
    is_finished = runs["status"].isin(FINISHED)
    finished = runs.loc[is_finished, ["test_accuracy", "test_loss"]].groupby(cell[is_finished])
    n = finished.size().reindex(cells.index, fill_value=0)
    loss = finished["test_loss"].mean().where(finished["test_loss"].count() == finished.size())
    mean, std = (getattr(finished["test_accuracy"], name)().reindex(cells.index) for name in ("mean", "std"))
    half = stdtrit((n - 1).clip(1), (1 + CONFIDENCE) / 2) * std / np.sqrt(n)
    spread = finished["test_accuracy"].std(ddof=0).reindex(cells.index)
    counts = {name: (runs["status"] == name).groupby(cell).sum() for name in (MISSING, "failed", "chance", "diverged")}
    values = {
        "repeats": n,
        "mean_test_accuracy": mean,
        "std_test_accuracy": spread,
        "stderr_test_accuracy": spread / np.sqrt(n),
        "ci95_low": mean - half,
        "ci95_high": mean + half,
        "mean_test_loss": loss.reindex(cells.index),
        **counts,
    }
    others = [name for name in CELL_FIELDS if name not in _KEY]
    summary = cells.assign(**values)[[*_KEY, *values, *others]]
    texts = summary.select_dtypes("category").astype(object)
    return summary.assign(**texts).sort_values([*_KEY, *others], kind="stable", ignore_index=True)
