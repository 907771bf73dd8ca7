"""Questions to Slurm, each with one call of a program. A missing answer is an error, never an empty answer.

An answer needs its header: a program that prints nothing or something else has not answered.
"""

import contextlib
import math
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from hpc.execution.slurm.calling import call, last_line, succeed
from hpc.execution.slurm.options import minutes
from hpc.planning.workers import Limits
from hpc.state.scheduler import SchedulerError

_MOST_AT_ONCE = 500  # elements in one call of scancel, because the length of a command line is limited
WAITING = (*("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT", "EXPEDITING"), "SUSPENDED")
_NO_ACCOUNTING = re.compile("accounting storage is disabled|[Aa]ccess/permission denied|not allowed|no such program")
_MARK = "noisy-row"  # marks the rows of squeue, because on some sites news are printed before them


@dataclass(frozen=True)
class Queued:
    """An array element in the queue: its job's name and id, its index (None for a job that is no array), its state."""

    name: str
    job_id: str
    index: int | None
    state: str
    reason: str

    @property
    def is_running(self) -> bool:
        """Whether it is being executed."""
        return self.state not in WAITING

    @property
    def job(self) -> str:
        """The name that scancel knows: JOB_INDEX or JOB."""
        return self.job_id if self.index is None else f"{self.job_id}_{self.index}"


@dataclass(frozen=True)
class Ended:
    """What accounting says of an array element: its state (`TIMEOUT`, `OUT_OF_MEMORY`, ...), exit code and node."""

    state: str
    exit_code: str
    node: str


@dataclass(frozen=True)
class Queue:
    """The answer of squeue. doubt: why an element that is not listed may still be at work; empty if it cannot be."""

    elements: tuple[Queued, ...] = ()
    doubt: str = ""


def queue(names: Sequence[str] = ()) -> Queue:
    """The array elements of jobs with these names, of all users and in all partitions. Without names: all jobs of the user.

    Raises:
        SchedulerError: squeue does not answer.
    """
    whose = ("--name=" + ",".join(names),) if names else (f"--user={os.getuid()}",)
    command = ("squeue", "--all", "--array", f"--format={_MARK}|%F|%K|%T|%r|%j", *whose)
    done = succeed(call(*command))
    marked = [line.split("|", 5)[1:] for line in done.stdout.splitlines() if line.startswith(_MARK + "|")]
    if not marked or any(len(row) != 5 or not row[0].isdigit() for row in marked[1:]):  # the first is the header
        raise SchedulerError(f"squeue did not answer as expected: {last_line(done.stdout + done.stderr)!r}")
    rows = (Queued(name, job, int(index) if index.isdigit() else None, *why) for job, index, *why, name in marked[1:])
    return Queue(tuple(rows), f"squeue said: {last_line(done.stderr)}" if done.stderr.strip() else "")


def accounting(job_ids: Sequence[str]) -> dict[str, Ended]:
    """JOB_INDEX (JOB for a job that is no array) -> what accounting knows of it, in one call of sacct.

    Jobs that accounting no longer knows are left out. If a site has no accounting, or hides it from users, the controller is
    asked instead; it forgets jobs after some minutes.

    Raises:
        SchedulerError: sacct does not answer.
    """
    if not job_ids:
        return {}
    try:
        rows = accounting_rows(job_ids)
    except SchedulerError as error:
        if not _NO_ACCOUNTING.search(str(error)):
            raise
        rows = [row for job_id in job_ids for row in _of_controller(job_id)]
    return {
        job: Ended(state.split()[0], exit_code, node)
        for job, state, exit_code, node in rows
        if re.fullmatch(r"\d+(_\d+)?", job)  # others are ranges of elements that never began
    }


def accounting_rows(job_ids: Sequence[str]) -> list[list[str]]:
    """The rows (JobID, State, ExitCode, NodeList) of sacct. Raises SchedulerError, also if there is no accounting."""
    asked = ("--format=JobID,State,ExitCode,NodeList", "--jobs=" + ",".join(job_ids))
    return _table("JobID|State|ExitCode|NodeList", "sacct", "--allocations", "--allusers", "--parsable2", *asked)


def spans(job_ids: Sequence[str]) -> dict[str, tuple[float, float, float]]:
    """JOB_INDEX -> when it was submitted, began and ended, in seconds of the epoch, in one call of sacct.

    Raises:
        SchedulerError: sacct does not answer.
    """
    if not job_ids:
        return {}
    asked = ("--format=JobID,Submit,Start,End", "--jobs=" + ",".join(job_ids))
    rows = _table("JobID|Submit|Start|End", "sacct", "--allocations", "--allusers", "--parsable2", *asked)
    found = {}
    for job, *times in rows:
        with contextlib.suppress(ValueError):  # it is `Unknown` for a job that never began
            submitted_s, began_s, ended_s = (datetime.fromisoformat(each).timestamp() for each in times)
            found[job] = submitted_s, began_s, ended_s
    return found


@dataclass(frozen=True)
class Partition:
    """A partition: the memory of its largest node in 10**6 bytes (inf: not known), and how long a job may take in minutes."""

    name: str
    is_default: bool
    is_up: bool
    mem_mb: float
    time_limit_min: float


