"""Tasks -> arrays within a cluster's limits: what is asked for each task, and how many run at a time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from hpc.planning.tasks import Plan, PlannedTask
from noisy.spec import Execution

_MARGIN = 1.25  # times the high end of the estimate is asked for
_START_MIN = 3  # of a task: importing torch from a busy file system, and the warning before the limit


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
    """What the user asks for each task, instead of the estimates. A retry may ask for more. None: the estimate is used."""

    mem_mb: int | None = None
    time_limit_min: int | None = None


@dataclass(frozen=True)
class Resources:
    """What is asked of a scheduler for each task of an array. mem_mb: in 10**6 bytes."""

    cpus: int
    gpus: int
    mem_mb: int
    time_limit_min: int


@dataclass(frozen=True)
class PlannedArray:
    """Consecutive tasks of one resource class, submitted at once.

    parallel: how many of them run at one time; after: the place of the array that has to end first, if any.
    """

    tasks: range
    resources: Resources
    parallel: int
    after: int | None = None


@dataclass(frozen=True)
class BusyArray:
    """An array in the queue. waits_for: the job that has to end before it starts, if any; job_id: None if not yet known."""

    job_id: str | None
    parallel: int
    waits_for: str | None = None


def arrays(planned: Plan, limits: Limits, first: FirstRequest) -> tuple[PlannedArray, ...]:
    """Cut a plan's tasks into arrays of one resource class each.

    Each array's share of the workers follows its cost. The shares of arrays that run at one time are never more than
    `planned.workers` together. If there are more arrays than workers, the later ones wait for earlier ones.
    """
    pieces: list[range] = []
    for _, group in groupby(range(len(planned.tasks)), key=lambda i: (planned.tasks[i].per_run, planned.tasks[i].retry)):
        members = list(group)
        n_pieces = math.ceil(len(members) / limits.max_array_size)
        bounds = [members[0] + len(members) * i // n_pieces for i in range(n_pieces + 1)]
        pieces += [range(start, end) for start, end in pairwise(bounds)]
    costs_s = [sum(planned.tasks[i].cost.wall_s.middle for i in piece) for piece in pieces]
    parallel = _shares([len(piece) for piece in pieces], costs_s, planned.workers)
    return tuple(
        PlannedArray(
            piece,
            _resources([planned.tasks[i] for i in piece], planned.execution, first),
            parallel[i],
            i - planned.workers if i >= planned.workers else None,
        )
        for i, piece in enumerate(pieces)
    )


def share_left(busy: Sequence[BusyArray], max_workers: int) -> tuple[int, str | None]:
    """How many workers a new submission may have beside the arrays in the queue, and the job that it has to wait for, if any.

    All arrays of a campaign together never run more than `max_workers` tasks. If no worker is free, the new arrays start after
    a queued array that no other array waits for.

    Raises:
        LookupError: every such array is still being submitted, so no job can wait for it yet.
    """
    left = max_workers - sum(_width(array, busy) for array in busy if not _is_waiting(array, busy))
    if left > 0 or not busy:
        return max(left, 1), None
    waited_for = {array.waits_for for array in busy}
    ends = [array for array in busy if array.job_id and array.job_id not in waited_for]
    if not ends:
        raise LookupError("all workers are taken by a submission that is still being handed over")
    largest = max(ends, key=lambda array: array.parallel)
    return largest.parallel, largest.job_id


def _is_waiting(array: BusyArray, busy: Sequence[BusyArray]) -> bool:
    return array.waits_for is not None and any(other.job_id == array.waits_for for other in busy)


def _width(array: BusyArray, busy: Sequence[BusyArray]) -> int:
    """How many tasks an array runs at one time, and later the arrays that wait for it."""
    followers = [other for other in busy if array.job_id and other.waits_for == array.job_id]
    return max(array.parallel, sum(_width(other, busy) for other in followers))


def _shares(sizes: list[int], costs_s: list[float], workers: int) -> list[int]:
    """Workers of each array, 1 to the number of its tasks; their sum is at most `workers` (1 each, if there are more)."""
    if len(sizes) >= workers:
        return [1] * len(sizes)
    shares = [1] * len(sizes)
    for _ in range(workers - len(sizes)):  # one more for the array that would take longest
        open_arrays = [i for i, size in enumerate(sizes) if shares[i] < size]
        if not open_arrays:
            break
        shares[max(open_arrays, key=lambda i: costs_s[i] / shares[i])] += 1
    return shares


def _resources(tasks: Sequence[PlannedTask], execution: Execution, first: FirstRequest) -> Resources:
    """The user's first request or the estimate with a margin, but never less than a retry needs."""
    estimated_min = math.ceil(max(task.cost.wall_s.high for task in tasks) * _MARGIN / 60) + _START_MIN
    estimated_mb = math.ceil(tasks[0].per_run.mem_mb.high * _MARGIN)
    retry = tasks[0].retry
    return Resources(
        cpus=execution.cpu_threads + execution.data_workers,
        gpus=int(execution.use_cuda),
        mem_mb=math.floor(max(estimated_mb if first.mem_mb is None else first.mem_mb, retry.mem_mb)),
        time_limit_min=math.floor(
            max(estimated_min if first.time_limit_min is None else first.time_limit_min, retry.time_limit_min)
        ),
    )
