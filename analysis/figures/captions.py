"""Captions of figures: what is drawn, n, and what is missing. Intervals are mentioned only if there are any."""

import pandas as pd


def caption(cells: pd.DataFrame, planned: pd.DataFrame, what: str, has_share: bool = False) -> str:
    """The caption of a figure of means against p.

    Args:
        cells: the cells that are drawn.
        planned: all cells of the figure, including those without a run.
        what: what is drawn, as in "Accuracy".
        has_share: whether the share of runs at chance is drawn below the panels.
    """
    sentences = [f"{what} after the last epoch: mean over {n_of(cells)}{_interval(cells)}; dots are single runs."]
    if has_share:
        sentences.append(
            "Below: share of runs at chance, with Wilson's 95 % interval. If runs are at chance, a dash marks the mean of the "
            "others, because the mean of all runs then describes none of them."
        )
    return " ".join([*sentences, *what_is_missing(cells, planned, has_symbols=True)])


def n_of(cells: pd.DataFrame) -> str:
    """Text such as "n = 40 runs" or "n = 1 to 3 runs"."""
    low, high = int(cells["repeats"].min()), int(cells["repeats"].max())
    return f"n = {low}{'' if low == high else f' to {high}'} run{'' if high == 1 else 's'}"


def what_is_missing(cells: pd.DataFrame, planned: pd.DataFrame, has_symbols: bool = False) -> list[str]:
    """Sentences on runs that are missing, failed, at chance or diverged, and on cells without an interval or a run."""
    n = {name: int(planned[name].sum()) for name in ("repeats", "missing", "failed", "chance", "diverged")}
    n_empty = int((planned["repeats"] == 0).sum())
    n_single = int((cells["repeats"] == 1).sum())
    found = []
    odd = [f"{n[name]:,} {words}" for name, words in (("chance", "at chance"), ("diverged", "diverged")) if n[name]]
    if odd:
        found.append(f"Of {n['repeats']:,} runs, {' and '.join(odd)}{' (crosses)' if has_symbols else ''}.")
    away = [f"{n[name]:,} {name}" for name in ("missing", "failed") if n[name]]
    if away:
        n_planned = n["repeats"] + n["missing"] + n["failed"]
        marked = " (open markers)" if has_symbols else ""
        found.append(f"{n['repeats']:,} of {n_planned:,} planned runs are shown; {' and '.join(away)}{marked}.")
    if n_single:
        found.append(f"{_cells(n_single)} with n = 1 {'has' if n_single == 1 else 'have'} no interval.")
    if n_empty:
        found.append(f"{_cells(n_empty)} without a run {'is' if n_empty == 1 else 'are'} not shown.")
    return found


def _interval(cells: pd.DataFrame) -> str:
    if not (cells["repeats"] > 1).any():
        return ""
    return ", with its 95 % t interval, clipped to [0, 1]" + (", where n > 1" if (cells["repeats"] < 2).any() else "")


def _cells(n: int) -> str:
    return f"{n} cell{'' if n == 1 else 's'}"
