"""The three tables of a campaign, which have all numbers of its report."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis.bits import open_bits
from analysis.comparisons import compare_cells
from analysis.held import PER_RUN_CSV
from analysis.merge import Merged
from analysis.planned import MISSING
from analysis.sampling import explained_variance
from analysis.statistics import summarise

_ROWS_A_TIME = 20_000


@dataclass(frozen=True)
class Tables:
    """per_run: the runs with a record, as in results_per_run.csv; summary: results_summary.csv; comparisons.csv."""

    per_run: pd.DataFrame
    summary: pd.DataFrame
    comparisons: pd.DataFrame

    def named(self) -> dict[str, pd.DataFrame]:
        """The name of each file -> its table."""
        return {PER_RUN_CSV: self.per_run, "results_summary.csv": self.summary, "comparisons.csv": self.comparisons}


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
    has_record = (merged.runs["status"] != MISSING).to_numpy()
    return Tables(merged.runs if has_record.all() else merged.runs[has_record], summary, comparisons)


def csv_of(table: pd.DataFrame) -> Iterator[bytes]:
    """A table as CSV, in pieces, so that the text of a million runs is never in memory at once."""
    for start in range(0, max(len(table), 1), _ROWS_A_TIME):
        text = table[start : start + _ROWS_A_TIME].to_csv(index=False, lineterminator="\n", header=start == 0)
        yield text.encode(errors="backslashreplace")
