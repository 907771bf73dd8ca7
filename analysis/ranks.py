"""Exact rank tests for many comparisons at once."""

import numpy as np
from scipy.special import bdtr, ndtr

MOST_EXACT = 50  # differences; for more, the normal approximation is used


def signed_rank(differences: np.ndarray) -> np.ndarray:
    """Two-sided p-values of Wilcoxon's signed-rank test, conditional on the ties.

    Under the null hypothesis, differences are symmetric about 0, so each sign is + or - with equal probability. Up to n =
    MOST_EXACT, all 2**n combinations of signs are counted. (With ties, scipy.stats.wilcoxon gives an approximation.)

    Args:
        differences: float (k, n), a comparison in each row, without 0. Values that should tie must be equal.

    Returns:
        float64 (k,); 1 if n = 0.
    """
    k, n = differences.shape
    if not n:
        return np.ones(k)
    twice = _twice_midranks(np.abs(differences))
    above = np.where(differences > 0, twice, 0).sum(axis=1)
    total = twice.sum(axis=1)
    if n > MOST_EXACT:
        z = (above - total / 2) / (np.sqrt((twice**2).sum(axis=1)) / 2)
        return 2 * ndtr(-np.abs(z))
    least = np.minimum(above, total - above)
    patterns, which = np.unique(np.sort(twice, axis=1), axis=0, return_inverse=True)
    p_value = np.empty(k)
    for i, pattern in enumerate(patterns):
        its_own = which.reshape(-1) == i
        p_value[its_own] = np.minimum(1, 2 * _cumulative(pattern)[least[its_own]])
    return p_value


def smallest_signed_rank(n: np.ndarray) -> np.ndarray:
    """The smallest two-sided p-value that a signed-rank or sign test of n differences can give. n: int (k,)."""
    return np.minimum(1, 2.0 ** (1 - n))


def mcnemar(only_first: np.ndarray, only_second: np.ndarray) -> np.ndarray:
    """Two-sided p-values of McNemar's exact test, whose null hypothesis is that each run is as often the only right one.

    Args:
        only_first, only_second: int (k,), numbers of images that only one of the two has right.

    Returns:
        float64 (k,); 1 if both are 0.
    """
    return np.minimum(1, 2 * bdtr(np.minimum(only_first, only_second).astype(float), only_first + only_second, 0.5))


def holm(p_values: np.ndarray, family_size: int) -> np.ndarray:
    """Holm's step-down correction (1979) for a family in which some members may have no result.

    Args:
        p_values: float (k,), NaN where there is no result.
        family_size: at least k.

    Returns:
        float64 (k,), NaN where there is no result.
    """
    order = np.argsort(p_values, kind="stable")  # NaN come last
    factors = family_size - np.arange(len(p_values))
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(1, np.maximum.accumulate(factors * p_values[order]))
    return corrected


def _twice_midranks(values: np.ndarray) -> np.ndarray:
    """Twice the rank of each value in its row, where ties share the mean of their ranks: whole numbers. values: float (k, n).

    scipy.stats.rankdata gives the same, but scipy.stats takes as long to load as everything else.
    """
    twice = np.empty(values.shape, int)
    for place, own, ordered in zip(twice, values, np.sort(values, axis=1), strict=True):
        place[:] = np.searchsorted(ordered, own, "left") + np.searchsorted(ordered, own, "right") + 1
    return twice


def _cumulative(twice_ranks: np.ndarray) -> np.ndarray:
    """float64: P(sum of the ranks with sign + <= w / 2) for w = 0, 1, ..., if all combinations of signs are equally likely."""
    chance = np.zeros(twice_ranks.sum() + 1)
    chance[0] = 1
    for rank in twice_ranks:
        chance[rank:] += chance[: len(chance) - rank].copy()
        chance /= 2
    return np.cumsum(chance)
