"""Decide what to submit now."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from hpc.planning.deadline import in_time
from hpc.planning.model import PUBLISHED, Knowledge
from hpc.planning.retrying import Outcome, retries
from hpc.planning.tasks import Plan, PlannedTask, plan
from hpc.planning.waiting import BusyArray, share_left
from hpc.planning.workers import NOTHING_ASKED, WORKER_TIME_MIN, FirstRequest, Limits, PlannedArray, arrays
from noisy.runs import Runs
from noisy.spec import Execution


@dataclass(frozen=True)
class Room:
    """What a cluster allows a campaign. n_queued: the user's array elements in the queue; busy: the campaign's arrays in it."""

    limits: Limits
    n_queued: int
    busy: tuple[BusyArray, ...]
    max_workers: int


@dataclass(frozen=True)
class Decision:
    """What to submit now.

    whole: the plan for all missing runs; now: its first tasks, for which there is room; arrays: the arrays of these tasks, on a
    scheduler; waits_for: the job that has to end first, if any; avoided: nodes on which no task may run; unknown: why the
    scheduler's limits are not known, empty if they are; first: what the user asks for each worker.
    """

    whole: Plan
    now: Plan
    arrays: tuple[PlannedArray, ...] = ()
    waits_for: str | None = None
    unknown: str = ""
    avoided: tuple[str, ...] = ()
    first: FirstRequest = NOTHING_ASKED

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
    worker_time_min: int = WORKER_TIME_MIN,
    knowledge: Knowledge = PUBLISHED,
    deadline_s: float | None = None,
) -> Decision:
    """Plan these runs, and reduce the plan to the tasks for which the cluster accepts workers now.

    Args:
        first: what the user asks for each worker.
        outcomes, empty_attempts: from earlier submissions (see hpc/planning/retrying.py and hpc/planning/tasks.py).
        runs_per_task: the largest number of runs in a task; None: from the estimated costs.
        worker_time_min: the usual time limit of a worker, in minutes.
        knowledge: what is known of costs.
        deadline_s: seconds after the first start at which everything has to be done; the fewest workers for this are planned.

    Raises:
        LookupError: no worker is free, and there is no job yet to wait for.
        TooLate: the deadline cannot be met.
    """
    workers, waits_for = share_left(room.busy, room.max_workers)
    more = retries(outcomes, room.limits)

    def planned(n_workers: int) -> Plan:
        whole = plan(runs, n_workers, execution, more, empty_attempts, runs_per_task, knowledge)
        largest = max((len(task.runs) for task in whole.tasks), default=0)
        while execution.use_cuda and largest > 1 and first.time_limit_min is None and _is_too_long(whole, room.limits):
            largest //= 2  # runs that are trained together count as one computation
            whole = plan(runs, n_workers, execution, more, empty_attempts, largest, knowledge)
        return whole

    whole = in_time(deadline_s, workers, planned) if deadline_s is not None else planned(workers)
    n_room = max(0, room.limits.max_submitted - room.n_queued)
    now, made = _first_with_room(whole, room.limits, first, worker_time_min, n_room)
    return Decision(whole, now, made, waits_for, first=first)


def _first_with_room(
    whole: Plan, limits: Limits, first: FirstRequest, worker_time_min: int, n_room: int
) -> tuple[Plan, tuple[PlannedArray, ...]]:
    """The first tasks of a plan, as many as the cluster has room for, and the arrays of their workers."""
    n_tasks = len(whole.tasks) if n_room else 0
    while n_tasks:
        now = whole.first(n_tasks)
        now = replace(now, workers=min(now.workers, n_room))
        made = arrays(now, limits, first, worker_time_min, n_room)
        n_workers = sum(array.n_workers for array in made)
        if n_workers <= n_room:
            return now, made
        n_tasks = min(n_tasks - 1, n_tasks * n_room // n_workers)
    return whole.first(0), ()


def _is_too_long(whole: Plan, limits: Limits) -> bool:
    """Whether a worker would ask for more time than the cluster allows."""
    wanted_min = (array.resources.time_limit_min for array in arrays(whole, limits, FirstRequest()))
    return max(wanted_min, default=0) > limits.time_limit_min
