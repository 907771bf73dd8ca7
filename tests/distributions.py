"""Kolmogorov and Smirnov's test. (Importing scipy.stats for it takes each test process a second.)"""

import math

import numpy as np

_ALPHA = 1e-4  # how often samples of one law are taken for samples of two


def is_uniform(values: np.ndarray) -> bool:
    """Whether values (n,) look drawn from the uniform law on 0 to 1."""
    n = len(values)
    ordered = np.sort(values)
    gap = max((np.arange(1, n + 1) / n - ordered).max(), (ordered - np.arange(n) / n).max())
    return bool(gap < _largest_gap(n))


def are_of_one_law(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Whether values (n,) and (m,) look drawn from one law."""
    ours, theirs = np.sort(ours), np.sort(theirs)
    values = np.concatenate([ours, theirs])
    shares = [np.searchsorted(sample, values, side="right") / len(sample) for sample in (ours, theirs)]
    return bool(np.abs(shares[0] - shares[1]).max() < _largest_gap(len(ours) * len(theirs) / (len(ours) + len(theirs))))


def _largest_gap(n: float) -> float:
    """Between two distribution functions; Massart, Annals of Probability 18 (1990) 1269."""
    return math.sqrt(math.log(2 / _ALPHA) / (2 * n))
