"""Exact rank tests of many comparisons at once."""

import numpy as np
from scipy.special import bdtr, ndtr

MOST_EXACT = 50  # differences; more are judged by the normal approximation


def signed_rank(differences: np.ndarray) -> np.ndarray:
    """Two-sided p-values of Wilcoxon's signed-rank test, given the ties.

    The sign of each difference is equally often + and - if the differences are symmetric about 0. All 2**n signs are counted
    up to n = MOST_EXACT; scipy.stats.wilcoxon gives an approximation where there are ties.

    Args:
        differences: float (k, n), a comparison each row, no 0. Values that should tie must be equal.

    Returns:
        float64 (k,); 1 if n = 0.
    """
    from scipy.stats import rankdata  # only here: scipy.stats takes as long to load as all else

    k, n = differences.shape
    if not n:
        return np.ones(k)
    twice = np.rint(2 * rankdata(np.abs(differences), axis=1)).astype(int)  # whole numbers: midranks have halves
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
    """The smallest two-sided p-value that n differences can have in a signed-rank or sign test. n: int (k,)."""
    return np.minimum(1, 2.0 ** (1 - n))


def mcnemar(only_first: np.ndarray, only_second: np.ndarray) -> np.ndarray:
    """Two-sided p-values of McNemar's exact test: is each of the two equally often the only one that is right?

    Args:
        only_first, only_second: int (k,), images.

    Returns:
        float64 (k,); 1 if both are 0.
    """
    return np.minimum(1, 2 * bdtr(np.minimum(only_first, only_second).astype(float), only_first + only_second, 0.5))


def holm(p_values: np.ndarray, family_size: int) -> np.ndarray:
    """Holm's step-down correction (1979) for a family, of which some members may have no result.

    Args:
        p_values: float (k,), NaN where there is no result.
        family_size: at least k.

    Returns:
        float64 (k,), NaN likewise.
    """
    order = np.argsort(p_values, kind="stable")  # NaN are last
    factors = family_size - np.arange(len(p_values))
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(1, np.maximum.accumulate(factors * p_values[order]))
    return corrected


def _cumulative(twice_ranks: np.ndarray) -> np.ndarray:
    """float64: P(sum of the ranks with sign + is at most w / 2) for w = 0, 1, ...; every set of signs is equally likely."""
    chance = np.zeros(twice_ranks.sum() + 1)
    chance[0] = 1
    for rank in twice_ranks:
        chance[rank:] += chance[: len(chance) - rank].copy()
        chance /= 2
    return np.cumsum(chance)
