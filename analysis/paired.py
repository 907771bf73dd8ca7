"""Paired differences of all comparisons at once: mean, interval, the test that fits, and its p-value."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtr

from analysis.bits import Bits
from analysis.intervals import CONFIDENCE, clopper_pearson, t_half_width
from analysis.pairs import Finished
from analysis.ranks import holm, mcnemar, signed_rank

_DIGITS = 12  # differences that are equal up to rounding count as equal
_BITS_SET = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1)
_PAIRS_A_TIME = 4096


@dataclass(frozen=True, eq=False)
class Differences:
    """The pairs of some comparisons.

    n_comparisons: their number. comparison: int64 (n,), ascending; difference: float64 (n,), second - first; both_ok: bool
    (n,), whether both runs trained; rows: int64 (n, 2), the two runs.
    """

    n_comparisons: int
    comparison: np.ndarray
    difference: np.ndarray
    both_ok: np.ndarray
    rows: np.ndarray

    def total(self, values: np.ndarray) -> np.ndarray:
        """float64 (n_comparisons,): the sum of values (n,) in each comparison."""
        return np.bincount(self.comparison, values, self.n_comparisons)


def paired(
    finished: Finished,
    first: np.ndarray,
    second: np.ndarray,
    by_rank: np.ndarray,
    bits: Bits | None = None,
    family_size: int | None = None,
) -> pd.DataFrame:
    """Compare the second cell of each comparison with the first.

    Args:
        first, second: int (k,), the cells of each comparison.
        by_rank: bool (k,), whether to use a rank test because the t test does not hold.
        bits: those of the runs, for single pairs.
        family_size: the number of comparisons in the family; None: k.

    Returns:
        A row for each comparison, with the columns of `analysis.columns.COMPARISONS` that follow from its pairs, and n_nonzero:
        the number of pairs that differ.
    """
    family_size = family_size or max(1, len(first))
    parts = [
        _compared(Differences(part.stop - part.start, number, *_values(finished, one, other)), by_rank[part], family_size, bits)
        for part, number, one, other in finished.pairs(first, second)
    ]
    empty = Differences(0, np.empty(0, int), np.empty(0), np.empty(0, bool), np.empty((0, 2), int))
    table = pd.concat(parts, ignore_index=True) if parts else _compared(empty, by_rank[:0], family_size, None)
    return table.assign(p_holm=holm(table["p_raw"].to_numpy(), family_size), family_size=family_size)


def _values(finished: Finished, one: np.ndarray, other: np.ndarray) -> Iterator[np.ndarray]:
    yield np.round(finished.accuracy[other] - finished.accuracy[one], _DIGITS)
    yield finished.is_ok[one] & finished.is_ok[other]
    yield np.column_stack([finished.row[one], finished.row[other]])


def _compared(pairs: Differences, by_rank: np.ndarray, family_size: int, bits: Bits | None) -> pd.DataFrame:
    confidence = 1 - (1 - CONFIDENCE) / family_size
    n = np.bincount(pairs.comparison, minlength=pairs.n_comparisons)
    some = np.where(n > 0, n, np.nan)
    mean = pairs.total(pairs.difference) / some
    squares = pairs.total((pairs.difference - mean[pairs.comparison]) ** 2)
    std = np.sqrt(squares / np.where(n > 1, n - 1, np.nan))
    half = t_half_width(std, n, confidence)
    improved = pairs.total((pairs.difference > 0) + (pairs.difference == 0) / 2)
    improved_low, improved_high = clopper_pearson(improved, n, confidence)
    n_trained = pairs.total(pairs.both_ok.astype(float))
    by_rank = (n > 1) & (by_rank | _has_no_spread(pairs))
    by_images = n == 1 if bits is not None else np.zeros(len(n), bool)
    only = _only_one_right(pairs, by_images, bits)
    table = {
        "n_pairs": n,
        "mean_difference": mean,
        "ci95_low": mean - half,
        "ci95_high": mean + half,
        "test": np.select([by_images, by_rank, n > 1], ["McNemar", "signed-rank", "t"], ""),
        "probability_of_improvement": improved / some,
        "probability_of_improvement_low": improved_low,
        "probability_of_improvement_high": improved_high,
        "n_pairs_trained": n_trained.astype(int),
        "mean_difference_trained": pairs.total(np.where(pairs.both_ok, pairs.difference, 0))
        / np.where(n_trained > 0, n_trained, np.nan),
        "n_only_reference_right": np.where(by_images, only[0], np.nan),
        "n_only_value_right": np.where(by_images, only[1], np.nan),
        "n_nonzero": pairs.total((pairs.difference != 0).astype(float)).astype(int),
        "p_raw": np.select(
            [by_images, by_rank, n > 1], [mcnemar(*only), _rank_p_values(pairs, by_rank), _t_p_values(mean, std, n)], np.nan
        ),
    }
    return pd.DataFrame(table)


def _t_p_values(mean: np.ndarray, std: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Two-sided p-values of the paired t test; NaN for one pair or without spread."""
    t = np.divide(mean * np.sqrt(n), std, out=np.full(len(n), np.nan), where=std > 0)
    return 2 * stdtr(np.maximum(n - 1, 1), -np.abs(t))


def _has_no_spread(pairs: Differences) -> np.ndarray:
    """bool (n_comparisons,): whether all differences are equal."""
    low, high = np.full(pairs.n_comparisons, np.inf), np.full(pairs.n_comparisons, -np.inf)
    np.minimum.at(low, pairs.comparison, pairs.difference)
    np.maximum.at(high, pairs.comparison, pairs.difference)
    return low >= high


def _rank_p_values(pairs: Differences, wanted: np.ndarray) -> np.ndarray:
    """Signed-rank p-values of the wanted comparisons, else NaN. Differences of 0 are left out, as in Wilcoxon (1945)."""
    is_in = wanted[pairs.comparison] & (pairs.difference != 0)
    comparison, difference = pairs.comparison[is_in], pairs.difference[is_in]
    n = np.bincount(comparison, minlength=pairs.n_comparisons)
    start = np.cumsum(n) - n
    p_value = np.full(pairs.n_comparisons, np.nan)
    for size in np.unique(n[wanted]):
        of_size = np.flatnonzero(wanted & (n == size))
        p_value[of_size] = signed_rank(difference[start[of_size][:, None] + np.arange(size)])
    return p_value


def _only_one_right(pairs: Differences, wanted: np.ndarray, bits: Bits | None) -> np.ndarray:
    """int64 (2, n_comparisons): number of test images that only the first (or second) run of a single pair has right."""
    found = np.zeros((2, pairs.n_comparisons), np.int64)
    chosen = np.flatnonzero(wanted[pairs.comparison])
    for begin in range(0, len(chosen), _PAIRS_A_TIME):
        some = chosen[begin : begin + _PAIRS_A_TIME]
        assert bits is not None
        first, second = (_in_any_order(bits, pairs.rows[some, side]) for side in (0, 1))
        for side, only in enumerate((first & ~second, second & ~first)):
            found[side, pairs.comparison[some]] = _BITS_SET[only].sum(axis=1)
    return found


def _in_any_order(bits: Bits, rows: np.ndarray) -> np.ndarray:
    kinds, place = np.unique(rows, return_inverse=True)
    return bits.of(kinds)[place]
