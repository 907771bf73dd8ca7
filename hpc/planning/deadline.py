"""When a plan ends, and how many workers it needs to end in time.

Times count from the first start, because the waiting time in a queue is not known. Whether an end is called promised or
expected depends on the number of hosts on which costs were measured. Hosts differ in speed, and more runs on one host do not
average this out. With costs from one host, an end meant to hold in 95 % of campaigns held in 73 to 76 %; with costs from 16
hosts, it held in 99 % (simulated by benchmarks/simulate.py).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from hpc.planning.cost import Range
from hpc.planning.tasks import Plan

PROMISE_HOSTS = 16
_SPREAD_OVER = 2  # assumed: a campaign runs on this many times as many hosts as were measured, if it has as many workers


@dataclass(frozen=True)
class End:
    """The end of a plan, in wall seconds after the first start.

    1 of 20 campaigns ends before `low_s`, and 1 of 20 after `high_s`. n_hosts: number of hosts on which the costs were
    measured.
    """

    low_s: float
    expected_s: float
    high_s: float
    n_hosts: int

    @property
    def is_promise(self) -> bool:
        """Whether enough hosts were measured to promise `high_s`."""
        return self.n_hosts >= PROMISE_HOSTS

    @property
    def word(self) -> str:
        """`promised` or `expected`."""
        return "promised" if self.is_promise else "expected"


class TooLate(Exception):
    """No allowed number of workers ends in time.

    planned: the plan with the most workers; end: its end; would_do: the number of workers that would be enough, None if even
    one
    for each run is not; n_runs: the number of its runs that would end in time.
    """

    def __init__(self, planned: Plan, end: End, would_do: int | None, n_runs: int) -> None:
        super().__init__(f"the end is {end.word} after {end.high_s:.0f} s")
        self.planned, self.end, self.would_do, self.n_runs = planned, end, would_do, n_runs


def end_of(planned: Plan, workers: int | None = None) -> End:
    """When a plan ends. workers: used instead of the plan's number of workers.

    Workers share the work evenly until no tasks are left. Then workers still have half a task to do on average. The last tasks
    are the shortest ones. No campaign ends before its longest run does.

    The bounds of an estimate are those of one run on a new host. The mean over a campaign's hosts is known better, depending on
    the number of measured hosts and the number of hosts that execute the campaign. The latter is not known. It is assumed to be
    twice the former, if there are as many workers.
    """
    n_workers = min(workers or planned.workers, planned.n_runs)
    walls = [task.cost.wall_s for task in planned.tasks]
    last = walls[-min(n_workers, len(walls)) :]
    longest = max((task.cost.wall_s if task.runs_together > 1 else task.per_run.wall_s for task in planned.tasks), key=_high)
    known = planned.n_hosts
    share = min(1.0, math.sqrt(1 / known + 1 / min(_SPREAD_OVER * known, n_workers))) if known else 1.0

    def end_s(side: Callable[[Range], float]) -> float:
        middle_s = sum(wall_s.middle for wall_s in walls)
        total_s = middle_s * (sum(map(side, walls)) / middle_s) ** share if middle_s else 0.0
        tail_s = sum(map(side, last)) / len(last) / 2 if n_workers > 1 else 0.0
        return max(total_s / n_workers + tail_s, side(longest)) + side(planned.start_s)

    return End(end_s(lambda wall_s: wall_s.low), end_s(lambda wall_s: wall_s.middle), end_s(_high), planned.n_hosts)


def _high(wall_s: Range) -> float:
    return wall_s.high


def in_time(deadline_s: float, most: int, plan_with: Callable[[int], Plan]) -> Plan:
    """The plan with the fewest workers, at most `most`, that ends in time. plan_with: makes the plan for a number of workers.

    Raises:
        TooLate: there is none.
    """
    largest = plan_with(most)
    if end_of(largest).high_s > deadline_s:
        raise _too_late(largest, deadline_s)
    workers = _fewest(largest, deadline_s, largest.workers) or largest.workers
    while workers < largest.workers:
        planned = plan_with(workers)
        if end_of(planned).high_s <= deadline_s:  # fewer workers change the tasks
            return planned
        workers += max(1, workers // 50)
    return largest


def _too_late(largest: Plan, deadline_s: float) -> TooLate:
    end = end_of(largest)
    n_runs = int(largest.n_runs * max(0.0, deadline_s - largest.start_s.high) / end.high_s)
    return TooLate(largest, end, _fewest(largest, deadline_s, largest.n_runs), n_runs)


def _fewest(planned: Plan, deadline_s: float, most: int) -> int | None:
    """The smallest number of workers with which a plan ends in time; None if `most` are not enough."""
    if end_of(planned, most).high_s > deadline_s:
        return None
    enough, too_few = most, 0
    while enough - too_few > 1:
        middle = (enough + too_few) // 2
        enough, too_few = (middle, too_few) if end_of(planned, middle).high_s <= deadline_s else (enough, middle)
    return enough
