"""The text for the accuracy of one cell. If runs are at chance, it never shows the mean and its interval alone."""

from collections.abc import Mapping
from typing import Any


def accuracy_text(cell: Mapping[str, Any], digits: int = 4) -> str:
    """The accuracy of one cell, as text for a page, a table or a sentence.

    All runs trained: `0.9312 [0.9287, 0.9337] (n = 10)`. Otherwise: `2 of 10 at chance (20 %; 6 to 51 %); the 8 that trained:
    0.9312 [0.9287, 0.9337]; all: 0.7672`. One run: `0.9312 (n = 1)`. None: `no runs`.

    Args:
        cell: a row of `analysis.statistics.summarise`.
        digits: decimals of accuracies.
    """
    n, n_trained = int(cell["repeats"]), int(cell["n_trained"])
    if not n:
        return "no runs"
    if n == n_trained:
        low, high = cell["ci95_low_clipped"], cell["ci95_high_clipped"]
        return f"{mean_text(cell['mean_test_accuracy'], low, high, digits)} (n = {n})"
    parts = [collapse_text(cell)]
    if n_trained:
        mean, low, high = (cell[f"{name}_trained{rest}"] for name, rest in _TRAINED)
        parts.append(f"the {n_trained} that trained: {mean_text(mean, low, high, digits)}")
    return "; ".join([*parts, f"all: {cell['mean_test_accuracy']:.{digits}f}"])


def collapse_text(cell: Mapping[str, Any]) -> str:
    """How many runs of a cell did not train: `2 of 10 at chance (20 %; 6 to 51 %), 1 diverged`. Empty if all trained."""
    n, chance, diverged = (int(cell[name]) for name in ("repeats", "chance", "diverged"))
    parts = []
    if chance:
        share, low, high = (100 * cell[f"share_chance{end}"] for end in ("", "_low", "_high"))
        parts.append(f"{chance} of {n} at chance ({share:.0f} %; {low:.0f} to {high:.0f} %)")
    if diverged:
        parts.append(f"{diverged} diverged" if chance else f"{diverged} of {n} diverged")
    return ", ".join(parts)


def mean_text(mean: float, low: float, high: float, digits: int = 4) -> str:
    """A mean with its interval, or alone if there is none (NaN, for one run)."""
    return f"{mean:.{digits}f}" if low != low else f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


_TRAINED = (("mean", "_accuracy"), ("ci95_low", ""), ("ci95_high", ""))
