"""The questions about runs that a scheduler answers, and the form of its answers."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hpc.planning.efficiency import Span
from hpc.planning.retrying import Outcome, Reason
from hpc.state.submissions import Submission
from jobs.campaign import Campaign


class SchedulerError(Exception):
    """A scheduler cannot be asked, or refuses. The message names the program and what it said."""


@dataclass(frozen=True)
class TaskActivity:
    """A task that may still be executed.

    is_begun: whether it is being executed; job: its name for the scheduler, if any; why: why it waits, if known.
    """

    is_begun: bool
    job: str | None = None
    why: str = ""


@dataclass(frozen=True)
class WorkerActivity:
    """A worker that may be at work, or that waits. array: the name of its array; the other fields are those of TaskActivity."""

    array: str
    is_begun: bool
    job: str | None = None
    why: str = ""


@dataclass(frozen=True)
class Activity:
    """The tasks and workers of a submission that may be at work. (hpc/state/claimed.py adds the tasks that workers claimed.)

    is_known: False if this cannot be found out from this host. doubt: why workers that are not listed may be at work too,
    unless it is known how they ended; empty if they cannot be.
    """

    tasks: Mapping[int, TaskActivity]
    is_known: bool = True
    doubt: str = ""
    workers: tuple[WorkerActivity, ...] = ()


@dataclass(frozen=True)
class EndedAttempt:
    """An attempt that is no longer at work and left runs without a record.

    task: -1 for a worker that took no task; run_id: the run that was training, empty if none was; job: the job that executed
    it.
    """

    task: int
    run_id: str
    job: str


class Scheduler(ABC):
    """What executes submissions of one kind: this machine, or a scheduler."""

    @abstractmethod
    def at_work(self, submissions: Sequence[Submission]) -> dict[Submission, Activity]:
        """The tasks of each submission that may still be executed.

        Raises:
            SchedulerError: the scheduler does not answer.
        """

    def explain(self, ended: Mapping[Submission, Sequence[EndedAttempt]]) -> dict[Submission, list[Outcome]]:
        """How attempts ended. By default, this is unknown.

        Raises:
            SchedulerError: the scheduler does not answer.
        """
        return {}

    def spans(self, campaign: Campaign, submissions: Sequence[Submission]) -> list[Span]:
        """When the jobs of submissions began and ended, and what they had asked for. By default, this is unknown.

        Raises:
            SchedulerError: the scheduler does not answer.
        """
        return []

    def more_workers(self, submission: Submission, n_workers: int) -> str:
        """The command with which `n_workers` workers of a submission run at a time; empty if there is none."""
        return ""

    def reason_of(self, said: str) -> Reason:
        """The meaning of the scheduler's own term for the end of a job."""
        return Reason.UNKNOWN
