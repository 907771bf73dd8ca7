"""A worker on Slurm (one element of a job array), and the exit statuses of all workers."""

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
NOT_KEPT_STATUS = 74  # exit status: results cannot be written, for example on a full disk (sysexits.h: EX_IOERR)
# Slurm warns of preemptions and of the time limit with the same signal. The warning of the limit comes 1 to 2 min before it,
# which is in the second half of any limit of at least 4 min. A preemption in that half, before any record, is rare. It counts
# as the time limit, and the next submit carries on.
_NEAR_LIMIT = 0.5
_EARLIEST_S = 150  # before the limit: a warning may come so early, which is the whole of a short limit


def attempt_task(place: TaskPlace, attempt: int) -> None:
    """Execute a task. An expected error is printed as one line, and the process exits with its status.

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
    """The object that submitit pickles and calls. When Slurm warns, submitit asks it for a checkpoint.

    started_s: time.monotonic() at the call. It is valid on one machine only, so the next attempt does not get it.
    """

    task: TaskPlace
    time_limit_min: int
    started_s: float = math.inf

    def __call__(self) -> None:
        """Execute the task."""
        self.started_s = time.monotonic()
        attempt_task(self.task, _attempt())

    def checkpoint(self) -> "submitit.helpers.DelayedSubmission":
        """The same task again, for what is missing. Called when Slurm warns of the time limit or of a preemption.

        Raises:
            SystemExit: the time limit is near and no run was recorded. Another attempt would have no more time.
        """
        import submitit  # here, not above: only a checkpoint needs it

        prefix = shard_prefix(self.task.submission, self.task.index, _attempt())
        recorded = Recorded("").updated(self.task.campaign.shard_paths(prefix))
        running_s = time.monotonic() - self.started_s
        if not len(recorded.records) and is_near_limit(running_s, self.time_limit_min):
            say(f"no run was finished within the time limit of {self.time_limit_min} min: not requeued")
            raise SystemExit(NO_PROGRESS_STATUS)
        say("requeued for what is missing")
        return submitit.helpers.DelayedSubmission(SlurmWorker(self.task, self.time_limit_min))


def is_near_limit(running_s: float, time_limit_min: int) -> bool:
    """Whether a warning after so many seconds is taken for that of the time limit."""
    limit_s = 60 * time_limit_min
    return running_s > min(_NEAR_LIMIT * limit_s, limit_s - _EARLIEST_S)


class ArrayTask(SlurmWorker):
    """In jobs that an earlier version queued, pickled as jobs.task.ArrayTask."""

    def __setstate__(self, fields: dict[str, Any]) -> None:
        place = (fields[name] for name in ("campaign_dir", "submission", "index", "offset_bytes"))
        self.task, self.time_limit_min = TaskPlace(*place), fields["time_limit_min"]


def _attempt() -> int:
    """The attempt of this element, counted by Slurm from 0."""
    return int(os.environ.get("SLURM_RESTART_COUNT", 0))
