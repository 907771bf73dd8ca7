"""How much the missing runs of a campaign can still change."""

import pandas as pd

from analysis.figures.names import majority


def with_bounds(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells with the final mean of each, under three assumptions about the missing runs.

    if_rest_at_chance: all end at chance (or at the lowest accuracy of all these cells, if that is lower).
    if_rest_alike: all have the mean accuracy of the runs so far, so the mean does not change.
    if_rest_at_best: all are as good as the best run of the same model type in these cells.

    Failed runs count as missing, because the next submit trains them again. Cells without a run have bounds, too.

    Args:
        cells: rows of the summary.
    """
    n = cells["repeats"]
    n_left = cells["missing"] + cells["failed"]
    total = (cells["mean_test_accuracy"] * n).fillna(0)
    best = cells.groupby("model_type", observed=True)["max_test_accuracy"].max()
    guess = [majority(dataset) for dataset in cells["dataset"]]
    low = pd.Series(guess, cells.index).clip(upper=cells["min_test_accuracy"].min())
    high = cells["model_type"].map(best).astype(float)
    return cells.assign(
        if_rest_at_chance=((total + n_left * low) / (n + n_left)).where(n_left > 0, cells["mean_test_accuracy"]),
        if_rest_alike=cells["mean_test_accuracy"],
        if_rest_at_best=((total + n_left * high) / (n + n_left)).where(n_left > 0, cells["mean_test_accuracy"]),
    )
