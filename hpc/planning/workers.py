"""The workers of a plan on a scheduler: their number, time limit and memory, in arrays within the scheduler's limits.

A worker executes task after task (jobs/taking.py), so an array does not have tasks of its own. If possible, all workers of a
campaign are one array, so that none has to end while others have work left.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hpc.planning.tasks import Plan, PlannedTask
from noisy.spec import Execution

WORKER_TIME_MIN = 60  # time limit of a worker, unless the grid has another
START_MIN = 3  # time of a worker for importing torch from a busy file system, and for the warning before the limit
MARGIN = 1.25  # factor on the high end of the estimated time
_MEMORY_MARGIN = 1.15  # factor on the memory that 99 of 100 workers do not exceed
# Factors on the number of workers that the work needs. A worker that finds nothing to do ends within two seconds, but a hundred
# of them start within a minute. So there are fewer if costs were measured; nodes differ by up to a third even then.
_SURPLUS, _SURPLUS_IF_MEASURED = 2.0, 1.3
_USED = 0.85  # largest part of a worker's time that is planned for runs
_MOST_WASTE = 0.15  # largest share of memory x time that is wasted if all workers get what the largest runs need
_SWEEP_WORKERS, _SWEEP_MEMORY = 4, 1.5  # largest number of sweep workers, and factor on their memory


@dataclass(frozen=True)
class Limits:
    """What the cluster allows.

    max_array_size: indices of an array are below it; max_submitted: the most array elements of the user at a time; mem_mb:
    memory of the partition's largest node, in 10**6 bytes; time_limit_min: the longest time limit in the partition.
    """

    max_array_size: int
    max_submitted: int
    mem_mb: float = math.inf
    time_limit_min: float = math.inf


@dataclass(frozen=True)
class FirstRequest:
    """What the user asks for each worker. A retry may ask for more. None: the estimate is used."""

    mem_mb: int | None = None
    time_limit_min: int | None = None


NOTHING_ASKED = FirstRequest()


@dataclass(frozen=True)
class Resources:
    """What each worker of an array gets from the scheduler. mem_mb: in 10**6 bytes."""

    cpus: int
    gpus: int
    mem_mb: int
    time_limit_min: int


@dataclass(frozen=True)
class PlannedArray:
    """Workers that are submitted as one array.

    parallel: the most of them that run at a time; after: the places of the arrays that have to end first; is_sweep: whether
    they execute what killed workers left undone.
    """

    n_workers: int
    resources: Resources
    parallel: int
    after: tuple[int, ...] = ()
    is_sweep: bool = False


def needed_mb(task: PlannedTask, first: FirstRequest) -> int:
    """A worker's memory for a task, in 10**6 bytes: the user's request or the estimate, and at least what a retry needs."""
    estimated_mb = math.ceil(task.per_run.mem_mb.high * _MEMORY_MARGIN)
    return math.floor(max(estimated_mb if first.mem_mb is None else first.mem_mb, task.retry.mem_mb))


def arrays(
    planned: Plan, limits: Limits, first: FirstRequest, worker_time_min: int = WORKER_TIME_MIN, room: float = math.inf
) -> tuple[PlannedArray, ...]:
    """The workers for a plan: one array; more only if one would be larger than the cluster allows, or would waste memory.

    At most `planned.workers` workers of all arrays run at a time. If there are more arrays than workers, later arrays wait for
    earlier ones. The last array is the sweep, which waits for all others.

    Args:
        worker_time_min: the time limit of a worker in minutes, if there is enough work.
        room: the most workers in total; if it is small, the sweep is smaller or left out.
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
    """Groups of tasks whose workers get the same resources. Small tasks are a group of their own if this saves much memory.

    Retries that need more memory or time than all other tasks are a group, too.
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
    """The tasks as one group, or as two if this saves much memory x time. The second group needs less memory."""
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
    """The time limit, in minutes, for the longest computation of a task: one run, or runs that are trained together."""
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
    """What each worker asks for: the usual time, or less if there is less work, but enough for the longest run."""
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
    """The seconds of a worker's time in which it trains."""
    return 60 * min(_USED * time_limit_min, max(time_limit_min - START_MIN, time_limit_min / 4))


def _side_by_side(made: Sequence[PlannedArray], workers: int) -> list[PlannedArray]:
    """Arrays with their shares of the workers. If there are more arrays than workers, later ones wait for earlier ones."""
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
    """The number of workers of each group, 1 to its size; at most `workers` in total (1 each if there are more groups)."""
    if len(sizes) >= workers:
        return [1] * len(sizes)
    shares = [1] * len(sizes)
    for _ in range(workers - len(sizes)):  # one more worker for the group that would take longest
        open_groups = [i for i, size in enumerate(sizes) if shares[i] < size]
        if not open_groups:
            break
        shares[max(open_groups, key=lambda i: costs_s[i] / shares[i])] += 1
    return shares
