"""A simulated cluster that works on one campaign, event by event. What it assumes is written in benchmarks/simulate.py.

Its workers take work by the rules of real ones (jobs/taking.py).
"""

import heapq
import itertools
import random
from bisect import insort
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.simulated_parts import Cluster, Elements, Line, Result
from jobs.claims import CLOCK_SKEW_S
from jobs.standings import BACK, DONE, HELD, LEFT, Standing
from jobs.taking import Choice, Pace, Taker, may_begin

WARNING_S = 60  # before the time limit, as hpc/execution/slurm/batch.py asks for it
_NOTHING_LEFT_S = 1.5  # of an element that finds nothing to take: Python starts, torch does not
_LATENCY_S = (1, 10)  # until a free slot goes to the next element
_SECOND_KIND_MB = 10  # at most, of memory that a worker's heap grows by when it trains a second kind of run
_START_S = (5, 15)  # of a worker: Python, torch and the data set from a busy file system


@dataclass
class _Worker:
    """An element that is executed. line: what it holds, -1 for nothing."""

    array: int
    element: int
    restart: int
    slot: int
    began_s: float
    choice: Choice
    line: int = -1
    peak_mb: float = 0.0
    growth_mb: float = 0.0
    kinds: set[int] = field(default_factory=set)
    pace: Pace = field(default_factory=Pace)

    @property
    def is_fresh(self) -> bool:
        return not self.pace.ratios


