"""Cells -> mean, spread and interval."""

import numpy as np
import pandas as pd
from scipy import stats

from analysis.merge import CELL_FIELDS
from jobs.shard import FINISHED

CONFIDENCE = 0.95
_KEY = ["model_type", "activation", "p"]


def summarise(planned: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """One row a cell, sorted by model_type, activation, p.

    Means are over finished runs: ok, chance and diverged.

    Args:
        planned: a row for every run of the campaign, with the fields of its spec.
        runs: a row for every run with a record, with status, test_accuracy (fraction) and test_loss (nats) besides.

    Returns:
        model_type, activation, p; repeats: finished runs; mean_test_accuracy; std_test_accuracy: population standard
        deviation; stderr_test_accuracy: that over sqrt(repeats) (0 for one run); ci95_low, ci95_high: Student's t interval
        of the mean from the sample standard deviation (NaN for one run); mean_test_loss; missing, failed: runs without a
        record, with a failure's record only; chance, diverged: finished runs of that status; then the cell's other fields.
    """
    statuses = planned.merge(runs[["run_id", "status", "test_accuracy", "test_loss"]], on="run_id", how="left")
    rows = [
        dict(zip(CELL_FIELDS, key, strict=True)) | _cell(cell)
        for key, cell in statuses.groupby(list(CELL_FIELDS), dropna=False, sort=False)
    ]
    others = [name for name in CELL_FIELDS if name not in _KEY]
    summary = pd.DataFrame(rows, columns=[*_KEY, *_cell(statuses.iloc[:0]), *others])
    return summary.sort_values([*_KEY, *others], kind="stable", ignore_index=True)


def _cell(cell: pd.DataFrame) -> dict[str, float]:
    finished = cell[cell["status"].isin(FINISHED)]
    accuracy = finished["test_accuracy"].to_numpy(dtype=float)
    n = len(accuracy)
    mean = accuracy.mean() if n else np.nan
    std = accuracy.std() if n else np.nan
    half = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * accuracy.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan
    return {
        "repeats": n,
        "mean_test_accuracy": mean,
        "std_test_accuracy": std,
        "stderr_test_accuracy": std / np.sqrt(n) if n else np.nan,
        "ci95_low": mean - half,
        "ci95_high": mean + half,
        "mean_test_loss": finished["test_loss"].to_numpy(dtype=float).mean() if n else np.nan,
        "missing": int(cell["status"].isna().sum()),
        "failed": int((cell["status"] == "failed").sum()),
        "chance": int((finished["status"] == "chance").sum()),
        "diverged": int((finished["status"] == "diverged").sum()),
    }
