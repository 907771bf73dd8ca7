"""Values that are known beforehand: what is outside is flagged."""

import pandas as pd


def flags(summary: pd.DataFrame) -> pd.DataFrame:
    """What is not as expected, a row each.

    Args:
        summary: `analysis.statistics.summarise`, all columns.

    Returns:
        Columns: row (int, the row of `summary`), what (text: mean accuracy at p = 0, ...), value, low, high (numbers; what is
        expected) and text (one line that says all of it).
    """
    raise NotImplementedError
