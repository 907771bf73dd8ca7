"""How one worker takes the tasks of a submission, with claims (jobs/claims.py) and rules (jobs/taking.py)."""

import itertools
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from jobs.campaign import Campaign
from jobs.claims import LONGEST_S, Claim, Claims
from jobs.needs import read_needs
from jobs.process import Process
from jobs.standings import DONE, HELD, Standing, given_back
from jobs.standings import standings as standings_of
from jobs.taking import NO_PACE, Choice, Need, Pace, Taker, all_done, is_gone
from jobs.taskfile import TaskPlace


@dataclass(frozen=True)
class Taken:
    """A task that a worker holds.

    generation: that of its claim, also the number of the attempt in the names of shards; given_back: earlier generations whose
    workers gave the task back.
    """

    place: TaskPlace
    generation: int
    need: Need
    given_back: frozenset[int] = frozenset()


class Workload:
    """The tasks of a submission, seen by one worker.

    Args:
        longest_s: the longest time limit of any worker of the submission.
        end_s: when the job of this worker ends, in seconds since the epoch; infinite without a time limit.
        n_tasks: only the first n_tasks tasks are taken; None: all.
        process: the process that holds the tasks; None: this one.
        clock: gives the time in seconds since the epoch.
    """

    def __init__(
        self,
        campaign: Campaign,
        submission: int,
        taker: Taker,
        longest_s: float = LONGEST_S,
        end_s: float = math.inf,
        n_tasks: int | None = None,
        process: Process | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._taker, self._end_s, self._clock, self._process = taker, end_s, clock, process or Process.current()
        self._claims = Claims(campaign.submission(submission), longest_s)
        self._needs = read_needs(campaign, submission)
        self._place = str(campaign.folder.resolve()), submission
        self._choice = Choice(taker, self._needs, range(len(self._needs) if n_tasks is None else n_tasks))
        self._read: dict[tuple[int, int], Claim] = {}  # a claim never changes
        self.held: Taken | None = None  # the last claim that it took

    def take(self, left_s: float = math.inf, pace: Pace = NO_PACE, is_fresh: bool = False) -> Taken | None:
        """Claim the next task; None if there is nothing for this worker. A restarted job first gets the tasks that it had.

        Args:
            left_s: seconds until the job of this worker is warned.
            is_fresh: whether the worker has done nothing yet.

        Raises:
            OSError: claims cannot be listed or written here.
        """
        while not self._claims.is_finished:
            names = self._claims.names()
            standings = standings_of(names)
            if all_done(standings, len(self._needs)):
                break
            own = self._own(standings) if is_fresh and self._taker.restart else []
            others = self._choice.tasks_to_take(standings, self._is_gone, left_s, pace, is_fresh)
            n_tried = 0
            for place in itertools.chain(own, others):
                n_tried += 1
                if taken := self.claim(*place):
                    before = frozenset(generation for task, generation in given_back(names) if task == place[0])
                    self.held = replace(taken, given_back=before)
                    return self.held
            if not n_tried:
                return None
        self._claims.finish()
        return None

    def claim(self, task: int, generation: int) -> Taken | None:
        """Claim this generation of a task; None if another worker has it.

        Raises:
            OSError: claims cannot be written here.
        """
        now_s, need = self._clock(), self._needs[task]
        lease_s = self._end_s - now_s if math.isfinite(self._end_s) else LONGEST_S + 3 * (need.high_s or 0)
        taker = self._taker
        claim = Claim.lasting(lease_s, self._process, taker.job, taker.restart, taker.mem_mb, now_s)
        if not self._claims.take(task, generation, claim):
            self._choice.passed_over.add((task, generation))
            return None
        return Taken(TaskPlace(*self._place, task, need.offset_bytes), generation, need)

    def mark(self, taken: Taken, word: str) -> None:
        """Record the result of a task that this worker holds: DONE, BACK, FAILED or LEFT. It will not take the task again."""
        self._claims.mark(taken.place.index, taken.generation, word)
        if word != DONE:
            self._choice.passed_over.add((taken.place.index, taken.generation + 1))

    def _own(self, standings: Mapping[int, Standing]) -> list[tuple[int, int]]:
        """The (task, generation) that this job held when it was stopped in order to be started again."""
        held = ((task, here.generation) for task, here in sorted(standings.items()) if here.word == HELD)
        own = [(task, generation + 1) for task, generation in held if self._is_own(task, generation)]
        return [place for place in own if place not in self._choice.passed_over]

    def _is_own(self, task: int, generation: int) -> bool:
        claim = self._holder(task, generation)
        return claim is not None and claim.job == self._taker.job != "" and claim.restart < self._taker.restart

    def _is_gone(self, task: int, generation: int) -> bool:
        claim = self._holder(task, generation)
        return claim is not None and is_gone(claim, self._taker, self._clock(), claim.process.is_alive())

    def _holder(self, task: int, generation: int) -> Claim | None:
        if (task, generation) not in self._read:
            claim = self._claims.holder(task, generation)
            if claim is None or not claim.process.pid:  # gone, or perhaps still being written
                return claim
            self._read[task, generation] = claim
        return self._read[task, generation]
