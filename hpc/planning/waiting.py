"""What a new submission may have beside the arrays in the queue: never more than `max_workers` run at one time."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class BusyArray:
    """An array in the queue. waits_for: the jobs that have to end before it starts; job_id: None if not yet known."""

    job_id: str | None
    parallel: int
    waits_for: tuple[str, ...] = ()


def share_left(busy: Sequence[BusyArray], max_workers: int) -> tuple[int, str | None]:
    """How many workers a new submission may have beside the arrays in the queue, and the job that it has to wait for, if any.

    All arrays of a campaign together never have more than `max_workers` workers at one time. If no worker is free, the new
    arrays start after a queued array, and take the workers that those which wait for it already leave free.

    Raises:
        LookupError: every such array is still being submitted, so no job can wait for it yet.
    """
    left = max_workers - sum(_width(array, busy) for array in busy if not _is_waiting(array, busy))
    if left > 0 or not busy:
        return max(left, 1), None
    free = [(array.parallel - _width_after(array, busy), array.job_id) for array in busy if array.job_id]
    workers, job_id = max(free, key=lambda one: one[0], default=(0, None))
    if workers < 1:
        raise LookupError("all workers are taken by a submission that is still being handed over")
    return workers, job_id


def _is_waiting(array: BusyArray, busy: Sequence[BusyArray]) -> bool:
    return any(other.job_id in array.waits_for for other in busy)


def _width(array: BusyArray, busy: Sequence[BusyArray]) -> int:
    """How many workers an array has at one time, and later the arrays that wait for it."""
    return max(array.parallel, _width_after(array, busy))


def _width_after(array: BusyArray, busy: Sequence[BusyArray]) -> int:
    return sum(_width(other, busy) for other in busy if array.job_id and array.job_id in other.waits_for)
