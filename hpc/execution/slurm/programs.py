"""Asking Slurm: one program call a question. An answer that does not come is an error, never an empty answer."""

import math
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hpc.execution.slurm.options import minutes
from hpc.planning.workers import Limits
from hpc.state.scheduler import SchedulerError

TIMEOUT_VARIABLE = "NOISY_SCHEDULER_TIMEOUT_S"  # how long a program of Slurm may take; a busy one takes half a minute
_MOST_AT_ONCE = 500  # elements that one call of scancel names: a command line has a limit
_WAITING = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "SUSPENDED")


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
        return self.state not in _WAITING

    @property
    def job(self) -> str:
        """Its name for scancel: JOB_INDEX or JOB."""
        return self.job_id if self.index is None else f"{self.job_id}_{self.index}"


@dataclass(frozen=True)
class Ended:
    """What accounting says of an array element: its state (`TIMEOUT`, `OUT_OF_MEMORY`, ...), exit code and node."""

    state: str
    exit_code: str
    node: str


def queue() -> list[Queued]:
    """The user's whole queue, in one call of squeue.

    Raises:
        SchedulerError: squeue does not answer.
    """
    rows = _rows(5, "squeue", "--me", "--array", "--noheader", "--format=%F|%K|%T|%r|%j")
    return [
        Queued(name, job_id, int(index) if index.isdigit() else None, state, reason)
        for job_id, index, state, reason, name in rows
    ]


def accounting(job_ids: Sequence[str]) -> dict[str, Ended]:
    """JOB_INDEX (JOB for a job that is no array) -> what accounting knows of it, in one call of sacct.

    What it has forgotten is left out.

    Raises:
        SchedulerError: sacct does not answer.
    """
    if not job_ids:
        return {}
    fields = "--format=JobID,State,ExitCode,NodeList"
    rows = _rows(4, "sacct", "--allocations", "--noheader", "--parsable2", fields, "--jobs=" + ",".join(job_ids))
    return {
        job: Ended(state.split()[0], exit_code, node)
        for job, state, exit_code, node in rows
        if re.fullmatch(r"\d+(_\d+)?", job)  # else a range of elements that never began
    }


def limits(partition: str | None = None) -> Limits:
    """The limits of the cluster, of the user's accounts and QOS, and of a partition (None: the default one).

    Raises:
        SchedulerError: scontrol, sinfo or sacctmgr does not answer.
    """
    configuration = dict(re.findall(r"^(\w+) *= *(.*?) *$", _call("scontrol", "show", "config"), re.MULTILINE))
    rows = list(_rows(3, "sinfo", "--noheader", "--format=%P|%m|%l"))
    its_rows = [row for row in rows if row[0] == (partition or row[0].rstrip("*") + "*")]
    try:
        mem_mb = max((int(re.sub(r"\D", "", row[1])) * 2**20 // 10**6 - 1 for row in its_rows), default=math.inf)
        time_min = max((minutes(row[2]) for row in its_rows), default=math.inf)
        most = [int(configuration["MaxJobCount"])]
        max_array_size = max(1, int(configuration["MaxArraySize"]))  # 0: no arrays, so each task is a job of its own
    except (KeyError, ValueError) as error:
        raise SchedulerError(f"scontrol or sinfo did not answer as expected: {error!r}") from error
    if configuration.get("AccountingStorageType") == "accounting_storage/slurmdbd":
        most += _submit_limits()
    return Limits(max_array_size, min(most), mem_mb, time_min)


def _submit_limits() -> list[int]:
    """MaxSubmitJobs of the user's associations and of their QOS."""
    user = _call("id", "--user", "--name").strip()
    show = ("sacctmgr", "--noheader", "--parsable2", "show")
    rows = list(_rows(2, *show, "assoc", "where", f"user={user}", "format=MaxSubmitJobs,QOS"))
    names = sorted({name for row in rows for name in row[1].split(",") if name})
    of_qos = _call(*show, "qos", "where", f"name={','.join(names)}", "format=MaxSubmitJobsPerUser").split() if names else []
    return [int(text) for text in [*(row[0] for row in rows), *of_qos] if text.isdecimal()]


def cancel(elements: Sequence[str]) -> None:
    """Cancel array elements, each `JOB_INDEX` or `JOB`.

    Raises:
        SchedulerError: scancel does not answer.
    """
    for start in range(0, len(elements), _MOST_AT_ONCE):
        _call("scancel", *elements[start : start + _MOST_AT_ONCE])


def _rows(n_fields: int, *command: str) -> Iterator[list[str]]:
    """The rows that a program prints, cut at |."""
    for line in _call(*command).splitlines():
        row = line.split("|", n_fields - 1)
        if len(row) != n_fields:
            raise SchedulerError(f"{command[0]} did not answer as expected: {line!r}")
        yield row


def call(*command: str, text: str | None = None) -> subprocess.CompletedProcess:
    """What a program answers, whatever its exit status; `text` goes to its standard input.

    Raises:
        SchedulerError: there is no such program, or it does not answer.
    """
    timeout_s = float(os.environ.get(TIMEOUT_VARIABLE, "60"))
    try:
        return subprocess.run(command, input=text, capture_output=True, text=True, timeout=timeout_s, check=False)
    except FileNotFoundError as error:
        raise SchedulerError(f"{command[0]}: no such program; is this a login node?") from error
    except subprocess.TimeoutExpired as error:
        raise SchedulerError(f"{command[0]}: no answer in {timeout_s:g} s; try again later") from error


def _call(*command: str) -> str:
    """What a program prints, if it succeeds."""
    done = call(*command)
    if done.returncode:
        said = _last_line(done.stderr) or _last_line(done.stdout)
        raise SchedulerError(f"{command[0]} exited with {done.returncode}: {said}")
    return done.stdout


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1]
