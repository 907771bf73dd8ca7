"""Sentences about the statistics of a campaign, made from its numbers."""

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from analysis.figures.names import named
from analysis.ranks import smallest_signed_rank
from jobs.printing import count

_ALPHA = 0.05


def listed(items: Iterable[str]) -> str:
    """Items as in "a, b and c"."""
    *rest, last = [*items] or [""]
    return f"{', '.join(rest)} and {last}" if rest else last


def span(values: pd.Series) -> str:
    """Whole numbers as in "40" or "3 to 40"."""
    low, high = values.min(), values.max()
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def bars(summary: pd.DataFrame) -> Iterator[str]:
    """Sentences on what error bars show and what they do not show."""
    with_bars = int((summary["repeats"] >= 2).sum())
    yield (
        "Error bars are 95 % intervals of the mean over repeats, from Student's t distribution and the sample standard "
        f"deviation, clipped to [0, 1]; {with_bars:,} of {len(summary):,} cells have the two runs that this needs."
    )
    width = (summary["test_set_high"] - summary["test_set_low"]).max()
    if not np.isnan(width):
        yield (
            "They do not include the sampling of the test set, which more repeats do not reduce: Wilson's 95 % intervals "
            f"for it are up to {width:.4f} wide."
        )
    genuine = summary["seed_std_genuine"].dropna()
    if len(genuine):
        n_truncated = int(summary["is_seed_std_truncated"].sum())
        yield (
            "Independent errors on the test images explain a part of the spread between repeats. The rest (Jordan 2024, "
            f"theorem 2) is a standard deviation of up to {genuine.max():.4f}; in {n_truncated:,} of {len(genuine):,} cells "
            "its estimated variance is negative and is given as 0."
        )


def excluded(summary: pd.DataFrame) -> Iterator[str]:
    """Sentences on which runs count and how many did not train."""
    chance, diverged = (int(summary[name].sum()) for name in ("chance", "diverged"))
    yield "Every mean is over all finished runs of its cell."
    if not (chance or diverged):
        yield "No run stayed at chance and none diverged."
        return
    n_cells = int(((summary["chance"] + summary["diverged"]) > 0).sum())
    odd = [f"{count(n, 'run')} {what}" for n, what in ((chance, "stayed at chance"), (diverged, "diverged")) if n]
    yield (
        f"{' and '.join(odd)}, in {count(n_cells, 'cell')}. There the t interval can miss the "
        "mean, so the share at chance with Wilson's interval and the mean of the runs that trained (which is conditional on "
        "training) are given with it."
    )


def compared(comparisons: pd.DataFrame) -> Iterator[str]:
    """Sentences on how cells were compared and how many differ."""
    for axis, family in comparisons.groupby("axis", sort=False):
        size, n_tests = int(family["family_size"].iloc[0]), int(family["p_raw"].notna().sum())
        reference = listed(named(value) for value in dict.fromkeys(family["reference_value"]))
        other = f"with {reference}" if axis == "activation" else "with each other"
        yield (
            f"We compared cells that differ in {str(axis).replace('_', ' ')} {other}, paired by repeat: a family of {size:,} "
            f"comparisons, {n_tests:,} of them with a test."
        )
        yield (
            "Intervals of the differences are t intervals that hold together at 95 % (Bonferroni), p-values are corrected by "
            f"Holm's method; corrected, {int((family['p_holm'] < _ALPHA).sum()):,} are below {_ALPHA}."
        )
        yield from _ranked(family[family["test"] == "signed-rank"], size)


def _ranked(family: pd.DataFrame, size: int) -> Iterator[str]:
    if family.empty:
        return
    yield (
        f"{len(family):,} of the tests are Wilcoxon's signed-rank test, because runs stayed at chance or diverged, or because "
        "all differences are equal."
    )
    smallest = smallest_signed_rank(family["n_pairs"].to_numpy())
    powerless = smallest * size > _ALPHA
    if powerless.any():
        yield (
            f"For {int(powerless.sum()):,} of these there are so few pairs that the p-value is below {_ALPHA} after correction "
            "only if other comparisons of the family have smaller ones: the smallest that is possible before correction is "
            f"{smallest[powerless].min():.3g}."
        )


def error_bars(summary: pd.DataFrame) -> Iterator[str]:
    """Sentences that answer a checklist's question about error bars."""
    yield (
        f"Yes: 95 % t intervals of the mean over n = {span(summary['repeats'])} repeats, which differ in initial weights, "
        "batch order and noise, on one fixed test set."
    )
    yield "Every run is shown as a dot. The intervals assume nearly normal values; cells with runs at chance are marked."
