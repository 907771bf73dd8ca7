"""Workers for a plan: how many are asked of a scheduler, for how long, and with how much memory, in arrays within its limits.

A worker takes task after task (jobs/taking.py), so an array of workers has no tasks of its own. All workers of a campaign are
one array, where that is possible: then none has to end while others have work left.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hpc.planning.tasks import Plan, PlannedTask
from noisy.spec import Execution

WORKER_TIME_MIN = 60  # for which a worker is asked, unless the grid says otherwise
START_MIN = 3  # of a worker: importing torch from a busy file system, and the warning before the limit
MARGIN = 1.25  # times the high end of the estimated time is asked for
_MEMORY_MARGIN = 1.15  # times the memory that 99 of 100 workers stay below
# Times the workers that the work needs. Each that finds nothing left ends within a second or two; but a hundred of them start
# within a minute, so there are fewer where costs were measured, and nodes differ by up to a third.
_SURPLUS, _SURPLUS_IF_MEASURED = 2.0, 1.3
_USED = 0.85  # of a worker's time, at most
_MOST_WASTE = 0.15  # of memory x time, by giving all workers what the largest runs need
_SWEEP_WORKERS, _SWEEP_MEMORY = 4, 1.5  # at most so many, each with so many times the memory


@dataclass(frozen=True)
class Limits:
    """What the cluster allows.

    max_array_size: every index of an array is below it; max_submitted: array elements of the user at one time; mem_mb: of the
    partition's largest node, in 10**6 bytes; time_limit_min: of the partition.
    """

    max_array_size: int
    max_submitted: int
    mem_mb: float = math.inf
    time_limit_min: float = math.inf


@dataclass(frozen=True)
class FirstRequest:
    """What the user asks for each worker, instead of the estimates. A retry may ask for more. None: the estimate is used."""

    mem_mb: int | None = None
    time_limit_min: int | None = None


NOTHING_ASKED = FirstRequest()


@dataclass(frozen=True)
class Resources:
    """What is asked of a scheduler for each worker of an array. mem_mb: in 10**6 bytes."""

    cpus: int
    gpus: int
    mem_mb: int
    time_limit_min: int


@dataclass(frozen=True)
class PlannedArray:
    """Workers that are submitted at once.

    parallel: how many of them run at one time; after: the places of the arrays that have to end first; is_sweep: whether they
    do what workers left behind that were killed.
    """

    n_workers: int
    resources: Resources
    parallel: int
    after: tuple[int, ...] = ()
    is_sweep: bool = False


def needed_mb(task: PlannedTask, first: FirstRequest) -> int:
    """The memory that a task needs of a worker: the user's first request or the estimate, and at least what a retry needs."""
    estimated_mb = math.ceil(task.per_run.mem_mb.high * _MEMORY_MARGIN)
    return math.floor(max(estimated_mb if first.mem_mb is None else first.mem_mb, task.retry.mem_mb))


