"""All figures of a campaign, in the order for a reader."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.figures.accuracy import accuracy_sheets, overview_sheets
from analysis.figures.curves import curve_sheets
from analysis.figures.differences import difference_sheets
from analysis.figures.heatmap import heatmap_sheets
from analysis.figures.sheets import Sheet
from analysis.figures.spread import spread_sheets
from analysis.figures.strips import strip_sheets
from analysis.planned import CELL_FIELDS
from jobs.image import FINISHED

MOST_SHEETS = 200  # for a grid with hundreds of combinations, all numbers are in the CSVs
RUN_COLUMNS = ["cell", "row", "model_type", "activation", "p", "repeat", "status", "test_accuracy"]


def sheets(summary: pd.DataFrame, runs: pd.DataFrame, comparisons: pd.DataFrame, store: Path | None = None) -> Iterator[Sheet]:
    """The figures of a campaign.

    Args:
        summary: `analysis.statistics.summarise`.
        runs: `with_cells` of the finished runs.
        comparisons: `analysis.comparisons.compare_cells`.
        store: results.h5; None: no training curves are made.
    """
    runs = runs[RUN_COLUMNS]  # each figure copies some rows, and of a million runs, all columns would take too much memory
    yield from accuracy_sheets(summary, runs)
    yield from overview_sheets(summary, runs)
    yield from difference_sheets(summary, runs, comparisons)
    yield from strip_sheets(summary, runs)
    yield from heatmap_sheets(summary)
    if store:
        yield from curve_sheets(summary, runs, store)
    yield from spread_sheets(summary)


def with_cells(runs: pd.DataFrame, summary: pd.DataFrame, is_finished_only: bool = True) -> pd.DataFrame:
    """The finished runs (or all runs), with two more columns.

    These are `cell`, the index of the run's cell in the summary, and `row`, the place of the run in `runs`.

    Args:
        runs: a row for every planned run, as `analysis.merge.Merged.runs`. The rows of results_per_run.csv are enough if `row`
        is not needed.
    """
    names = list(CELL_FIELDS)
    row = np.flatnonzero(runs["status"].isin(FINISHED)) if is_finished_only else np.arange(len(runs))
    finished = (runs if len(row) == len(runs) else runs.iloc[row]).assign(row=row)
    own = finished[names]
    keys = own.groupby(names, sort=False, dropna=False, observed=True).ngroup().to_numpy()
    first = own.iloc[np.unique(keys, return_index=True)[1]].astype(object)
    cells = summary[names].astype(object).reset_index(names="cell")
    place = first.merge(cells, on=names, how="left")["cell"].to_numpy()
    return finished.assign(cell=place[keys] if len(keys) else np.empty(0, int))
