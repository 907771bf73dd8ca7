"""What the state of runs asks of a scheduler."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from hpc.planning.retrying import Outcome, Reason
from hpc.state.submissions import Activity, Submission


class SchedulerError(Exception):
    """A scheduler cannot be asked, or refuses; the message says which program, and what it said."""


class Scheduler(ABC):
    """Who executes submissions of one kind."""

    @abstractmethod
    def at_work(self, submissions: Sequence[Submission]) -> dict[Submission, Activity]:
        """The tasks of each submission that may still be executed.

        Raises:
            SchedulerError: nobody answers.
        """

    def explain(self, ended: Mapping[Submission, Mapping[int, str]]) -> dict[Submission, list[Outcome]]:
        """How tasks ended. Each is given with the run that was training, empty if none was. By default, nobody knows.

        Raises:
            SchedulerError: nobody answers.
        """
        return {}

    def reason_of(self, said: str) -> Reason:
        """What the scheduler's own word for an end means."""
        return Reason.UNKNOWN
