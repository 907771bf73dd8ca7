"""How far a cost may be from its expectation: bounds for new machines and new runs.

A residual is log(measured / expected). All runs of a host tend to be fast or slow, so hosts are the sample: many runs on few
hosts say little about another host. For a host that was measured, its runs are the sample.

Conformal bounds (Vovk et al. 2005; by hosts: Dunn, Wasserman and Ramdas 2022, "pooling CDFs") assume only that the next host,
or the next run, is drawn like the earlier ones. They are finite if at least `least(level)` hosts or runs were measured. With
fewer, the bound is that of a normal distribution, in which the assumed spreads (`HOST_SPREAD`, `RUN_SPREAD`) count as much as
`_WORTH` measured values.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95  # 1 of 20 runs takes longer than its bound
HOST_SPREAD = 0.25  # assumed standard deviation between hosts; nodes of one cluster are 0.75 to 1.35 times as fast as others
RUN_SPREAD = 0.08  # assumed standard deviation between runs on one host, including errors of the model
_WORTH = 8
_REACH = 1.645  # the 95 % quantile of a normal distribution, in standard deviations


@dataclass(frozen=True)
class Bounds:
    """Lower and upper bound of the residual of a new value, and the centre of the measured residuals.

    is_assumed: too few hosts or runs were measured for bounds that hold without an assumption.
    """

    low: float
    centre: float
    high: float
    is_assumed: bool


def least(level: float = LEVEL) -> int:
    """The number of hosts (or runs on a host) that a finite bound needs: 19 for 95 %."""
    return math.ceil(level / (1 - level) - 1e-9)


def of_new_host(hosts: Sequence[np.ndarray]) -> Bounds:
    """Bounds for a run on a host that was not measured. hosts: for each host, float64 (k,), the residuals of its runs."""
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
    """Bounds for another run on a host, from the residuals of its runs, float64 (k,)."""
    centre = float(np.median(residuals)) if len(residuals) else 0.0
    upper, lower = _pooled(residuals[:, None], LEVEL), -_pooled(-residuals[:, None], LEVEL)
    if math.isfinite(upper) and math.isfinite(lower):
        return Bounds(lower, centre, upper, False)
    spread = _spread(residuals - centre, RUN_SPREAD) * math.sqrt(1 + 1 / max(1, len(residuals)))
    return _normal(centre, spread)


def bound(values: np.ndarray, level: float) -> float:
    """A bound that a new value exceeds with probability 1 - `level` at most, from earlier values (k,); infinite for too few."""
    return _pooled(values[:, None], level)


def _pooled(groups: Sequence[np.ndarray] | np.ndarray, level: float) -> float:
    """The smallest t for which the mean, over all groups and one unknown group, of the share of values up to t is at least
    `level`; infinite if there are too few groups."""
    if not len(groups):
        return math.inf
    values = np.concatenate(list(groups))
    weights = np.concatenate([np.full(len(group), 1 / len(group)) for group in groups]) / (len(groups) + 1)
    order = np.argsort(values, kind="stable")
    place = int(np.searchsorted(np.cumsum(weights[order]), level - 1e-9))
    return float(values[order][place]) if place < len(values) else math.inf


def _spread(deviations: np.ndarray, assumed: float) -> float:
    """A standard deviation, from measured deviations and an assumed one that counts as much as `_WORTH` of them."""
    return math.sqrt((_WORTH * assumed**2 + float((deviations**2).sum())) / (_WORTH + max(0, len(deviations) - 1)))


def _normal(centre: float, spread: float) -> Bounds:
    return Bounds(centre - _REACH * spread, centre, centre + _REACH * spread, True)
