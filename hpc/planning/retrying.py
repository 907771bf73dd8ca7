"""The rules for retries: how a task ended, whether its run is to blame, what to ask for next time, and when to give up."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from hpc.planning.tasks import Retry
from hpc.planning.workers import Limits

MAX_TRIES = 3
_MORE = 1.5  # factor on the memory or the time that was not enough


class Reason(Enum):
    """Why a task ended before all its runs had a record."""

    MEMORY = "MEMORY"  # it used more memory than it had asked for
    TIME = "TIME"  # it reached its time limit without finishing a run
    RAISED = "RAISED"  # its process failed
    STORAGE = "STORAGE"  # its results could not be written: disk full, quota, no permission
    CANCELLED = "CANCELLED"  # a user cancelled it
    CLUSTER = "CLUSTER"  # a node failed, or it was preempted, for example
    NOT_ENDED = "NOT_ENDED"  # accounting says that it has not ended
    UNKNOWN = "UNKNOWN"  # not known; the scheduler is asked again later


BLAMED = (Reason.MEMORY, Reason.TIME, Reason.RAISED)  # caused by the run that was training; other reasons are not


@dataclass(frozen=True)
class Outcome:
    """How a task ended that left some of its runs without a record.

    run_id: the run that was training, empty if none was; said: the scheduler's own term; node, job: where it was executed;
    mem_mb, time_limit_min: what had been asked for.
    """

    task: int
    run_id: str
    reason: Reason
    said: str
    node: str
    job: str
    mem_mb: float
    time_limit_min: float

    @property
    def is_blamed_on_run(self) -> bool:
        """Whether the run that was training is to blame."""
        return bool(self.run_id) and self.reason in BLAMED


def tries(outcomes: Iterable[Outcome], failures: Iterable[str]) -> Counter[str]:
    """run_id -> number of failed tries.

    Args:
        outcomes: how tasks ended; only those blamed on a run count.
        failures: the run_id of each record of a failure.
    """
    return Counter([*failures, *(outcome.run_id for outcome in outcomes if outcome.is_blamed_on_run)])


def retries(outcomes: Iterable[Outcome], limits: Limits) -> dict[str, Retry]:
    """run_id -> the least to ask for: 1.5 times the memory or time that was not enough, but at most what the cluster has.

    After a failure for another reason, no more is asked for, but the run still gets a task of its own.
    """
    found: dict[str, Retry] = {}
    for outcome in outcomes:
        if outcome.is_blamed_on_run:
            before = found.get(outcome.run_id, Retry())
            mem_mb = outcome.mem_mb * _MORE if outcome.reason is Reason.MEMORY else 0
            time_min = outcome.time_limit_min * _MORE if outcome.reason is Reason.TIME else 0
            found[outcome.run_id] = Retry(
                min(max(before.mem_mb, mem_mb), limits.mem_mb), min(max(before.time_limit_min, time_min), limits.time_limit_min)
            )
    return found
