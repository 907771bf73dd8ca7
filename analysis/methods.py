"""What reviewers must be told, as text: methods.md and the LaTeX table. Pure functions of the numbers."""

import pandas as pd


def methods_text(summary: pd.DataFrame, per_run: pd.DataFrame, comparisons: pd.DataFrame) -> str:
    """methods.md: a methods paragraph, answers to the NeurIPS checklist, the LaTeX table, citation.

    Args:
        summary: `analysis.statistics.summarise`.
        per_run: the rows of `analysis.merge.Merged.runs` that have a record, failed ones included.
        comparisons: `analysis.comparisons.compare_cells`.
    """
    raise NotImplementedError


def latex_table(summary: pd.DataFrame) -> str:
    """A booktabs table, a row for each cell: mean [low, high] (n). A cell with runs at chance says so in its row."""
    raise NotImplementedError
