"""Execution of jobs that an earlier version has queued. Each has one task of its own and does not use claims."""

import math
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobs.campaign import shard_prefix
from jobs.recorded import Recorded
from jobs.shift import Shift
from jobs.taking import Taker
from jobs.taskfile import TaskPlace
from jobs.worker import execute_or_exit, requeued_unless_stuck

if TYPE_CHECKING:
    import submitit


@dataclass
class SlurmWorker:
    """The object that submitit pickled (as jobs.worker.SlurmWorker) and calls; it asks for a checkpoint when Slurm warns.

    started_s: time.monotonic() at the call. It is valid on one machine only, so the next attempt does not get it.
    """

    task: TaskPlace
    time_limit_min: int
    started_s: float = math.inf

    def __call__(self) -> None:
        """Execute the task."""
        self.started_s = time.monotonic()
        execute_or_exit(self.task, _attempt(), Shift(Taker(restart=_attempt())))

    def checkpoint(self) -> "submitit.helpers.DelayedSubmission":
        """Have the same task queued again, for its missing runs.

        Raises:
            SystemExit: the time limit is near and no run was recorded. Another attempt would have no more time.
        """
        prefix = shard_prefix(self.task.submission, self.task.index, _attempt())
        n_recorded = len(Recorded("").updated(self.task.campaign.shard_paths(prefix)).records)
        again = SlurmWorker(self.task, self.time_limit_min)
        return requeued_unless_stuck(again, n_recorded, self.started_s, self.time_limit_min)


class ArrayTask(SlurmWorker):
    """The same, from a still earlier version, pickled as jobs.task.ArrayTask."""

    def __setstate__(self, fields: dict[str, Any]) -> None:
        place = (fields[name] for name in ("campaign_dir", "submission", "index", "offset_bytes"))
        self.task, self.time_limit_min = TaskPlace(*place), fields["time_limit_min"]


def _attempt() -> int:
    """The number of this attempt, as counted by Slurm from 0."""
    return int(os.environ.get("SLURM_RESTART_COUNT", 0))
