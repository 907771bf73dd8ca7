"""Confidence intervals of means and shares, for arrays of cells."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv, ndtri, stdtrit  # scipy.stats takes as long to load as everything else

CONFIDENCE = 0.95


def t_half_width(sample_std: ArrayLike, n: ArrayLike, confidence: ArrayLike = CONFIDENCE) -> np.ndarray:
    """Half the width of Student's t interval of a mean.

    Args:
        sample_std: float (k,), sample standard deviations (denominator n - 1).
        n: int (k,), the number of values of each mean.
        confidence: in (0, 1).

    Returns:
        float64 (k,); NaN where n < 2.
    """
    n = np.asarray(n, float)
    enough = np.where(n > 1, n, np.nan)
    return np.asarray(stdtrit(enough - 1, (1 + np.asarray(confidence)) / 2) * sample_std / np.sqrt(enough))


def wilson(count: ArrayLike, n: ArrayLike, confidence: ArrayLike = CONFIDENCE) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's interval of a share (Wilson 1927; Brown, Cai and DasGupta 2001).

    Args:
        count: float (k,), from 0 to n. It may be a mean of counts.
        n: int (k,).

    Returns:
        low, high: float64 (k,), in [0, 1]; NaN where n = 0.
    """
    n, count = np.asarray(n, float), np.asarray(count, float)
    n = np.where(n > 0, n, np.nan)
    z = ndtri((1 + np.asarray(confidence)) / 2)
    middle = (count + z**2 / 2) / (n + z**2)
    half = z / (n + z**2) * np.sqrt(count * (n - count) / n + z**2 / 4)
    return np.where(count == 0, 0 * n, middle - half), np.where(count == n, 1.0, middle + half)


def clopper_pearson(count: ArrayLike, n: ArrayLike, confidence: ArrayLike = CONFIDENCE) -> tuple[np.ndarray, np.ndarray]:
    """The exact interval of a share (Clopper and Pearson 1934): it covers at least as often as it says. See `wilson`."""
    n, count = np.asarray(n, float), np.asarray(count, float)
    n = np.where(n > 0, n, np.nan)
    tail = (1 - np.asarray(confidence)) / 2
    low = betaincinv(np.maximum(count, 1e-300), n - count + 1, tail)
    high = betaincinv(count + 1, np.maximum(n - count, 1e-300), 1 - tail)
    return np.where(count == 0, 0 * n, low), np.where(count == n, 1.0, high)
