"""The three tables of a campaign, which have all numbers of its report."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis.bits import open_bits
from analysis.comparisons import compare_cells
from analysis.merge import Merged
from analysis.planned import MISSING
from analysis.sampling import explained_variance
from analysis.statistics import summarise


@dataclass(frozen=True)
class Tables:
    """per_run: the runs with a record, as in results_per_run.csv; summary: results_summary.csv; comparisons.csv."""

    per_run: pd.DataFrame
    summary: pd.DataFrame
    comparisons: pd.DataFrame


def tables_of(merged: Merged, store: Path, reference: str | None = None) -> Tables:
    """Compute the tables.

    Args:
        store: the results.h5 that `analysis.merge.merge` has just written.
        reference: the activation that others are compared with; None: relu if the campaign has it, else the first one.

    Raises:
        UnknownReference: the reference is not an activation of the campaign.
        OSError: the store cannot be read.
    """
    cell, cells = merged.planned.runs.cell, merged.planned.cells
    with open_bits(store) as bits:
        summary = summarise(merged.runs, cell, cells, explained_variance(merged.runs, cell, len(cells), bits))
        comparisons = compare_cells(merged.runs, summary, reference, bits)
    return Tables(merged.runs[merged.runs["status"] != MISSING], summary, comparisons)
