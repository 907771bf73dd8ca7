"""What a worker does: for each run of its task that is not yet done, train it and append the result."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.campaign import Campaign, shard_prefix
from jobs.execute import execute, groups_of
from jobs.image import Record
from jobs.provenance import code_commit, machine
from jobs.shard import Shard, ShardWriter, read_shards
from jobs.taskfile import Task, read_cancelled, read_task
from noisy.data import Data, load
from noisy.spec import RunSpec, spec_of

if TYPE_CHECKING:
    import submitit

_STARTED_S = time.monotonic()
NO_PROGRESS_STATUS = (
    75  # exit status of a task that reached its time limit without having finished a run (sysexits.h: EX_TEMPFAIL)
)
NOT_KEPT_STATUS = 74  # exit status of a task whose results cannot be kept: disk full, quota, ... (sysexits.h: EX_IOERR)


@dataclass(frozen=True)
class ArrayTask:
    """One task, small enough to be sent anywhere: what it executes is on disk.

    offset_bytes: of its line in the task file; attempt: counted from 0 (Slurm counts itself); time_limit_min: of its
    scheduler, 0 if there is none.
    """

    campaign_dir: str
    submission: int
    index: int
    offset_bytes: int
    attempt: int = 0
    time_limit_min: int = 0

    def __call__(self) -> None:
        """Execute what is not yet done.

        Raises:
            ManifestError, DataError: the task or its data set cannot be read.
            RuntimeError: a GPU is asked for where there is none.
            SystemExit: results cannot be kept (disk full, ...); what was kept before stays.
        """
        try:
            self._execute()
        except OSError as error:
            with contextlib.suppress(OSError):  # the log may be on the same disk
                print(f"error: results cannot be kept: {error}; make room, and submit again", file=sys.stderr, flush=True)
            raise SystemExit(NOT_KEPT_STATUS) from error

    def _execute(self) -> None:
        task = read_task(self._campaign.tasks(self.submission), self.index, self.offset_bytes)
        groups, attempt = self._to_do(task), self._attempt()
        order = [run.run_id for group in groups for run in group]
        print(f"task {self.index} attempt {attempt}: {len(order)} of {len(task.runs)} runs to do", flush=True)
        if not order:
            return
        from noisy.device import device_name, select_device  # here, not above: who submits a task must not load torch

        select_device(task.execution.use_cuda)
        data = load(groups[0][0].dataset, task.data_dir)
        attributes = _attributes(task, data, device_name(task.execution.use_cuda))
        writer = ShardWriter(self._campaign.shards, self.submission, self.index, attempt, attributes)
        writer.start(order[0])
        for number, (run, record) in enumerate(self._records(groups, data, task), start=1):
            if record:
                writer.append(record, current_run=order[number] if number < len(order) else "")
            print(f"{number}/{len(order)} {_summary(run, record) if record else f'{run.run_id}: cancelled'}", flush=True)

    def _records(self, groups: list[list[RunSpec]], data: Data, task: Task) -> Iterator[tuple[RunSpec, Record | None]]:
        """Each run in turn with its record, or without if its user has cancelled it."""
        for group in groups:
            cancelled = read_cancelled(self._campaign, self.submission)
            records = execute([run for run in group if run.run_id not in cancelled], data, task.execution)
            for run in group:
                yield run, None if run.run_id in cancelled else next(records)

    def checkpoint(self) -> "submitit.helpers.DelayedSubmission":
        """What submitit calls when Slurm warns of the time limit or of a preemption: the same task again, for what is missing.

        Raises:
            SystemExit: the time limit is near and no run was finished: another attempt would find no more time.
        """
        import submitit  # here, not above: only needed here

        prefix = shard_prefix(self.submission, self.index, self._attempt())
        shards = read_shards(self._campaign.shard_paths(prefix), "")
        finished = any(isinstance(shard, Shard) and len(shard.runs) for shard in shards)
        running_s = time.monotonic() - _STARTED_S
        if not finished and running_s > 0.5 * 60 * self.time_limit_min:
            print(f"no run was finished within the time limit of {self.time_limit_min} min: not requeued", flush=True)
            raise SystemExit(NO_PROGRESS_STATUS)
        print("requeued for what is missing", flush=True)
        return submitit.helpers.DelayedSubmission(self)

    @property
    def _campaign(self) -> Campaign:
        return Campaign(Path(self.campaign_dir))

    def _attempt(self) -> int:
        return int(os.environ.get("SLURM_RESTART_COUNT", 0)) if self.time_limit_min else self.attempt

    def _to_do(self, task: Task) -> list[list[RunSpec]]:
        """Runs without a record of an earlier attempt, in groups that are trained together; last, each by itself, those at
        which one was killed: they may kill again."""
        recorded, suspects = set(), set()
        for shard in read_shards(self._campaign.shard_paths(shard_prefix(self.submission, self.index)), task.campaign):
            if isinstance(shard, str):
                print(f"warning: {shard}; its runs are done again", flush=True)
            else:
                recorded |= {run_id.decode() for run_id in shard.runs["run_id"]}
                suspects.add(shard.attributes["current_run"])
        missing = {run_id: spec_of(text) for run_id, text in task.runs.items() if run_id not in recorded}
        unsuspected = [run for run_id, run in missing.items() if run_id not in suspects]
        alone = [[run] for run_id, run in missing.items() if run_id in suspects]
        most = task.execution.runs_together
        return groups_of(unsuspected, max(1, most >> self._in_vain(task)) if most > 1 else 1) + alone

    def _in_vain(self, task: Task) -> int:
        """Attempts of any submission that began with a run of this task, and ended before one was recorded.

        Their groups were too large for the memory or the time that they had: the next ones are half as large.
        """
        shards = read_shards(self._campaign.shard_paths(), task.campaign)
        return sum(isinstance(s, Shard) and not len(s.runs) and s.attributes["current_run"] in task.runs for s in shards)


def _summary(run: RunSpec, record: Record) -> str:
    found = record.message if record.status == "failed" else f"accuracy {record.test_accuracy:.4f}, {record.cpu_s:.1f} CPU s"
    return f"{run.run_id} {run.model_type} {run.activation} p={run.p:g} repeat {run.repeat}: {record.status}, {found}"


def _attributes(task: Task, data: Data, device: str) -> dict[str, str | int]:
    commit = code_commit()
    if commit != task.code_commit:
        print(f"warning: this code is commit {commit}, the campaign's is {task.code_commit}", flush=True)
    execution = task.execution
    how = {
        "device": device,
        **{name: getattr(execution, name) for name in ("cpu_threads", "runs_together")},
    }
    return {
        "campaign": task.campaign,
        "code_commit": commit,
        "data_digest": data.digest(),
        **how,
        **machine(),
        "job": _slurm_job(),
    }


def _slurm_job() -> str:
    """`JOB_INDEX` as Slurm's commands know this process; empty where there is no Slurm."""
    array, index = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{index}" if array else os.environ.get("SLURM_JOB_ID", "")
