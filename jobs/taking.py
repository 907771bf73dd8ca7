"""The rules by which workers take tasks and begin runs. They are pure functions, used by workers and by the simulator."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from jobs.claims import Claim
from jobs.standings import BACK, DONE, FAILED, FREE, HELD, LEFT, Standing

MARGIN = 1.25  # factor on the time that a worker expects from its last runs (of 100 workers, 1.15 loses 1.1 runs, this one 0.9)
LAST_RUNS = 20  # last runs from which a worker judges its own speed


@dataclass(frozen=True)
class Need:
    """What a worker has to know about a task before it takes it. None: not known (a task file of an earlier version).

    offset_bytes: the place of its line in the task file; expected_s: mean wall time of one of its runs in s; high_s: the wall
    time that is enough in 95 of 100 cases, in s; mem_mb: memory in 10**6 bytes.
    """

    offset_bytes: int
    expected_s: float | None = None
    high_s: float | None = None
    mem_mb: float | None = None


@dataclass(frozen=True)
class Taker:
    """The properties of a worker that matter to the rules.

    job: in the scheduler's notation (`123_7`), empty for a process without one; restart: how often the job was started before;
    mem_mb: the memory that it may use in 10**6 bytes, 0 without a limit; is_sweep: whether it executes what other workers left;
    waited_for: ids of jobs that had ended before it began.
    """

    job: str = ""
    restart: int = 0
    mem_mb: int = 0
    is_sweep: bool = False
    waited_for: tuple[str, ...] = ()


ANYBODY = Taker()


@dataclass(frozen=True)
class Pace:
    """The speed of a worker: for its last runs, the measured time divided by the expected time."""

    ratios: tuple[float, ...] = ()

    def after(self, wall_s: float, expected_s: float | None) -> "Pace":
        """The pace after one more run, or after a group of runs."""
        return Pace((*self.ratios, wall_s / expected_s)[-LAST_RUNS:]) if expected_s else self

    def needed_s(self, need: Need, n_runs: int = 1) -> float:
        """Seconds that a worker reserves for its next runs of a task: by its own speed, before its first run by high_s."""
        if not need.expected_s:
            return 0.0
        if not self.ratios:
            return n_runs * (need.high_s or need.expected_s)
        return n_runs * need.expected_s * MARGIN * sum(self.ratios) / len(self.ratios)


NO_PACE = Pace()  # the pace of a worker that has not yet trained a run


_UNTOUCHED = Standing()


def may_begin(left_s: float, needed_s: float, is_fresh: bool) -> bool:
    """Whether a worker begins runs, which is if they will end before its job is warned of the time limit.

    A fresh worker, which has done nothing yet, always begins, because no other worker would have more time.
    """
    return is_fresh or needed_s <= left_s


def is_gone(claim: Claim, taker: Taker, now_s: float, is_alive: bool | None) -> bool:
    """Whether the worker that made a claim is known to be gone, so that its task may be taken.

    Args:
        is_alive: whether its process lives; None if that cannot be known from here.
    """
    is_restarted = claim.job == taker.job != "" and claim.restart < taker.restart
    return claim.is_over(now_s) or is_alive is False or is_restarted or claim.job.split("_")[0] in taker.waited_for


@dataclass
class Choice:
    """Which task a worker takes next. passed_over: (task, generation) that another took first, or that this worker left."""

    taker: Taker
    needs: Sequence[Need]
    tasks: range
    passed_over: set[tuple[int, int]] = field(default_factory=set)

    def tasks_to_take(
        self,
        standings: Mapping[int, Standing],
        is_gone: Callable[[int, int], bool],
        left_s: float,
        pace: Pace,
        is_fresh: bool,
    ) -> Iterator[tuple[int, int]]:
        """The tasks that a worker tries to take, one after the other until it gets one, each with its new generation.

        Tasks without a holder come first, in their order, which begins with the longest runs. Then come tasks whose worker is
        gone. If all runs are too long for the time limit of a fresh worker, it takes the first of these tasks.

        Args:
            is_gone: for a held task and its generation, whether its worker is known to be gone.
        """
        too_long, is_any = list[tuple[int, int]](), False
        for words in ((FREE, BACK, FAILED, LEFT) if self.taker.is_sweep else (FREE, BACK, FAILED), (HELD,)):
            for task in self.tasks:
                here = standings.get(task, _UNTOUCHED)
                place = task, here.generation + 1
                if here.word not in words or place in self.passed_over or not self._fits(task):
                    continue
                if here.word == HELD and not is_gone(task, here.generation):
                    continue
                if may_begin(left_s, pace.needed_s(self.needs[task]), is_fresh=False):
                    is_any = True
                    yield place
                else:
                    too_long.append(place)
        if is_fresh and not is_any:
            yield from too_long

    def _fits(self, task: int) -> bool:
        mem_mb = self.needs[task].mem_mb
        return not (mem_mb and self.taker.mem_mb) or mem_mb <= self.taker.mem_mb


def all_done(standings: Mapping[int, Standing], n_tasks: int) -> bool:
    """Whether all tasks of a submission are done."""
    return sum(here.word == DONE for task, here in standings.items() if task < n_tasks) == n_tasks


def is_left(earlier: Mapping[str, object], taker: Taker, given_back: Collection[int] = ()) -> bool:
    """Whether a worker leaves to others the run in training when an earlier worker ended, because it may have killed that one.

    A worker with more memory tries the run, and so does the same job when it is started again. Without a memory limit (on this
    machine), it is tried as often as jobs/pool.py allows.

    Args:
        earlier: the attributes of that worker's shard.
        given_back: generations whose workers gave the task back, so they were not killed.
    """
    had_mb = earlier.get("job_mem_mb", 0)
    if not taker.mem_mb or not isinstance(had_mb, int) or not had_mb:
        return False
    return had_mb >= taker.mem_mb and earlier.get("job") != taker.job and earlier.get("attempt") not in given_back
