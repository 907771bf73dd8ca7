"""Acts of submitting: claimed, recorded, and asked whether they still run.

A submission's folder is written whole under a hidden name and renamed to its number: the claim and its content appear
at once, and of two submits at the same moment one fails and looks again.
"""

import errno
import itertools
import json
import os
import platform
import secrets
import shutil
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from jobs.campaign import Campaign
from jobs.files import publish, sync_folder
from jobs.manifest import ManifestError, Task, read_task_run_ids
from jobs.task import ArrayTask


class SubmissionTaken(Exception):
    """Another submit claimed the number first; plan again, with its runs in view."""


@dataclass(frozen=True)
class Process:
    """The process that runs a local submission. boot_id, start_ticks: tell it from a later one of the same pid."""

    host: str
    boot_id: str
    pid: int
    start_ticks: int | None

    @classmethod
    def current(cls) -> "Process":
        """This process."""
        return cls(platform.node(), _boot_id(), os.getpid(), _start_ticks(os.getpid()))

    def is_alive(self) -> bool | None:
        """Whether it still runs; None if that cannot be known from this host."""
        if self.boot_id != _boot_id():
            return None if self.host != platform.node() else False
        return _start_ticks(self.pid) == self.start_ticks


@dataclass(frozen=True)
class Submission:
    """What `submission.json` says. Times are ISO 8601, UTC; ended is None until the submission is known to have ended."""

    number: int
    campaign: str
    created: str
    executor: str
    n_tasks: int
    n_runs: int
    workers: int
    process: Process
    ended: str | None = None

    def is_active(self) -> bool | None:
        """Whether its runs may still be executed; None if that cannot be known."""
        return False if self.ended else self.process.is_alive()


def now() -> str:
    """The time as it is written into files."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def numbers(campaign: Campaign) -> list[int]:
    """The submissions there are, in order."""
    if not campaign.submissions.is_dir():
        return []
    return sorted(int(folder.name) for folder in campaign.submissions.iterdir() if folder.name.isdigit())


def next_number(campaign: Campaign) -> int:
    """The number that a new submission has to claim."""
    return max(numbers(campaign), default=0) + 1


def local(number: int, campaign: str, n_tasks: int, n_runs: int, workers: int) -> Submission:
    """The record of a submission that this process is about to run."""
    return Submission(number, campaign, now(), "local", n_tasks, n_runs, workers, Process.current())


def read(campaign: Campaign, number: int) -> Submission:
    """One submission's record.

    Raises:
        ManifestError: it cannot be read.
    """
    path = campaign.submission(number) / "submission.json"
    try:
        fields = json.loads(path.read_bytes())
        return Submission(**{**fields, "process": Process(**fields["process"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ManifestError(f"{path}: not the record of a submission ({error}); if it has ended, remove its folder") from error


def active(campaign: Campaign) -> dict[Submission, set[str]]:
    """The submissions that are or may be still at work, and the run_ids of each."""
    submissions = (read(campaign, number) for number in numbers(campaign))
    return {
        submission: {run_id for task in read_task_run_ids(campaign.tasks(submission.number)) for run_id in task}
        for submission in submissions
        if submission.is_active() is not False
    }


def claim(campaign: Campaign, submission: Submission, tasks: list[Task]) -> list[ArrayTask]:
    """Publish a submission with its tasks; whoever executes them needs no more than the returned payloads.

    Raises:
        SubmissionTaken: another process was first.
        OSError: it cannot be written.
    """
    lines = [task.line() for task in tasks]
    hidden = campaign.submissions / f".{submission.number:04d}.{secrets.token_hex(4)}"
    (hidden / "logs").mkdir(parents=True)
    try:
        publish(hidden / "tasks.jsonl", lines)
        publish(hidden / "submission.json", _json(submission))
        os.rename(hidden, campaign.submission(submission.number))
    except OSError as error:
        shutil.rmtree(hidden)
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise SubmissionTaken(f"submission {submission.number:04d} was claimed by another submit") from error
        raise
    sync_folder(campaign.submissions)
    offsets = itertools.accumulate(map(len, lines[:-1]), initial=0)
    return [
        ArrayTask(str(campaign.folder.resolve()), submission.number, task.index, offset)
        for task, offset in zip(tasks, offsets, strict=True)
    ]


def end(campaign: Campaign, submission: Submission) -> None:
    """Record that nothing of the submission runs any more."""
    publish(campaign.submission(submission.number) / "submission.json", _json(replace(submission, ended=now())))


def _json(submission: Submission) -> bytes:
    return json.dumps(asdict(submission), indent=1).encode() + b"\n"


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return platform.node()  # no Linux: a host is taken for one boot


def _start_ticks(pid: int) -> int | None:
    """Start of a process in clock ticks since boot (proc(5), field 22); None if it is gone or a zombie, 0 without /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] in "ZX" else int(fields[19])
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return None
    try:
        os.kill(pid, 0)
        return 0
    except OSError:
        return None
