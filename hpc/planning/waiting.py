"""The number of workers of a new submission, so that with the arrays in the queue at most `max_workers` run at a time."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class BusyArray:
    """An array in the queue. waits_for: the jobs that have to end before it starts; job_id: None if not yet known."""

    job_id: str | None
    parallel: int
    waits_for: tuple[str, ...] = ()


def share_left(busy: Sequence[BusyArray], max_workers: int) -> tuple[int, str | None]:
    """How many workers a new submission may have in addition to the arrays in the queue, and the job that it waits for, if any.

    All arrays of a campaign together never have more than `max_workers` workers at a time. If no worker is free, the new arrays
    wait for a queued array, and get those of its workers that other waiting arrays do not take.

    Raises:
        LookupError: every such array is still being submitted, so it has no job id to wait for.
    """
    left = max_workers - sum(_width(array, busy) for array in busy if not _is_waiting(array, busy))
    if left > 0 or not busy:
        return max(left, 1), None
    free = [(array.parallel - _width_after(array, busy), array.job_id) for array in busy if array.job_id]
    workers, job_id = max(free, key=lambda one: one[0], default=(0, None))
    if workers < 1:
        raise LookupError("all workers belong to a submission that is still being submitted")
    return workers, job_id


def _is_waiting(array: BusyArray, busy: Sequence[BusyArray]) -> bool:
    return any(other.job_id in array.waits_for for other in busy)


def _width(array: BusyArray, busy: Sequence[BusyArray]) -> int:
    """The most workers at a time of an array, or of the arrays that wait for it."""
    return max(array.parallel, _width_after(array, busy))


def _width_after(array: BusyArray, busy: Sequence[BusyArray]) -> int:
    return sum(_width(other, busy) for other in busy if array.job_id and array.job_id in other.waits_for)
