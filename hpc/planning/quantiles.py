"""How far from its expectation a cost may be: bounds that hold for new machines and new runs.

A residual is the logarithm of measured over expected. What is sampled is the host: its runs are all fast or all slow. So many
runs of few hosts say little about another host. On a host that was measured, a run is what is sampled.

Conformal bounds (Vovk et al. 2005; by hosts: Dunn, Wasserman and Ramdas 2022, "pooling CDFs") assume only that the next host,
or the next run, is drawn like the earlier ones. They are finite from `least(level)` on. Below that, a bound is assumed: that
of a normal distribution, with spreads (`HOST_SPREAD`, `RUN_SPREAD`) that count as much as `_WORTH` measured values.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95  # a run takes longer than its bound in one of 20 cases
HOST_SPREAD = 0.25  # assumed standard deviation between hosts: nodes of one cluster are 0.75 to 1.35 times as fast as others
RUN_SPREAD = 0.08  # assumed standard deviation between runs of one host, errors of the model included
_WORTH = 8
_REACH = 1.645  # standard deviations from the centre of a normal distribution to its 95 % quantile


@dataclass(frozen=True)
class Bounds:
    """Residuals that a new value stays above (low) and below (high), with the centre of those measured.

    is_assumed: too few hosts or runs were measured for bounds that hold without an assumption.
    """

    low: float
    centre: float
    high: float
    is_assumed: bool


def least(level: float = LEVEL) -> int:
    """How many hosts, or runs of the host, a finite bound needs: 19 for 95 %."""
    return math.ceil(level / (1 - level) - 1e-9)


def of_new_host(hosts: Sequence[np.ndarray]) -> Bounds:
    """Bounds for a run on a host that was not measured. hosts: the residuals (k,) of each host's runs."""
    centres = np.array([np.median(residuals) for residuals in hosts])
    centre = float(centres.mean()) if len(hosts) else 0.0
    upper = _pooled(hosts, LEVEL)
    lower = -_pooled([-residuals for residuals in hosts], LEVEL)
    if math.isfinite(upper) and math.isfinite(lower):
        return Bounds(lower, centre, upper, False)
    between = _spread(centres - centre, HOST_SPREAD)
    within = _spread(np.concatenate([np.zeros(0), *(r - np.median(r) for r in hosts if len(r) > 1)]), RUN_SPREAD)
    return _normal(centre, math.hypot(between * math.sqrt(1 + 1 / max(1, len(hosts))), within))


def of_known_host(residuals: np.ndarray) -> Bounds:
    """Bounds for another run on a host, from the residuals (k,) of its runs."""
    centre = float(np.median(residuals)) if len(residuals) else 0.0
    upper, lower = _pooled(residuals[:, None], LEVEL), -_pooled(-residuals[:, None], LEVEL)
    if math.isfinite(upper) and math.isfinite(lower):
        return Bounds(lower, centre, upper, False)
    spread = _spread(residuals - centre, RUN_SPREAD) * math.sqrt(1 + 1 / max(1, len(residuals)))
    return _normal(centre, spread)


def bound(values: np.ndarray, level: float) -> float:
    """What a new value exceeds with a chance of at most 1 - `level`, from earlier ones (k,); infinite if these are too few."""
    return _pooled(values[:, None], level)


def _pooled(groups: Sequence[np.ndarray] | np.ndarray, level: float) -> float:
    """The least value t at which the mean over all groups, and one more of which nothing is known, of the share of values up to
    t reaches `level`; infinite if there are too few groups."""
    if not len(groups):
        return math.inf
    values = np.concatenate(list(groups))
    weights = np.concatenate([np.full(len(group), 1 / len(group)) for group in groups]) / (len(groups) + 1)
    order = np.argsort(values, kind="stable")
    place = int(np.searchsorted(np.cumsum(weights[order]), level - 1e-9))
    return float(values[order][place]) if place < len(values) else math.inf


def _spread(deviations: np.ndarray, assumed: float) -> float:
    """A standard deviation, of measured deviations and an assumption that counts as much as `_WORTH` of them."""
    return math.sqrt((_WORTH * assumed**2 + float((deviations**2).sum())) / (_WORTH + max(0, len(deviations) - 1)))


def _normal(centre: float, spread: float) -> Bounds:
    return Bounds(centre - _REACH * spread, centre, centre + _REACH * spread, True)
