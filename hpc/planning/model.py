"""The cost model: the CPU seconds of a run are linear in its terms. It is fitted to measured runs. (The caller reads files.)

A run takes: start + epochs x [(3 x samples + test images) x multiply-adds x rate + samples x c + steps x (weights x a + b)].
Each kind of run (model type and precision; each own model) has its own five coefficients. The fit draws them to the published
proportions, so that a few measured runs suffice. They are never negative.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from hpc.planning.cost import Range
from hpc.planning.published import GROWTH_MB, IMPORT_MB, PROPORTIONS, like
from hpc.planning.quantiles import Bounds, bound, of_known_host, of_new_host
from hpc.planning.sizes import multiply_adds, terms, training_mb
from noisy.spec import RunSpec

Kind = tuple[str, ...]  # model type, precision; for an own model also its files and its data set
NEWEST = 500  # measured runs of a kind that are used at most
_PULL = 0.02  # how strongly a coefficient is drawn to its proportion: as if runs scattered by 10 % and proportions by 70 %
_SHRINK = 5  # with so many runs on a kind of host, its factor is halfway between 1 and the measured one
_SIMILAR = 3.0  # a network is known if one with a third to three times its multiply-adds was measured
_FOLDS = 10
_MEMORY_LEVEL = 0.99


@dataclass(frozen=True)
class Observation:
    """One measured run.

    peak_mem_mb: peak memory of its worker so far; import_mb: memory of the process that loaded torch for it; start_mb: memory
    of its worker before the first training (both 0: not recorded); worker: a name of the worker's process.
    """

    run: RunSpec
    cpu_s: float
    wall_s: float
    peak_mem_mb: float
    finished_at_s: float
    host: str
    cpu: str
    product_route: str
    torch: str
    cpu_threads: int = 1
    worker: str = ""
    import_mb: float = 0.0
    start_mb: float = 0.0


@dataclass(frozen=True)
class Setting:
    """Where runs will be executed. cpu, product_route, host: empty if not known, as on a cluster."""

    torch: str
    cpu_threads: int = 1
    cpu: str = ""
    product_route: str = ""
    host: str = ""

    def fits(self, one: Observation) -> bool:
        """Whether a run was measured in such a setting."""
        is_same = (one.torch, one.cpu_threads) == (self.torch, self.cpu_threads)
        return is_same and (not self.cpu or (one.cpu, one.product_route) == (self.cpu, self.product_route))


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured for one kind of run.

    coefficients: float64 (5,), seconds for each of the terms; networks: the multiply-adds of the smallest and the largest
    measured network; cpu, wall: bounds of the logarithm of the measured CPU and wall seconds divided by the CPU seconds of the
    model.
    """

    coefficients: np.ndarray
    networks: tuple[float, float]
    n_runs: int
    n_hosts: int
    cpu: Bounds
    wall: Bounds


@dataclass(frozen=True, eq=False)
class Knowledge:
    """What is known about costs.

    import_mb: memory of a process that has loaded torch; growth_mb: memory of a worker in addition to this, its data set, and
    the least that training needs.
    """

    kinds: Mapping[Kind, Measured] = field(default_factory=dict)
    import_mb: float = IMPORT_MB["cuda"]
    growth_mb: Range = GROWTH_MB

    def of(self, run: RunSpec) -> Measured | None:
        """What was measured for the run's kind; None if neither its network nor a similar one was measured."""
        found = self.kinds.get(kind_of(run))
        if not found:
            return None
        smallest, largest = found.networks
        return found if smallest / _SIMILAR <= multiply_adds(run) <= largest * _SIMILAR else None

    def n_hosts_of(self, cells: Iterable[RunSpec]) -> int:
        """The number of hosts on which every kind of these runs was measured; 0 if a kind is unknown."""
        return min((found.n_hosts if (found := self.of(run)) else 0 for run in cells), default=0)


PUBLISHED = Knowledge()


def kind_of(run: RunSpec) -> Kind:
    """The kind of a run."""
    own = (run.extensions, run.own_data) if run.has_own_model else ()
    return run.model_type, run.precision, *own


def name_of(run: RunSpec) -> str:
    """The kind of a run for people, as in `mlp float32`."""
    return " ".join(kind_of(run)[:2])


def learn(observations: Iterable[Observation], setting: Setting, import_mb: float = IMPORT_MB["cuda"]) -> Knowledge:
    """What measured runs say about runs in a setting.

    Args:
        observations: in any order; old ones and those of other settings are left out.
        import_mb: used if none was measured, in 10**6 bytes.
    """
    by_kind: dict[Kind, list[Observation]] = defaultdict(list)
    for one in sorted(filter(setting.fits, observations), key=lambda one: -one.finished_at_s):
        if len(by_kind[kind_of(one.run)]) < NEWEST and one.cpu_s > 0 and one.wall_s > 0:
            by_kind[kind_of(one.run)].append(one)
    every = [one for some in by_kind.values() for one in some]
    imports = [one.import_mb for one in every if one.import_mb]
    return Knowledge(
        {kind: _measured(some, PROPORTIONS[like(kind[0])], setting.host) for kind, some in by_kind.items() if some},
        max(imports, default=import_mb),
        _growth_mb(every),
    )


