"""Mean, spread and intervals of all cells."""

import numpy as np
import pandas as pd

from analysis.intervals import t_half_width, wilson
from analysis.planned import CELL_FIELDS, MISSING
from analysis.sampling import split
from analysis.spreads import Ordered
from jobs.image import FINISHED

_KEY = ["model_type", "activation", "p"]


def summarise(runs: pd.DataFrame, cell: np.ndarray, cells: pd.DataFrame, explained: np.ndarray | None = None) -> pd.DataFrame:
    """The summary, with one row for each cell, sorted by model_type, activation and p.

    All means, spreads and intervals are over all finished runs (ok, chance, diverged), whose number is `repeats`. Only the
    columns that end in `_trained` are over the runs with the status ok. A mean over values with a NaN is NaN. For one run, all
    spreads except the population's are NaN.

    Args:
        runs: a row for every planned run, as `analysis.merge.Merged.runs`: status (MISSING without a record), test_accuracy
            (fraction), test_loss (nats), n_test and cpu_s.
        cell: int (n,), the row in `cells` of each run.
        cells: `analysis.planned.cells_of` the runs.
        explained: float (cells,), `analysis.sampling.explained_variance`; None if not known.

    Returns:
        The columns of `analysis.columns.SUMMARY`, in that order.
    """
    is_finished = runs["status"].isin(FINISHED)
    finished = runs.loc[is_finished, ["test_accuracy", "test_loss"]].groupby(cell[is_finished])
    n = finished.size().reindex(cells.index, fill_value=0)
    loss = finished["test_loss"].mean().where(finished["test_loss"].count() == finished.size())
    mean, std = (getattr(finished["test_accuracy"], name)().reindex(cells.index) for name in ("mean", "std"))
    half = t_half_width(std, n)
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
    summary = summary.assign(sample_std_test_accuracy=std, **_more(runs, cell, summary, explained, std))
    texts = summary.select_dtypes("category").astype(object)
    return summary.assign(**texts).sort_values([*_KEY, *others], kind="stable", ignore_index=True)


def _more(
    runs: pd.DataFrame, cell: np.ndarray, summary: pd.DataFrame, explained: np.ndarray | None, std: pd.Series
) -> dict[str, np.ndarray]:
    """The columns from sample_std_test_accuracy on. summary: the columns before it, with a row for each cell."""
    n_cells, n = len(summary), summary["repeats"].to_numpy()
    is_finished = runs["status"].isin(FINISHED).to_numpy()
    finished_cell, accuracy = cell[is_finished], runs["test_accuracy"].to_numpy()[is_finished]
    ordered = Ordered.of(accuracy, finished_cell, n_cells)
    n_test = np.zeros(n_cells, int)
    np.maximum.at(n_test, finished_cell, runs["n_test"].to_numpy()[is_finished])
    share_low, share_high = wilson(summary["chance"], n)
    test_low, test_high = wilson(summary["mean_test_accuracy"] * n_test, n_test)
    genuine, by_errors, is_truncated = split(
        std.to_numpy(), np.full(n_cells, np.nan) if explained is None else explained, n_test
    )
    cpu_s = runs["cpu_s"].to_numpy()
    has_time = ~np.isnan(cpu_s)
    return {
        "sample_stderr_test_accuracy": (std / np.sqrt(n)).to_numpy(),
        "ci95_low_clipped": summary["ci95_low"].clip(lower=0).to_numpy(),
        "ci95_high_clipped": summary["ci95_high"].clip(upper=1).to_numpy(),
        "median_test_accuracy": ordered.quantile(0.5),
        "q25_test_accuracy": ordered.quantile(0.25),
        "q75_test_accuracy": ordered.quantile(0.75),
        "min_test_accuracy": ordered.quantile(0),
        "max_test_accuracy": ordered.quantile(1),
        "iqm_test_accuracy": ordered.interquartile_mean(),
        "share_chance": (summary["chance"] / n.clip(1)).where(n > 0).to_numpy(),
        "share_chance_low": share_low,
        "share_chance_high": share_high,
        **_trained(runs, cell, n_cells),
        "test_set_low": test_low,
        "test_set_high": test_high,
        "seed_std_explained": by_errors,
        "seed_std_genuine": genuine,
        "is_seed_std_truncated": is_truncated,
        "mean_cpu_s": np.bincount(finished_cell, cpu_s[is_finished], n_cells) / np.where(n > 0, n, np.nan),
        "total_cpu_s": np.bincount(cell[has_time], cpu_s[has_time], n_cells),
    }


def _trained(runs: pd.DataFrame, cell: np.ndarray, n_cells: int) -> dict[str, np.ndarray]:
    """The columns over the runs that trained. (They are conditional on the result.)"""
    is_ok = (runs["status"] == "ok").to_numpy()
    accuracy = pd.Series(runs["test_accuracy"].to_numpy()[is_ok]).groupby(cell[is_ok])
    mean, std = (getattr(accuracy, name)().reindex(range(n_cells)).to_numpy() for name in ("mean", "std"))
    n = np.bincount(cell[is_ok], minlength=n_cells)
    half = t_half_width(std, n)
    return {
        "n_trained": n,
        "mean_trained_accuracy": mean,
        "sample_std_trained_accuracy": std,
        "ci95_low_trained": np.maximum(mean - half, 0),
        "ci95_high_trained": np.minimum(mean + half, 1),
    }
