"""Differences between cells: activations against a reference, model types, and the values of each further axis."""

import pandas as pd


def compare_cells(per_run: pd.DataFrame, summary: pd.DataFrame, reference: str | None = None) -> pd.DataFrame:
    """All comparisons of a campaign, a row for each pair of cells.

    Args:
        per_run: the rows of `analysis.merge.Merged.runs` that have a record (all columns of a cell, repeat, status,
            test_accuracy).
        summary: `analysis.statistics.summarise` of the same campaign.
        reference: the activation that others are compared with; None: relu if it is there, else the first.

    Returns:
        The columns of `analysis.columns.COMPARISONS`, in that order; no rows if no axis has two values.
    """
    raise NotImplementedError