def _measured(some: Sequence[Observation], proportions: np.ndarray, host: str) -> Measured:
    x, cpu_s, wall_s = np.stack([terms(one.run) for one in some]), *np.array([(one.cpu_s, one.wall_s) for one in some]).T
    machines = [(one.cpu, one.product_route) for one in some]
    factors = _factors(machines, cpu_s / (x @ fit(x, cpu_s, proportions)))
    coefficients = fit(x, cpu_s / factors, proportions)
    model_s = _out_of_fold(x, cpu_s / factors, proportions)
    sizes = [multiply_adds(one.run) for one in some]
    hosts = np.array([one.host for one in some])

    def bounds(seconds: np.ndarray) -> Bounds:
        residuals = np.log(seconds / model_s)
        if host and (hosts == host).any():
            return of_known_host(residuals[hosts == host])
        return of_new_host([residuals[hosts == each] for each in dict.fromkeys(hosts.tolist())])

    return Measured(coefficients, (min(sizes), max(sizes)), len(some), len({*hosts.tolist()}), bounds(cpu_s), bounds(wall_s))


def fit(x: np.ndarray, seconds: np.ndarray, proportions: np.ndarray) -> np.ndarray:
    """Fit coefficients, float64 (5,), none negative, with the least sum of squared relative errors.

    Args:
        x: float64 (n, 5), terms of the runs; equal rows count as one run with their median time.
        seconds: float64 (n,), measured CPU seconds.
        proportions: float64 (5,), to which the coefficients are drawn.
    """
    shapes, place = np.unique(x, axis=0, return_inverse=True)
    typical_s = np.array([np.median(seconds[place.ravel() == i]) for i in range(len(shapes))])
    near = proportions * np.median(typical_s / (shapes @ proportions))
    rows = shapes * near / typical_s[:, None]
    return near * _non_negative(rows.T @ rows + _PULL * np.eye(len(near)), rows.sum(axis=0) + _PULL)


def _non_negative(gram: np.ndarray, moment: np.ndarray) -> np.ndarray:
    """The x >= 0 that minimises x'Gx - 2m'x. All subsets of positive coefficients are tried."""
    best, least = np.zeros(len(moment)), 0.0
    for chosen in itertools.product([False, True], repeat=len(moment)):
        free, x = np.flatnonzero(chosen), np.zeros(len(moment))
        x[free] = np.linalg.solve(gram[np.ix_(free, free)], moment[free])
        if (x >= 0).all() and float(-moment @ x) < least:
            best, least = x, float(-moment @ x)
    return best


def _factors(machines: Sequence[tuple[str, str]], ratios: np.ndarray) -> np.ndarray:
    """float64 (n,): how many times as long a run takes on its kind of host as on average; shrunk to 1 if few were measured."""
    logarithms, factors = np.log(ratios) - np.log(ratios).mean(), np.ones(len(ratios))
    for machine in set(machines):
        own = np.array([each == machine for each in machines])
        factors[own] = math.exp(logarithms[own].sum() / (own.sum() + _SHRINK))
    return factors


def _out_of_fold(x: np.ndarray, seconds: np.ndarray, proportions: np.ndarray) -> np.ndarray:
    """float64 (n,): the model's prediction for each run from a fit without the runs of its shape.

    With fewer than four shapes, the fit has all runs, because then most new runs have one of these shapes.
    """
    shapes, place = np.unique(x, axis=0, return_inverse=True)
    fold = place.ravel() % _FOLDS
    if len(shapes) < 4:
        return x @ fit(x, seconds, proportions)
    found = np.empty(len(x))
    for number in np.unique(fold):
        out = fold == number
        found[out] = x[out] @ fit(x[~out], seconds[~out], proportions)
    return found


def _growth_mb(some: Iterable[Observation]) -> Range:
    """Memory of workers beyond their start and the least that training needs. The high end is the 99 % quantile of workers."""
    workers: dict[str, list[Observation]] = defaultdict(list)
    for one in some:
        if one.start_mb:
            workers[one.worker].append(one)
    grown = np.array(
        [
            max(0.0, max(one.peak_mem_mb for one in ones) - ones[0].start_mb - max(training_mb(one.run) for one in ones))
            for ones in workers.values()
        ]
    )
    if not len(grown):
        return GROWTH_MB
    high = bound(grown, _MEMORY_LEVEL)
    return Range(float(grown.min()), high if math.isfinite(high) else max(GROWTH_MB.high, *grown), float(np.median(grown)))
