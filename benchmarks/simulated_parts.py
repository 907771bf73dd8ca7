"""What a simulated campaign is made of: a cluster, tasks, arrays of workers, and what happened. See benchmarks/simulate.py."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linprog

from jobs.taking import Need


@dataclass(frozen=True)
class Cluster:
    """What is drawn for one campaign.

    run_s: float (nodes, kinds), mean wall seconds of a run; node: int (slots,), where each slot is; noise: float (n,), a factor
    of a run's time; mem_mb: float (kinds,), resident memory of a worker that trains this kind; growth_mb: mean and standard
    deviation of what its heap has grown by.
    """

    run_s: np.ndarray
    node: np.ndarray
    noise: np.ndarray
    mem_mb: np.ndarray
    growth_mb: tuple[float, float]

    def bound_s(self, n_runs: Sequence[int]) -> float:
        """The fluid bound: no schedule of n_runs (kinds,) ends earlier, even if runs could be cut into any pieces.

        Minimise T over x (nodes, kinds) >= 0, where x sums to n_runs over nodes, and no node is busy for longer than T on each
        of its slots.
        """
        n_nodes, n_kinds = self.run_s.shape
        busy = np.zeros((n_nodes, n_nodes * n_kinds + 1))
        for node in range(n_nodes):
            busy[node, node * n_kinds : (node + 1) * n_kinds] = self.run_s[node] * self.noise.mean()
        busy[:, -1] = -np.bincount(self.node, minlength=n_nodes)
        whole = np.hstack([np.tile(np.eye(n_kinds), n_nodes), np.zeros((n_kinds, 1))])
        goal = np.append(np.zeros(n_nodes * n_kinds), 1)
        return float(linprog(goal, busy, np.zeros(n_nodes), whole, n_runs).fun)


@dataclass(frozen=True)
class Line:
    """A task: so many runs of one kind, and what its line in tasks.jsonl says that they need."""

    kind: int
    n_runs: int
    need: Need


@dataclass(frozen=True)
class Elements:
    """A job array. lines: those that its elements may take. is_owner: element i executes line i of them and no other, as before
    workers claimed tasks; is_sweep: it starts when all others have ended."""

    n: int
    parallel: int
    time_limit_s: float
    mem_mb: int
    lines: range
    is_owner: bool = False
    is_sweep: bool = False


@dataclass
class Result:
    """What happened. starts_s: of each element, in order; n_idle: elements that found nothing to do; n_hits: runs lost
    at a time limit, with lost_s; n_left: runs that nobody executed. Sums over elements that did something: used_s, limit_s,
    used_mb_s, asked_mb_s."""

    end_s: float = 0.0
    starts_s: list[float] = field(default_factory=list)
    n_idle: int = 0
    n_hits: int = 0
    n_oom: int = 0
    n_left: int = 0
    n_claims: int = 0
    lost_s: float = 0.0
    used_s: float = 0.0
    limit_s: float = 0.0
    used_mb_s: float = 0.0
    asked_mb_s: float = 0.0