class Simulation:
    """One campaign on one cluster, from the first start to the last end."""

    def __init__(self, cluster: Cluster, lines: Sequence[Line], arrays: Sequence[Elements], seed: int) -> None:
        self._cluster, self._lines, self._arrays, self._chance = cluster, lines, arrays, random.Random(seed)
        self._needs = [line.need for line in lines]
        self._left = [line.n_runs for line in lines]
        self._standings: dict[int, Standing] = {}
        self._holders: dict[int, tuple[tuple[int, int], int, float]] = {}  # line -> element, its restart, end of its lease
        self._free = [[i for i, line in enumerate(lines) if line.kind == kind] for kind in range(len(cluster.mem_mb))]
        self._dead: set[int] = set()  # lines whose holder is not at work
        self._waiting = [deque((i, 0) for i in range(array.n)) for array in arrays]  # (element, its restart)
        self._n_at_work = [0] * len(arrays)
        self._slots = self._chance.sample(range(len(cluster.node)), len(cluster.node))
        self._noise = itertools.cycle(cluster.noise.tolist())
        self._run_s = cluster.run_s[cluster.node].tolist()
        self._events: list[tuple] = []
        self._order = itertools.count()
        self.result = Result()

    def play(self) -> Result:
        """Until no element is waiting or at work."""
        self._schedule(0.0)
        while self._events:
            now_s, _, happen, *about = heapq.heappop(self._events)
            happen(now_s, *about)
        self.result.n_left = sum(self._left)
        return self.result

    def _at(self, *event: object) -> None:
        time_s, *rest = event
        heapq.heappush(self._events, (time_s, next(self._order), *rest))

    def _schedule(self, now_s: float) -> None:
        """Free slots go to waiting elements, array by array."""
        is_open = any(self._n_at_work[i] or self._waiting[i] for i, array in enumerate(self._arrays) if not array.is_sweep)
        for i, array in enumerate(self._arrays):
            while self._slots and self._waiting[i] and self._n_at_work[i] < array.parallel and not (array.is_sweep and is_open):
                element, restart = self._waiting[i].popleft()
                self._n_at_work[i] += 1
                taker = Taker(f"{i}_{element}", restart, array.mem_mb, array.is_sweep)
                worker = _Worker(i, element, restart, self._slots.pop(), 0.0, Choice(taker, self._needs, array.lines))
                self._at(now_s + self._chance.uniform(*_LATENCY_S), self._begin, worker)

    def _begin(self, now_s: float, worker: _Worker) -> None:
        """It looks for work before it loads torch."""
        worker.began_s = now_s
        self.result.starts_s.append(now_s)
        if self._take(now_s, worker):
            self._at(now_s + self._chance.uniform(*_START_S), self._go_on, worker)
        else:
            self.result.n_idle += 1
            self._at(now_s + _NOTHING_LEFT_S, self._leave, worker)

    def _take(self, now_s: float, worker: _Worker) -> bool:
        """The next line for this worker, if there is one."""
        array = self._arrays[worker.array]
        if array.is_owner:
            worker.line = array.lines[worker.element] if worker.line < 0 else -1
            return worker.line >= 0 and self._left[worker.line] > 0
        worker.choice.tasks = sorted(self._candidates(worker, array))  # type: ignore[assignment]
        gone = self._gone_for(now_s, worker, array)
        left_s = self._warning_s(worker) - now_s
        place = next(worker.choice.tasks_to_take(self._standings, gone, left_s, worker.pace, worker.is_fresh), None)
        worker.line = -1
        if place is not None:
            worker.line, generation = place
            if worker.line in self._dead:
                self._dead.remove(worker.line)
            else:
                self._free[self._lines[worker.line].kind].remove(worker.line)
            self._standings[worker.line] = Standing(HELD, generation)
            end_s = worker.began_s + array.time_limit_s + CLOCK_SKEW_S
            self._holders[worker.line] = (worker.array, worker.element), worker.restart, end_s
            self.result.n_claims += 1
        return place is not None

    def _candidates(self, worker: _Worker, array: Elements) -> Iterator[int]:
        """Lines that this worker may take. Those of one kind have the same needs, so the first free one stands for all."""
        yield from self._dead
        for lines in self._free:
            for line in lines:
                generation = self._standings.get(line, Standing()).generation + 1
                if line in array.lines and (line, generation) not in worker.choice.passed_over:
                    yield line
                    break

    def _gone_for(self, now_s: float, worker: _Worker, array: Elements):
        """Whether the holder of a line is known to be gone, as this worker knows it."""

        def is_gone(line: int, generation: int) -> bool:
            element, restart, end_s = self._holders[line]
            is_own = element == (worker.array, worker.element) and restart < worker.restart
            return (array.is_sweep and element[0] != worker.array) or is_own or now_s > end_s

        return is_gone

    def _go_on(self, now_s: float, worker: _Worker) -> None:
        """Begin the next run, of the line at hand or of another one; or end."""
        while True:
            if not self._left[worker.line]:
                self._mark(worker, DONE)
            elif self._arrays[worker.array].is_owner or self._may_begin(now_s, worker):
                return self._train(now_s, worker)
            else:
                self._mark(worker, BACK)
                worker.choice.passed_over.add((worker.line, self._standings[worker.line].generation + 1))
            if not self._take(now_s, worker):
                return self._leave(now_s, worker)

    def _may_begin(self, now_s: float, worker: _Worker) -> bool:
        needed_s = worker.pace.needed_s(self._needs[worker.line])
        return may_begin(self._warning_s(worker) - now_s, needed_s, worker.is_fresh)

    def _warning_s(self, worker: _Worker) -> float:
        return worker.began_s + self._arrays[worker.array].time_limit_s - WARNING_S

    def _mark(self, worker: _Worker, word: str) -> None:
        if not self._arrays[worker.array].is_owner:
            self._standings[worker.line] = Standing(word, self._standings[worker.line].generation)
            if word == BACK:
                insort(self._free[self._lines[worker.line].kind], worker.line)
            elif word == LEFT:
                self._dead.add(worker.line)

    def _train(self, now_s: float, worker: _Worker) -> None:
        kind, array = self._lines[worker.line].kind, self._arrays[worker.array]
        run_s = self._run_s[worker.slot][kind] * next(self._noise)
        if kind not in worker.kinds:
            worker.kinds.add(kind)
            if len(worker.kinds) == 1:
                worker.growth_mb = self._chance.gauss(*self._cluster.growth_mb)
            else:
                worker.growth_mb += self._chance.uniform(0, _SECOND_KIND_MB)
            largest_mb = max(float(self._cluster.mem_mb[each]) for each in worker.kinds)
            worker.peak_mb = largest_mb + worker.growth_mb
        warning_s = self._warning_s(worker)
        if worker.peak_mb > array.mem_mb:
            self._at(now_s + run_s / 2, self._be_killed, worker)
        elif now_s + run_s > warning_s:
            self._at(warning_s, self._be_warned, worker, warning_s - now_s)
        else:
            self._at(now_s + run_s, self._finish, worker, run_s)

    def _finish(self, now_s: float, worker: _Worker, run_s: float) -> None:
        self._left[worker.line] -= 1
        self.result.end_s = now_s
        worker.pace = worker.pace.after(run_s, self._needs[worker.line].expected_s)
        self._go_on(now_s, worker)

    def _be_killed(self, now_s: float, worker: _Worker) -> None:
        """Out of memory. Only a worker with more memory tries this line again: the sweep."""
        self.result.n_oom += 1
        if not self._arrays[worker.array].is_owner:
            self._mark(worker, LEFT)
        self._leave(now_s, worker)

    def _be_warned(self, now_s: float, worker: _Worker, lost_s: float) -> None:
        """The time limit comes too early. The run is lost, and the element is queued again."""
        self.result.n_hits += 1
        self.result.lost_s += lost_s
        self._waiting[worker.array].append((worker.element, worker.restart + 1))
        self._mark(worker, BACK)
        self._leave(now_s, worker)

    def _leave(self, now_s: float, worker: _Worker) -> None:
        array, result = self._arrays[worker.array], self.result
        if worker.kinds:
            used_s = now_s - worker.began_s
            result.used_s += used_s
            result.limit_s += array.time_limit_s
            result.used_mb_s += used_s * min(worker.peak_mb, array.mem_mb)
            result.asked_mb_s += used_s * array.mem_mb
        self._n_at_work[worker.array] -= 1
        self._slots.append(worker.slot)
        self._schedule(now_s)
