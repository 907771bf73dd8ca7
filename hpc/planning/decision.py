"""Decides what to submit now."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hpc.planning.model import PUBLISHED, Knowledge
from hpc.planning.retrying import Outcome, retries
from hpc.planning.tasks import Plan, PlannedTask, plan
from hpc.planning.workers import BusyArray, FirstRequest, Limits, PlannedArray, arrays, share_left
from noisy.runs import Runs
from noisy.spec import Execution


@dataclass(frozen=True)
class Room:
    """What a cluster has for a campaign. n_queued: array elements of the user; busy: the campaign's arrays in the queue."""

    limits: Limits
    n_queued: int
    busy: tuple[BusyArray, ...]
    max_workers: int


@dataclass(frozen=True)
class Decision:
    """What to submit now.

    whole: the plan of all that is missing; now: its first tasks, for which there is room; arrays: of those, on a scheduler;
    waits_for: the job that has to end first, if any; avoided: nodes on which no task may run; unknown: why the scheduler's
    limits are not known, empty if they are.
    """

    whole: Plan
    now: Plan
    arrays: tuple[PlannedArray, ...] = ()
    waits_for: str | None = None
    unknown: str = ""
    avoided: tuple[str, ...] = ()

    @property
    def held_back(self) -> tuple[PlannedTask, ...]:
        """Tasks for which there is no room yet."""
        return self.whole.tasks[len(self.now.tasks) :]

    @property
    def n_held_back(self) -> int:
        """The number of tasks for which there is no room yet."""
        return len(self.held_back)


def decide(
    runs: Runs,
    execution: Execution,
    room: Room,
    first: FirstRequest,
    outcomes: Iterable[Outcome] = (),
    empty_attempts: Mapping[str, int] | None = None,
    runs_per_task: int | None = None,
    knowledge: Knowledge = PUBLISHED,
) -> Decision:
    """Plan these runs, and cut the plan to what the cluster accepts now.

    Args:
        first: what the user asks for each task.
        outcomes, empty_attempts: what earlier submissions showed (hpc/planning/retrying.py, hpc/planning/tasks.py).
        runs_per_task: the most runs of a task, instead of what the estimates suggest.
        knowledge: what is known of costs.

    Raises:
        LookupError: no worker is free, and there is no job yet to wait for.
    """
    workers, waits_for = share_left(room.busy, room.max_workers)
    more = retries(outcomes, room.limits)
    whole = plan(runs, workers, execution, more, empty_attempts, runs_per_task, knowledge)
    largest = max((len(task.runs) for task in whole.tasks), default=0)
    while largest > 1 and first.time_limit_min is None and _is_too_long(whole, room.limits):
        largest //= 2
        whole = plan(runs, workers, execution, more, empty_attempts, largest, knowledge)
    now = whole.first(max(0, room.limits.max_submitted - room.n_queued))
    return Decision(whole, now, arrays(now, room.limits, first) if now.tasks else (), waits_for)


def _is_too_long(whole: Plan, limits: Limits) -> bool:
    """Whether a task would ask for more time than the cluster allows."""
    wanted_min = (array.resources.time_limit_min for array in arrays(whole, limits, FirstRequest()))
    return max(wanted_min, default=0) > limits.time_limit_min
