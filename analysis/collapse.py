"""A cell with a run at chance never shows mean and interval alone: the words for one cell, used wherever a cell is shown."""

import pandas as pd


def accuracy_text(cell: pd.Series, digits: int = 4) -> str:
    """The accuracy of one cell in words and numbers, for a page, a table or a sentence.

    Without a run at chance (or diverged): "0.9312 [0.9287, 0.9337] (n = 10)". With one: "2 of 10 at chance (20 %, 6 to 51 %); the 8
    that trained: 0.9312 [0.9287, 0.9337]; all: 0.7672". One run: "0.9312 (n = 1)". None: "no runs".

    Args:
        cell: a row of `analysis.statistics.summarise`.
        digits: decimals of accuracies.
    """
    raise NotImplementedError
