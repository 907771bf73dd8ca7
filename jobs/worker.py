"""A worker on Slurm: what an element of a job array executes. And how a process tells what became of a task."""

import math
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobs.campaign import shard_prefix
from jobs.manifest import ManifestError
from jobs.recorded import Recorded
from jobs.shard import NotKept
from jobs.task import execute_task
from jobs.taskfile import TaskPlace
from jobs.tasklog import say
from noisy.data import DataError

if TYPE_CHECKING:
    import submitit

NO_PROGRESS_STATUS = 75  # exit status: the time limit was reached before a run was recorded (sysexits.h: EX_TEMPFAIL)
NOT_KEPT_STATUS = 74  # exit status: results cannot be written, disk full or quota, say (sysexits.h: EX_IOERR)
# One signal tells of preemptions and of the time limit. That of the limit comes 1 to 2 min before it: from 4 min on, always in
# the second half. A preemption there, before the first record, is taken for the limit: seldom, and the next submit goes on.
_NEAR_LIMIT = 0.5


def attempt_task(place: TaskPlace, attempt: int) -> None:
    """Execute a task as a process does: an error that is understood is said in a line, and becomes an exit status.

    Raises:
        SystemExit: with NOT_KEPT_STATUS or 1.
    """
    try:
        execute_task(place, attempt)
    except NotKept as error:
        say(f"error: results cannot be kept: {error}")
        raise SystemExit(NOT_KEPT_STATUS) from error
    except (ManifestError, DataError, RuntimeError, OSError) as error:
        say(f"error: {type(error).__name__}: {error}")
        raise SystemExit(1) from error


@dataclass
class SlurmWorker:
    """What submitit pickles, calls, and asks for a checkpoint when Slurm warns.

    started_s: of time.monotonic(), which counts on one machine only: known from the call on, and not sent to the next attempt.
    """

    task: TaskPlace
    time_limit_min: int
    started_s: float = math.inf

    def __call__(self) -> None:
        """Execute the task."""
        self.started_s = time.monotonic()
        attempt_task(self.task, _attempt())

    def checkpoint(self) -> "submitit.helpers.DelayedSubmission":
        """At the warning before the time limit or a preemption: the same task again, for what is missing.

        Raises:
            SystemExit: the time limit is near and no run was recorded: another attempt would find no more time.
        """
        import submitit  # here, not above: only needed here

        prefix = shard_prefix(self.task.submission, self.task.index, _attempt())
        recorded = Recorded("").updated(self.task.campaign.shard_paths(prefix))
        running_s = time.monotonic() - self.started_s
        if not len(recorded.records) and running_s > _NEAR_LIMIT * 60 * self.time_limit_min:
            say(f"no run was finished within the time limit of {self.time_limit_min} min: not requeued")
            raise SystemExit(NO_PROGRESS_STATUS)
        say("requeued for what is missing")
        return submitit.helpers.DelayedSubmission(SlurmWorker(self.task, self.time_limit_min))


class ArrayTask(SlurmWorker):
    """What jobs hold that were queued before there was a SlurmWorker; found as jobs.task.ArrayTask."""

    def __setstate__(self, fields: dict[str, Any]) -> None:
        place = (fields[name] for name in ("campaign_dir", "submission", "index", "offset_bytes"))
        self.task, self.time_limit_min = TaskPlace(*place), fields["time_limit_min"]


def _attempt() -> int:
    """Slurm counts the attempts of an element itself."""
    return int(os.environ.get("SLURM_RESTART_COUNT", 0))
