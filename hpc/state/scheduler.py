"""What the state of runs asks of a scheduler, and what it answers."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hpc.planning.efficiency import Span
from hpc.planning.retrying import Outcome, Reason
from hpc.state.submissions import Submission
from jobs.campaign import Campaign


class SchedulerError(Exception):
    """A scheduler cannot be asked, or refuses; the message says which program, and what it said."""


@dataclass(frozen=True)
class TaskActivity:
    """A task that may still be executed.

    is_begun: whether it is being executed; job: its name for the scheduler, if any; why: why it waits, in words, if known.
    """

    is_begun: bool
    job: str | None = None
    why: str = ""


@dataclass(frozen=True)
class WorkerActivity:
    """A worker that may be at work, or that waits. array: the name of its array; the others as in TaskActivity."""

    array: str
    is_begun: bool
    job: str | None = None
    why: str = ""


@dataclass(frozen=True)
class Activity:
    """What may still be executed of a submission. (hpc/state/claimed.py adds the tasks that workers claim.)

    is_known: False if it cannot be found out from this host. doubt: why there may be others too, unless it is known how they
    ended; empty if there is no such doubt.
    """

    tasks: Mapping[int, TaskActivity]
    is_known: bool = True
    doubt: str = ""
    workers: tuple[WorkerActivity, ...] = ()


@dataclass(frozen=True)
class EndedAttempt:
    """An attempt that is no longer executed and left runs without a record.

    task: -1 for a worker that took no task; run_id: the run that was training, empty if none was; job: that executed it.
    """

    task: int
    run_id: str
    job: str


class Scheduler(ABC):
    """Who executes submissions of one kind."""

    @abstractmethod
    def at_work(self, submissions: Sequence[Submission]) -> dict[Submission, Activity]:
        """The tasks of each submission that may still be executed.

        Raises:
            SchedulerError: nobody answers.
        """

    def explain(self, ended: Mapping[Submission, Sequence[EndedAttempt]]) -> dict[Submission, list[Outcome]]:
        """How attempts ended. By default, nobody knows.

        Raises:
            SchedulerError: nobody answers.
        """
        return {}

    def spans(self, campaign: Campaign, submissions: Sequence[Submission]) -> list[Span]:
        """When the jobs of submissions began and ended, and what they had asked for. By default, nobody knows.

        Raises:
            SchedulerError: nobody answers.
        """
        return []

    def more_workers(self, submission: Submission, n_workers: int) -> str:
        """What to type so that so many workers of a submission run at one time; empty if nothing helps."""
        return ""

    def reason_of(self, said: str) -> Reason:
        """What the scheduler's own word for an end means."""
        return Reason.UNKNOWN