def arrays(
    planned: Plan, limits: Limits, first: FirstRequest, worker_time_min: int = WORKER_TIME_MIN, room: float = math.inf
) -> tuple[PlannedArray, ...]:
    """The workers for a plan: one array; others only where one would be larger than the cluster allows, or would waste memory.

    The numbers of workers that run at one time are never more than `planned.workers` together. If there are more arrays than
    workers, the later ones wait for earlier ones. The last array is the sweep. It waits for all others.

    Args:
        worker_time_min: for how long a worker is asked, if there is work for so long.
        room: the most workers in all; where it is small, the sweep is smaller, or left out.
    """
    groups = _groups(planned, first)
    works_s = [sum(task.cost.wall_s.middle for task in group) for group in groups]
    shares = _shares([len(group) for group in groups], works_s, planned.workers)
    surplus = _SURPLUS_IF_MEASURED if planned.n_hosts else _SURPLUS
    made: list[PlannedArray] = []
    for group, work_s, share in zip(groups, works_s, shares, strict=True):
        asked = _resources(group, share, planned.execution, limits, first, worker_time_min)
        n_workers = max(min(share, len(group)), math.ceil(surplus * work_s / _useful_s(asked.time_limit_min)))
        n_pieces = math.ceil(n_workers / limits.max_array_size)
        sizes = [n_workers * (i + 1) // n_pieces - n_workers * i // n_pieces for i in range(n_pieces)]
        made += [PlannedArray(size, asked, share) for size in sizes]
    return _with_sweep(_side_by_side(made, planned.workers), planned, limits, room)


def _groups(planned: Plan, first: FirstRequest) -> list[list[PlannedTask]]:
    """Tasks for workers of the same kind. Small tasks come apart where else much memory would be wasted.

    Retries that need more memory or time than all other tasks come apart, too.
    """
    plain = [task for task in planned.tasks if not _is_retry(task)]
    usual_mb = max((needed_mb(task, first) for task in plain), default=0)
    usual_min = max((_least_min(task, first) for task in plain), default=0)
    more = list[PlannedTask]()
    for task in filter(_is_retry, planned.tasks):
        is_usual = needed_mb(task, first) <= usual_mb and _least_min(task, first) <= usual_min
        (plain if is_usual else more).append(task)
    return [group for group in (*_by_memory(plain, planned.workers, first), more) if group]


def _is_retry(task: PlannedTask) -> bool:
    return bool(task.retry.mem_mb or task.retry.time_limit_min)


def _by_memory(tasks: Sequence[PlannedTask], workers: int, first: FirstRequest) -> list[list[PlannedTask]]:
    """The tasks as one group, or as two if that saves much memory x time. The second group needs less memory."""
    ordered = sorted(tasks, key=lambda task: -needed_mb(task, first))
    needs = [needed_mb(task, first) for task in ordered]
    before_s = list(itertools.accumulate((task.cost.wall_s.middle for task in ordered), initial=0.0))
    cuts = [place for place in range(1, len(needs)) if needs[place] < needs[place - 1]] if workers > 1 else []

    def cost(place: int) -> float:
        return needs[0] * before_s[place] + needs[place] * (before_s[-1] - before_s[place])

    best = min(cuts, key=cost, default=0)
    is_worth_it = best and cost(best) < (1 - _MOST_WASTE) * needs[0] * before_s[-1]
    return [ordered[:best], ordered[best:]] if is_worth_it else [ordered]


def _least_min(task: PlannedTask, first: FirstRequest) -> int:
    """The time limit that a worker needs for the longest computation of a task: a run, or runs that are trained together."""
    at_once = task.per_run.times(min(len(task.runs), task.runs_together), task.least_gpu_s)
    estimated_min = math.ceil(at_once.wall_s.high * MARGIN / 60) + START_MIN
    return math.floor(max(first.time_limit_min or estimated_min, task.retry.time_limit_min))


def _resources(
    group: Sequence[PlannedTask],
    workers: int,
    execution: Execution,
    limits: Limits,
    first: FirstRequest,
    worker_time_min: int,
) -> Resources:
    """What is asked for each worker: the usual time, or less where there is less work; but enough for the longest run."""
    work_s = sum(task.cost.wall_s.high for task in group) / workers
    usual_min = min(worker_time_min, math.ceil(work_s * MARGIN / 60) + START_MIN, limits.time_limit_min)
    least_min = max(_least_min(task, first) for task in group)
    return Resources(
        cpus=execution.cpu_threads + execution.data_workers,
        gpus=int(execution.use_cuda),
        mem_mb=max(needed_mb(task, first) for task in group),
        time_limit_min=math.floor(least_min if first.time_limit_min else max(usual_min, least_min)),
    )


def _useful_s(time_limit_min: int) -> float:
    """The time in which a worker trains."""
    return 60 * min(_USED * time_limit_min, max(time_limit_min - START_MIN, time_limit_min / 4))


def _side_by_side(made: Sequence[PlannedArray], workers: int) -> list[PlannedArray]:
    """Arrays with their share of the workers; where there are more arrays than workers, later ones wait for earlier ones."""
    costs_s = [array.n_workers * _useful_s(array.resources.time_limit_min) for array in made]
    shares = _shares([array.n_workers for array in made], costs_s, workers)
    return [
        replace(array, parallel=share, after=(i - workers,) if i >= workers else ())
        for i, (array, share) in enumerate(zip(made, shares, strict=True))
    ]


def _with_sweep(made: Sequence[PlannedArray], planned: Plan, limits: Limits, room: float) -> tuple[PlannedArray, ...]:
    largest_mb, longest_min = (max(getattr(a.resources, name) for a in made) for name in ("mem_mb", "time_limit_min"))
    n_workers = int(min(_SWEEP_WORKERS, planned.workers, limits.max_array_size, room - sum(array.n_workers for array in made)))
    if n_workers < 1:
        return tuple(made)
    mem_mb = math.floor(max(largest_mb, min(largest_mb * _SWEEP_MEMORY, limits.mem_mb)))
    asked = replace(made[0].resources, mem_mb=mem_mb, time_limit_min=longest_min)
    return *made, PlannedArray(n_workers, asked, n_workers, tuple(range(len(made))), is_sweep=True)


def _shares(sizes: Sequence[int], costs_s: Sequence[float], workers: int) -> list[int]:
    """Workers of each group, 1 to its size; their sum is at most `workers` (1 each, if there are more groups)."""
    if len(sizes) >= workers:
        return [1] * len(sizes)
    shares = [1] * len(sizes)
    for _ in range(workers - len(sizes)):  # one more for the group that would take longest
        open_groups = [i for i, size in enumerate(sizes) if shares[i] < size]
        if not open_groups:
            break
        shares[max(open_groups, key=lambda i: costs_s[i] / shares[i])] += 1
    return shares
