"""Submissions: claim a number, read and write submission.json, find the tasks that may still be executed.

A submission's folder is written whole under a hidden name and renamed to its number: the claim and its content appear
at once, and of two submits at the same moment one fails and looks again.
"""

import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime, timezone
from typing import Any, TypeVar

from hpc.planning.tasks import Plan
from hpc.planning.workers import PlannedArray, Resources
from hpc.state.owner import Process
from jobs.campaign import Campaign
from jobs.files import publish, sync_folder
from jobs.manifest import UNREADABLE, ManifestError, refuse_newer
from jobs.taskfile import Task

SCHEMA_VERSION = 2  # 1 had no number, no code_commit, and no waits_for in an array
_PRIVATE, _SHARED = 0o700, 0o777  # rights of the folder of logs
Made = TypeVar("Made")


class SubmissionTaken(Exception):
    """Another submit claimed the number first; plan again, with its runs in view."""


@dataclass(frozen=True)
class Array:
    """A job array of a submission: its tasks are first_task, first_task + 1, ...; job_id is None until it is known.

    waits_for: the job that has to end before it starts, if any.
    """

    name: str
    first_task: int
    n_tasks: int
    parallel: int
    resources: Resources
    job_id: str | None = None
    waits_for: str | None = None

    @property
    def tasks(self) -> range:
        """Its tasks."""
        return range(self.first_task, self.first_task + self.n_tasks)

    def index_of(self, task: int) -> int | None:
        """The element that executes a task; None for an array of one, which is a plain job."""
        return task - self.first_task if self.n_tasks > 1 else None

    def task_of(self, index: int | None) -> int:
        """The task of an element."""
        return self.first_task + (index or 0)

    def job_of(self, task: int) -> str:
        """The scheduler's name of what executes a task: JOB_INDEX, or JOB for an array of one."""
        index = self.index_of(task)
        return f"{self.job_id}" if index is None else f"{self.job_id}_{index}"


@dataclass(frozen=True)
class Submission:
    """What `submission.json` says. Times are ISO 8601, UTC; ended is None until nothing of it is executed any more.

    process: the one that hands it over or executes it. arrays: empty for local submissions. code_commit: of
    the code that submitted it; empty if that was not yet recorded.
    """

    number: int
    campaign: str
    created: str
    executor: str
    n_tasks: int
    n_runs: int
    workers: int
    process: Process
    arrays: tuple[Array, ...] = ()
    ended: str | None = None
    code_commit: str = ""
    schema: int = field(default=SCHEMA_VERSION, compare=False)

    @classmethod
    def by_this_process(cls, number: int, campaign: str, executor: str, planned: Plan, **others: Any) -> "Submission":
        """The record of a plan that this process is about to execute or to hand over."""
        sizes = len(planned.tasks), planned.n_runs, planned.workers
        return cls(number, campaign, now(), executor, *sizes, Process.current(), **others)

    def array_of(self, task: int) -> Array | None:
        """The array that executes a task; None if it is executed here."""
        return next((array for array in self.arrays if task in array.tasks), None)


@dataclass(frozen=True)
class TaskActivity:
    """A task that may still be executed. is_begun: whether it is being executed; job: its name for the scheduler, if any."""

    is_begun: bool
    job: str | None = None


@dataclass(frozen=True)
class Activity:
    """Tasks of a submission that may still be executed. is_known: False if who could tell cannot be seen from this host."""

    tasks: Mapping[int, TaskActivity]
    is_known: bool = True


