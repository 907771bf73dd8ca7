"""Submissions: claim a number, and read and write submission.json.

A submission's folder appears whole under its number. If two submits claim it at the same moment, one fails and plans again.
"""

import json
import re
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from hpc.planning.tasks import Plan
from hpc.planning.workers import Resources
from hpc.state.arrays import Array
from jobs.campaign import Campaign, listed
from jobs.files import new_folder, publish
from jobs.manifest import ManifestError, noting, refuse_newer
from jobs.needs import needs_of, to_bytes
from jobs.process import Process
from jobs.reading import brief, made, parse_json, read_regular
from jobs.taskfile import Task

SCHEMA_VERSION = 3  # 1 had no schema, code_commit or waits_for; until 2, each element had one task of its own
_PRIVATE, _SHARED = 0o700, 0o777  # permissions of the folder of logs
_NAME = re.compile(r"\d{4}|[1-9]\d{4,16}", re.ASCII)  # the name of a submission's folder


class SubmissionTaken(Exception):
    """Another submit claimed the number first. Its runs must be seen before the next plan."""


@dataclass(frozen=True)
class Submission:
    """The contents of `submission.json`. Times are ISO 8601, UTC. ended is None while any of its tasks may be at work.

    process: the process that submits or executes it. arrays: empty for local submissions. is_interrupted: whether that process
    ended before its tasks. code_commit: that of the code that submitted it; empty in earlier versions. is_claimed: whether
    workers claim its tasks (jobs/claims.py), as they do since schema 3. deadline: when everything has to be done; empty for
    none (hpc/request/deadline.py reads it). redo: 0, or, if its runs were done and are trained again, the number of the first
    submission of this redo (its own number, or that of an earlier one); asked: the words that asked for the redo.
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
    is_interrupted: bool = False
    code_commit: str = ""
    is_claimed: bool = False
    deadline: str = ""
    redo: int = 0
    asked: str = ""
    schema: int = field(default=SCHEMA_VERSION, compare=False)

    @property
    def is_cut_short(self) -> bool:
        """Whether its tasks ended because the local process that executed them ended. (Only used if nothing is at work.)"""
        return bool(self.executor) and not self.arrays and (self.is_interrupted or not self.ended)

    @classmethod
    def by_this_process(cls, number: int, campaign: str, executor: str, planned: Plan, **others: Any) -> "Submission":
        """The record of a plan that this process is about to execute or submit."""
        sizes = len(planned.tasks), planned.n_runs, planned.workers
        return cls(number, campaign, now(), executor, *sizes, Process.current(), is_claimed=True, **others)

    @classmethod
    def unreadable(cls, number: int) -> "Submission":
        """A placeholder, without an executor, for a submission whose record cannot be read."""
        return cls(number, "", "", "", 0, 0, 0, Process("", "", 0, None, ""))

    def array_of(self, task: int) -> Array | None:
        """The array whose elements may execute this task; None for a local submission."""
        return next((array for array in self.arrays if task in array.tasks), None)

    def array_with(self, job: str) -> Array | None:
        """The array of which a job is an element; None if there is none."""
        return next((array for array in self.arrays if array.has(job)), None)


def now() -> str:
    """The current time, in the form that is written into files."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def numbers(campaign: Campaign) -> list[int]:
    """The numbers of all submissions, ascending. Raises ManifestError if their folder cannot be read."""
    return sorted(int(path.name) for path in listed(campaign.submissions) if _is_submission(path))


def foreign(campaign: Campaign) -> list[Path]:
    """Files and folders beside the submissions that are not submissions, except hidden ones."""
    return [path for path in listed(campaign.submissions) if not (path.name.startswith(".") or _is_submission(path))]


def _is_submission(path: Path) -> bool:
    """Files, empty folders and other names are not submissions. A folder that cannot be read may be one."""
    try:
        return bool(_NAME.fullmatch(path.name)) and (not path.exists() or (path.is_dir() and any(path.iterdir())))
    except OSError:
        return True


def next_number(campaign: Campaign) -> int:
    """The number for a new submission. It is above those of all submissions, even of one that left only shards."""
    names = (*(path.name for path in listed(campaign.submissions)), *(p.name.split("-")[0] for p in campaign.shard_paths()))
    return max((int(name) for name in names if _NAME.fullmatch(name)), default=0) + 1


def read(campaign: Campaign, number: int, executors: Collection[str] = ()) -> Submission:
    """Read one submission's record, of this or an earlier version. executors: the known names; empty: any name.

    Raises:
        ManifestError: it cannot be read, or a newer version wrote it.
    """
    path = campaign.submission(number) / "submission.json"
    try:
        record = parse_json(read_regular(path))
        refuse_newer(path, record.get("schema", 1), SCHEMA_VERSION)
        arrays = tuple(map(_array, record["arrays"]))
        ids = [job for array in arrays for job in (array.job_id, *array.waits_for) if job is not None]
        if not all(job_id.isdecimal() for job_id in ids):  # job ids become arguments of programs
            raise ValueError(f"job ids {ids}")
        found = made(Submission, {**record, "process": made(Process, record["process"]), "arrays": arrays})
        datetime.fromisoformat(found.created).timestamp()
        is_known = found.executor in (executors or (found.executor,))
        if not is_known or found.number != number or any(array.tasks.stop > found.n_tasks for array in arrays):
            raise ValueError(f"number {found.number}, executor {found.executor!r}, {found.n_tasks} tasks")
        return found
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ManifestError(f"{path}: not the record of a submission ({brief(error)})") from error


def _array(record: dict[str, Any]) -> Array:
    before = record.get("waits_for") or ()  # until schema 2, waits_for was one job or null
    waits_for = (before,) if isinstance(before, str) else tuple(before)
    return made(Array, {**record, "resources": made(Resources, record["resources"]), "waits_for": waits_for})


def read_all(campaign: Campaign) -> list[Submission]:
    """All submissions that can be read, in order.

    Raises:
        NewerError: a newer version of the code wrote one.
    """
    found = list[Submission]()
    for number in numbers(campaign):
        with noting([]):
            found.append(read(campaign, number))
    return found


def write(campaign: Campaign, submission: Submission) -> None:
    """Replace the record of a submission."""
    publish(campaign.submission(submission.number) / "submission.json", _json(submission))


def claim(campaign: Campaign, submission: Submission, tasks: Iterable[Task]) -> None:
    """Publish a submission with its tasks.

    Raises:
        SubmissionTaken: another process was first.
        OSError: it cannot be written.
    """
    rights = _PRIVATE if submission.arrays else _SHARED  # a scheduler's inputs lie there: nobody else may ever put one there
    try:
        with new_folder(campaign.submission(submission.number)) as folder:
            (folder / "logs").mkdir(mode=rights)
            publish(folder / "tasks.jsonl", (task.line() for task in tasks))
            with (folder / "tasks.jsonl").open("rb") as lines:
                needs = needs_of(lines)
            publish(folder / "needs.json", to_bytes(needs))
            publish(folder / "submission.json", _json(submission))
    except FileExistsError as error:
        raise SubmissionTaken(f"submission {submission.number:04d} was claimed by another submit") from error


def end(campaign: Campaign, submission: Submission, is_interrupted: bool = False) -> None:
    """Record that no task of the submission is at work any more."""
    write(campaign, replace(submission, ended=now(), is_interrupted=is_interrupted))


def _json(submission: Submission) -> bytes:
    return json.dumps(asdict(replace(submission, schema=SCHEMA_VERSION)), indent=1).encode() + b"\n"
