"""A worker on Slurm (one element of a job array), which executes task after task; and the exit statuses of all workers."""

import math
import os
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.campaign import Campaign
from jobs.files import advice_on
from jobs.manifest import ManifestError
from jobs.provenance import job
from jobs.shard import NotKept
from jobs.shift import Shift
from jobs.standings import BACK, FAILED, LEFT
from jobs.taking import Taker
from jobs.task import execute_task
from jobs.taskfile import TaskPlace
from jobs.tasklog import say
from jobs.workload import Workload
from noisy.data import DataError

if TYPE_CHECKING:
    import submitit

NO_PROGRESS_STATUS = 75  # exit status: the time limit was reached before a run was recorded (sysexits.h: EX_TEMPFAIL)
NOT_KEPT_STATUS = 74  # exit status: results cannot be written, for example on a full disk (sysexits.h: EX_IOERR)
# Slurm warns of preemptions and of the time limit with the same signal. The warning of the limit comes 1 to 2 min before it,
# which is in the second half of any limit of at least 4 min. A preemption in that half, before any record, is rare. It counts
# as the time limit, and the next submit carries on.
_NEAR_LIMIT = 0.5
_EARLIEST_S = 150  # a warning may come this long before the limit, which is all of a short limit


def execute_or_exit(place: TaskPlace, attempt: int, shift: Shift | None = None, given_back: Collection[int] = ()) -> str:
    """Execute a task. An expected error is printed as one line, and the process exits with its status.

    Returns:
        As jobs.task.execute_task.

    Raises:
        SystemExit: with NOT_KEPT_STATUS or 1.
    """
    try:
        return execute_task(place, attempt, shift, given_back)
    except NotKept as error:
        say(f"error: results cannot be kept: {error}")
        raise SystemExit(NOT_KEPT_STATUS) from error
    except (ManifestError, DataError, RuntimeError, OSError) as error:
        say(f"error: {type(error).__name__}: {error}")
        raise SystemExit(1) from error


@dataclass
class Worker:
    """The object that submitit pickles and calls. When Slurm warns, submitit asks it for a checkpoint.

    time_limit_min, mem_mb: what was asked for this worker; longest_min: the longest time limit in the submission; n_tasks: it
    takes only the first n_tasks tasks. started_s, shift, work: state of this process, which the next attempt does not get.
    """

    campaign_dir: str
    submission: int
    n_tasks: int
    time_limit_min: int
    longest_min: int
    mem_mb: int
    is_sweep: bool = False
    waited_for: tuple[str, ...] = ()
    started_s: float = math.inf
    shift: Shift = field(default_factory=Shift, compare=False)
    work: Workload | None = field(default=None, compare=False)

    def __call__(self) -> None:
        """Execute tasks until nothing is left or there is no time for more.

        Raises:
            SystemExit: with NOT_KEPT_STATUS or 1.
        """
        self.started_s, limit_s = time.monotonic(), 60 * self.time_limit_min
        restart = int(os.environ.get("SLURM_RESTART_COUNT", 0))
        taker = Taker(job(), restart, self.mem_mb, self.is_sweep, self.waited_for)
        self.shift = Shift(taker, self.started_s + limit_s - _EARLIEST_S)
        try:
            campaign, end_s = Campaign(Path(self.campaign_dir)), time.time() + limit_s
            self.work = Workload(campaign, self.submission, taker, 60 * self.longest_min, end_s, self.n_tasks)
            status = work_through(self.work, self.shift)
        except OSError as error:
            say(f"error: tasks cannot be taken: {error}; {advice_on(error)}")
            raise SystemExit(NOT_KEPT_STATUS) from error
        if status:
            raise SystemExit(status)

    def checkpoint(self) -> "submitit.helpers.DelayedSubmission":
        """Have the same worker queued again. submitit calls this when Slurm warns of a preemption or of the time limit.

        The worker gives back its task, because it may have to wait for a long time.

        Raises:
            SystemExit: the time limit is near and no run was recorded. Another attempt would have no more time.
        """
        self.shift.is_warned = True
        again = replace(self, started_s=math.inf, shift=Shift(), work=None)
        requeued = requeued_unless_stuck(again, self.shift.n_recorded, self.started_s, self.time_limit_min)
        if self.work and self.work.held:
            self.work.mark(self.work.held, BACK)
        return requeued


def work_through(work: Workload, shift: Shift) -> int:
    """Execute tasks until there is none for this worker. Returns the exit status.

    A task that cannot be read is skipped. Any other error ends this worker.

    Raises:
        OSError: tasks cannot be taken.
        SystemExit: with NOT_KEPT_STATUS or 1; or as `Worker.checkpoint`.
    """
    status = 0
    while taken := work.take(shift.left_s, shift.pace, shift.is_fresh):
        try:
            word = execute_or_exit(taken.place, taken.generation, shift, taken.given_back)
        except SystemExit as ended:
            if isinstance(ended.__cause__, ManifestError):
                word, status = LEFT, 1
            else:
                if ended.__cause__:  # otherwise it comes from `checkpoint`
                    work.mark(taken, FAILED)
                raise
        work.mark(taken, word)
    say("nothing is left for this worker")
    return status


def requeued_unless_stuck(
    again: Callable[[], None], n_recorded: int, started_s: float, time_limit_min: int
) -> "submitit.helpers.DelayedSubmission":
    """What submitit executes after a warning. n_recorded: runs recorded by this attempt, which started at `started_s`.

    Raises:
        SystemExit: with NO_PROGRESS_STATUS.
    """
    import submitit  # imported here, because only a checkpoint needs it

    if not n_recorded and is_near_limit(time.monotonic() - started_s, time_limit_min):
        say(f"no run was finished within the time limit of {time_limit_min} min: it is not requeued")
        raise SystemExit(NO_PROGRESS_STATUS)
    say("requeued for what is missing")
    return submitit.helpers.DelayedSubmission(again)


def is_near_limit(running_s: float, time_limit_min: int) -> bool:
    """Whether a warning after `running_s` counts as the warning of the time limit."""
    limit_s = 60 * time_limit_min
    return running_s > min(_NEAR_LIMIT * limit_s, limit_s - _EARLIEST_S)


def __getattr__(name: str) -> type:
    """Provide `SlurmWorker`, because jobs queued by an earlier version have pickles with that name."""
    if name == "SlurmWorker":
        from jobs.earlier import SlurmWorker

        return SlurmWorker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