def partitions() -> list[Partition]:
    """All partitions.

    Raises:
        SchedulerError: sinfo does not answer.
    """
    found: dict[str, Partition] = {}
    for name, state, mem, time_limit in _table("PARTITION|AVAIL|MEMORY|TIMELIMIT", "sinfo", "--all", "--format=%P|%a|%m|%l"):
        try:
            mem_mib = int(re.sub(r"\D", "", mem))
            mem_mb = mem_mib * 2**20 // 10**6 - 1 if mem_mib > 1 else math.inf  # 1 means that the site did not configure it
            row = Partition(name.rstrip("*"), name.endswith("*"), state == "up", mem_mb, minutes(time_limit))
        except ValueError as error:
            raise SchedulerError(f"sinfo did not answer as expected: {error}") from error
        other = found.get(row.name, row)
        found[row.name] = replace(row, mem_mb=max(row.mem_mb, other.mem_mb))
    return list(found.values())


def limits(chosen: Sequence[Partition], account: str | None = None, qos: str | None = None) -> Limits:
    """The limits of the cluster, the user's account and QOS, and the chosen partitions. A task has to fit all of them.

    Args:
        account, qos: those that the user named, if any.

    Raises:
        SchedulerError: scontrol does not answer.
    """
    configuration = _configuration()
    try:
        most = [int(configuration["MaxJobCount"])]
        max_array_size = max(1, int(configuration["MaxArraySize"]))  # 0 means no arrays, so each worker is a job of its own
    except (KeyError, ValueError) as error:
        raise SchedulerError(f"scontrol did not answer as expected: {error!r}") from error
    if configuration.get("AccountingStorageType") == "accounting_storage/slurmdbd":
        try:
            most += _submit_limits(account, qos)
        except SchedulerError as error:  # the database may be down; limits are also seen in the answers of sbatch
            print(f"note: {error}; the limits of your account are not known", file=sys.stderr)
    mem_mb = min((each.mem_mb for each in chosen), default=math.inf)
    return Limits(max_array_size, min(most), mem_mb, min((each.time_limit_min for each in chosen), default=math.inf))


def hides_jobs_of_others() -> bool:
    """Whether this site hides the jobs of other users.

    Raises:
        SchedulerError: scontrol does not answer.
    """
    return "jobs" in _configuration().get("PrivateData", "").split(",")


def _configuration() -> dict[str, str]:
    return dict(re.findall(r"^(\w+) *= *(.*?) *$", succeed(call("scontrol", "show", "config")).stdout, re.MULTILINE))


def _submit_limits(account: str | None, qos: str | None) -> list[int]:
    """MaxSubmitJobs of the user in an account and in a QOS.

    If none is named, the largest counts, because only sbatch knows which is used. If sbatch then accepts fewer workers, fewer
    are submitted.
    """
    show = ("sacctmgr", "--parsable2", "show")
    user = succeed(call("id", "--user", "--name")).stdout.strip()
    rows = _table("Account|MaxSubmit|QOS", *show, "assoc", "where", f"user={user}", "format=Account,MaxSubmitJobs,QOS")
    rows = [row for row in rows if account is None or row[0].lower() == account.lower()]
    names = sorted({name for row in rows for name in row[2].split(",") if name and qos in (None, name)})
    where = ("where", f"name={','.join(names)}", "format=MaxSubmitJobsPerUser")
    of_qos = _table("MaxSubmitPU", *show, "qos", *where) if names else []
    columns = ([row[1] for row in rows], [row[0] for row in of_qos])
    return [max(map(int, column)) for column in columns if column and all(text.isdecimal() for text in column)]


def cancel(elements: Sequence[str]) -> None:
    """Cancel array elements, each `JOB_INDEX` or `JOB`.

    Raises:
        SchedulerError: scancel does not answer.
    """
    for start in range(0, len(elements), _MOST_AT_ONCE):
        succeed(call("scancel", *elements[start : start + _MOST_AT_ONCE]))


def _of_controller(job_id: str) -> list[list[str]]:
    """The rows (JobID, State, ExitCode, NodeList) of a job, from the controller; none if the controller has forgotten it."""
    done = call("scontrol", "--oneliner", "show", "job", job_id)
    if done.returncode and "Invalid job id" not in done.stderr + done.stdout:
        succeed(done)
    rows = []
    for line in done.stdout.splitlines():
        known = dict(re.findall(r"(\w+)=(\S*)", line))
        element = f"{job_id}_{known['ArrayTaskId']}" if "ArrayTaskId" in known else job_id
        if "JobState" in known:
            rows.append([element, known["JobState"], known.get("ExitCode", ""), known.get("NodeList", "")])
    return rows


def _table(header: str, *command: str) -> list[list[str]]:
    """The rows below a header that a program prints, split at |. Lines before the header are news of the site."""
    names = header.split("|")
    rows = [line.split("|", len(names) - 1) for line in succeed(call(*command)).stdout.splitlines()]
    if names not in rows or any(len(row) != len(names) for row in rows[rows.index(names) :]):
        raise SchedulerError(f"{command[0]} did not answer as expected: {'|'.join(rows[-1]) if rows else ''!r}")
    return rows[rows.index(names) + 1 :]
