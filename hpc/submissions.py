"""Acts of submitting: claimed, recorded, and asked which of their tasks may still be executed.

A submission's folder is written whole under a hidden name and renamed to its number: the claim and its content appear
at once, and of two submits at the same moment one fails and looks again.
"""

import errno
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone

from hpc.cluster import Queued
from hpc.plan import PlannedArray, Resources
from hpc.process import Process
from jobs.campaign import Campaign
from jobs.files import publish, sync_folder
from jobs.manifest import ManifestError
from jobs.task import ArrayTask
from jobs.taskfile import Task


class SubmissionTaken(Exception):
    """Another submit claimed the number first; plan again, with its runs in view."""


@dataclass(frozen=True)
class Array:
    """A job array of a submission: its tasks are first_task, first_task + 1, ...; job_id is None until Slurm has given one."""

    name: str
    first_task: int
    n_tasks: int
    parallel: int
    resources: Resources
    job_id: str | None = None


@dataclass(frozen=True)
class Submission:
    """What `submission.json` says. Times are ISO 8601, UTC; ended is None until nothing of it is executed any more.

    process: that which submits (Slurm) or executes (local) it. arrays: none, if it is executed locally.
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


def now() -> str:
    """The time as it is written into files."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def numbers(campaign: Campaign) -> list[int]:
    """The submissions there are, in order."""
    if not campaign.submissions.is_dir():
        return []
    return sorted(int(folder.name) for folder in campaign.submissions.iterdir() if folder.name.isdecimal())


def next_number(campaign: Campaign) -> int:
    """The number that a new submission has to claim: above all submissions, also above those of which only shards are left."""
    of_shards = (path.name.split("-")[0] for path in campaign.shard_paths())
    return max([0, *numbers(campaign), *(int(text) for text in of_shards if text.isdecimal())]) + 1


def local(number: int, campaign: str, n_tasks: int, n_runs: int, workers: int) -> Submission:
    """The record of a submission that this process is about to execute."""
    return Submission(number, campaign, now(), "local", n_tasks, n_runs, workers, Process.current())


def slurm(number: int, campaign: str, n_runs: int, workers: int, planned: tuple[PlannedArray, ...]) -> Submission:
    """The record of a submission that this process is about to hand to Slurm. An array's name tells it from all others."""
    if not campaign.isalnum():  # it becomes part of a shell script
        raise ManifestError(f"campaign {campaign!r}: not an id; the first line of manifest.jsonl was changed")
    named = tuple(
        Array(f"{campaign}-{number:04d}-{i:02d}", array.first_task, array.n_tasks, array.parallel, array.resources)
        for i, array in enumerate(planned)
    )
    n_tasks = sum(array.n_tasks for array in planned)
    return Submission(number, campaign, now(), "slurm", n_tasks, n_runs, workers, Process.current(), named)


def read(campaign: Campaign, number: int) -> Submission:
    """One submission's record.

    Raises:
        ManifestError: it cannot be read.
    """
    path = campaign.submission(number) / "submission.json"
    try:
        fields = json.loads(path.read_bytes())
        arrays = tuple(Array(**{**array, "resources": Resources(**array["resources"])}) for array in fields["arrays"])
        ids = [array.job_id for array in arrays if array.job_id is not None]
        if not all(job_id.isdecimal() for job_id in ids):  # they become arguments of sbatch and scancel
            raise ValueError(f"job ids {ids}")
        return Submission(**{**fields, "process": Process(**fields["process"]), "arrays": arrays})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ManifestError(f"{path}: not the record of a submission ({error}); if it has ended, remove its folder") from error


def read_all(campaign: Campaign) -> list[Submission]:
    """All submissions, in order.

    Raises:
        ManifestError: one cannot be read.
    """
    return [read(campaign, number) for number in numbers(campaign)]


def write(campaign: Campaign, submission: Submission) -> None:
    """Replace the record of a submission."""
    publish(campaign.submission(submission.number) / "submission.json", _json(submission))


def claim(campaign: Campaign, submission: Submission, tasks: Iterable[Task]) -> list[ArrayTask]:
    """Publish a submission with its tasks; whoever executes them needs no more than the returned payloads.

    Raises:
        SubmissionTaken: another process was first.
        OSError: it cannot be written.
    """
    place, payloads = str(campaign.folder.resolve()), list[ArrayTask]()

    def lines() -> Iterator[bytes]:
        offset_bytes = 0
        for task in tasks:
            payloads.append(ArrayTask(place, submission.number, task.index, offset_bytes))
            line = task.line()
            offset_bytes += len(line)
            yield line

    hidden = campaign.submissions / f".{submission.number:04d}.{secrets.token_hex(4)}"
    hidden.mkdir(parents=True)
    private = 0o700 if submission.executor == "slurm" else 0o777  # submitit's pickles: nobody else may ever put one there
    (hidden / "logs").mkdir(mode=private)
    try:
        publish(hidden / "tasks.jsonl", lines())
        publish(hidden / "submission.json", _json(submission))
        os.rename(hidden, campaign.submission(submission.number))
    except OSError as error:
        shutil.rmtree(hidden)
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise SubmissionTaken(f"submission {submission.number:04d} was claimed by another submit") from error
        raise
    sync_folder(campaign.submissions)
    return payloads


def end(campaign: Campaign, submission: Submission) -> None:
    """Record that nothing of the submission is executed any more."""
    write(campaign, replace(submission, ended=now()))


@dataclass(frozen=True)
class Activity:
    """Tasks of a submission that may still be executed: index -> what the queue says of it (None: executed locally, or about
    to be submitted). is_known is False if the process that could tell cannot be seen from this host."""

    tasks: dict[int, Queued | None]
    is_known: bool = True


def activity(submission: Submission, queue: Callable[[], list[Queued]]) -> Activity:
    """What of a submission may still be executed.

    Args:
        queue: asks Slurm for the user's queue; called only if it matters.

    Raises:
        SchedulerError: Slurm does not answer.
    """
    if submission.ended:
        return Activity({})
    alive = submission.process.is_alive()
    if submission.executor == "local":
        return Activity(dict.fromkeys(range(submission.n_tasks)) if alive is not False else {}, alive is not None)
    by_name = {array.name: array for array in submission.arrays}
    tasks: dict[int, Queued | None] = {
        by_name[element.name].first_task + (element.index or 0): element for element in queue() if element.name in by_name
    }
    for array in submission.arrays:
        if array.job_id is None and alive is not False:  # its sbatch may be about to come
            tasks = {**dict.fromkeys(range(array.first_task, array.first_task + array.n_tasks)), **tasks}
    return Activity(tasks, alive is not None or all(array.job_id for array in submission.arrays))


def _json(submission: Submission) -> bytes:
    return json.dumps(asdict(submission), indent=1).encode() + b"\n"