def now() -> str:
    """The time as it is written into files."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def numbers(campaign: Campaign) -> list[int]:
    """The submissions there are, in order."""
    if not campaign.submissions.is_dir():
        return []
    return sorted(int(folder.name) for folder in campaign.submissions.iterdir() if folder.name.isdecimal())


def next_number(campaign: Campaign) -> int:
    """The number for a new submission to claim. It is above all submissions, also above one that left only shards."""
    of_shards = (path.name.split("-")[0] for path in campaign.shard_paths())
    return max([0, *numbers(campaign), *(int(text) for text in of_shards if text.isdecimal())]) + 1


def array_name(campaign: str, number: int, place: int) -> str:
    """The name that tells an array from all others.

    Raises:
        ManifestError: the campaign's id is not one; it becomes part of a shell script.
    """
    if not campaign.isalnum():
        raise ManifestError(f"campaign {campaign!r}: not an id; the first line of manifest.jsonl was changed")
    return f"{campaign}-{number:04d}-{place:02d}"


def arrays_of(campaign: str, number: int, planned: Iterable[PlannedArray], waits_for: str | None) -> tuple[Array, ...]:
    """The records of planned arrays; those that wait for none of them wait for the job `waits_for`, if any."""
    return tuple(
        Array(
            array_name(campaign, number, place),
            array.tasks.start,
            len(array.tasks),
            array.parallel,
            array.resources,
            waits_for=waits_for if array.after is None else None,
        )
        for place, array in enumerate(planned)
    )


def read(campaign: Campaign, number: int) -> Submission:
    """One submission's record, of this or an earlier version.

    Raises:
        ManifestError: it cannot be read, or a newer version wrote it.
    """
    path = campaign.submission(number) / "submission.json"
    try:
        record = json.loads(path.read_bytes())
        refuse_newer(path, record.get("schema", 1), SCHEMA_VERSION)
        arrays = tuple(_made(Array, {**array, "resources": _made(Resources, array["resources"])}) for array in record["arrays"])
        ids = [job for array in arrays for job in (array.job_id, array.waits_for) if job is not None]
        if not all(job_id.isdecimal() for job_id in ids):  # they become arguments of programs
            raise ValueError(f"job ids {ids}")
        return _made(Submission, {**record, "process": _made(Process, record["process"]), "arrays": arrays})
    except UNREADABLE as error:
        raise ManifestError(f"{path}: not the record of a submission ({error}); if it has ended, remove its folder") from error


def _made(kind: type[Made], record: Mapping[str, Any]) -> Made:
    """A dataclass from its record; fields that it does not have are left out."""
    return kind(**{each.name: record[each.name] for each in fields(kind) if each.name in record})  # type: ignore[arg-type]


def read_all(campaign: Campaign) -> list[Submission]:
    """All submissions, in order.

    Raises:
        ManifestError: one cannot be read.
    """
    return [read(campaign, number) for number in numbers(campaign)]


def write(campaign: Campaign, submission: Submission) -> None:
    """Replace the record of a submission."""
    publish(campaign.submission(submission.number) / "submission.json", _json(submission))


def claim(campaign: Campaign, submission: Submission, tasks: Iterable[Task]) -> None:
    """Publish a submission with its tasks.

    Raises:
        SubmissionTaken: another process was first.
        OSError: it cannot be written.
    """
    hidden = campaign.submissions / f".{submission.number:04d}.{secrets.token_hex(4)}"
    hidden.mkdir(parents=True)
    rights = _PRIVATE if submission.arrays else _SHARED  # a scheduler's inputs lie there: nobody else may ever put one there
    (hidden / "logs").mkdir(mode=rights)
    try:
        publish(hidden / "tasks.jsonl", (task.line() for task in tasks))
        publish(hidden / "submission.json", _json(submission))
        os.rename(hidden, campaign.submission(submission.number))
    except OSError as error:
        shutil.rmtree(hidden)
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise SubmissionTaken(f"submission {submission.number:04d} was claimed by another submit") from error
        raise
    sync_folder(campaign.submissions)


def end(campaign: Campaign, submission: Submission) -> None:
    """Record that nothing of the submission is executed any more."""
    write(campaign, replace(submission, ended=now()))


def _json(submission: Submission) -> bytes:
    return json.dumps(asdict(replace(submission, schema=SCHEMA_VERSION)), indent=1).encode() + b"\n"
