"""When a plan ends, and how many workers it needs to end in time.

An end counts from the first start: how long a queue lets a campaign wait is not known. Whether an end is called a promise or an
expectation depends on the number of hosts on which the costs were measured. Hosts differ, and what all runs of a host have in
common does not average out over its runs: with costs from one host an end that was to hold in 95 % of campaigns held in 73 to
76 %, with costs from 16 hosts in 99 % (simulated: benchmarks/simulate.py).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from hpc.planning.cost import Range
from hpc.planning.tasks import Plan

PROMISE_HOSTS = 16
_SPREAD_OVER = 2  # times the measured hosts: so many work on a campaign, if it has as many workers; assumed


@dataclass(frozen=True)
class End:
    """Wall seconds from the first start to the last end.

    One of 20 campaigns ends before `low_s`, and one after `high_s`. n_hosts: on so many hosts the costs were measured.
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
        """What it may be called."""
        return "promised" if self.is_promise else "expected"


class TooLate(Exception):
    """No allowed number of workers ends in time. planned: with the most workers; end: its end; would_do: how many workers would
    do, None if even one for each run is not enough; n_runs: so many of its runs would end in time."""

    def __init__(self, planned: Plan, end: End, would_do: int | None, n_runs: int) -> None:
        super().__init__(f"the end is {end.word} after {end.high_s:.0f} s")
        self.planned, self.end, self.would_do, self.n_runs = planned, end, would_do, n_runs


def end_of(planned: Plan, workers: int | None = None) -> End:
    """When a plan ends. workers: instead of the plan's own number.

    Workers share the work evenly until tasks run out. Then some still have half a task to do, on average; and no campaign ends
    before its longest run. The tasks that are left last are as long as the shortest.

    The estimates' bounds are those of one run on a new host. The mean over the hosts of a campaign is known better: by the
    number of hosts that were measured, and by the number of hosts on which it runs. The latter is unknown, and taken to be
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
    """The plan with the fewest workers that ends in time, at most `most`. plan_with: makes the plan for a number of workers.

    Raises:
        TooLate: there is none.
    """
    largest = plan_with(most)
    if end_of(largest).high_s > deadline_s:
        raise _too_late(largest, deadline_s)
    workers = _fewest(largest, deadline_s, largest.workers) or largest.workers
    while workers < largest.workers:
        planned = plan_with(workers)
        if end_of(planned).high_s <= deadline_s:  # with fewer workers the tasks are others
            return planned
        workers += max(1, workers // 50)
    return largest


def _too_late(largest: Plan, deadline_s: float) -> TooLate:
    end = end_of(largest)
    n_runs = int(largest.n_runs * max(0.0, deadline_s - largest.start_s.high) / end.high_s)
    return TooLate(largest, end, _fewest(largest, deadline_s, largest.n_runs), n_runs)


def _fewest(planned: Plan, deadline_s: float, most: int) -> int | None:
    """The least number of workers with which a plan ends in time; None if `most` are not enough."""
    if end_of(planned, most).high_s > deadline_s:
        return None
    enough, too_few = most, 0
    while enough - too_few > 1:
        middle = (enough + too_few) // 2
        enough, too_few = (middle, too_few) if end_of(planned, middle).high_s <= deadline_s else (enough, middle)
    return enough
