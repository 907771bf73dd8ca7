"""Asking Slurm: one program call a question. An answer that does not come is an error, never an empty answer."""

import math
import os
import re
import subprocess
from dataclasses import dataclass

TIMEOUT_VARIABLE = "NOISY_SCHEDULER_TIMEOUT_S"  # how long a program of Slurm may take; a busy one takes half a minute


class SchedulerError(Exception):
    """Slurm cannot be asked, or refuses; the message says which program, and what it said."""


@dataclass(frozen=True)
class Limits:
    """What the cluster allows.

    max_array_size bounds an array's index from above; max_submitted: array elements of the user at one time; mem_mb and
    time_limit_min: of the partition's largest node (in 10**6 bytes), and of the partition.
    """

    max_array_size: int
    max_submitted: int
    mem_mb: float = math.inf
    time_limit_min: float = math.inf


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
        return self.state not in ("PENDING", "REQUEUED", "REQUEUE_HOLD", "SUSPENDED")


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
    rows = _call("squeue", "--me", "--array", "--noheader", "--format=%F|%K|%T|%r|%j").splitlines()
    return [_queued(row) for row in rows]


def accounting(job_ids: list[str]) -> dict[tuple[str, int], Ended]:
    """(job id, index) -> what accounting knows of it, in one call of sacct; what it has forgotten is left out.

    Raises:
        SchedulerError: sacct does not answer.
    """
    if not job_ids:
        return {}
    rows = _call(
        "sacct",
        "--allocations",
        "--noheader",
        "--parsable2",
        "--format=JobID,State,ExitCode,NodeList",
        "--jobs=" + ",".join(job_ids),
    )
    known = {}
    for row in rows.splitlines():
        job_id, state, exit_code, node = row.split("|")
        match = re.fullmatch(r"(\d+)(?:_(\d+))?", job_id)
        if match:  # else a range of elements that never began
            known[match[1], int(match[2] or 0)] = Ended(state.split()[0], exit_code, node)
    return known


def limits(partition: str | None = None) -> Limits:
    """The limits of the cluster, of the user's accounts and QOS, and of a partition (None: the default one).

    Raises:
        SchedulerError: scontrol, sinfo or sacctmgr does not answer.
    """
    configuration = dict(re.findall(r"^(\w+) *= *(.*?) *$", _call("scontrol", "show", "config"), re.MULTILINE))
    rows = [row.split("|") for row in _call("sinfo", "--noheader", "--format=%P|%m|%l").splitlines()]
    its_rows = [row for row in rows if row[0] == (partition or row[0].rstrip("*") + "*")]
    mem_mb = max((int(re.sub(r"\D", "", row[1])) * 2**20 // 10**6 - 1 for row in its_rows), default=math.inf)
    time_min = max((minutes(row[2]) for row in its_rows), default=math.inf)
    most = [int(configuration["MaxJobCount"])]
    if configuration.get("AccountingStorageType") == "accounting_storage/slurmdbd":
        most += _submit_limits()
    return Limits(int(configuration["MaxArraySize"]), min(most), mem_mb, time_min)


def _submit_limits() -> list[int]:
    """MaxSubmitJobs of the user's associations and of their QOS."""
    user = _call("id", "--user", "--name").strip()
    show = ("sacctmgr", "--noheader", "--parsable2", "show")
    rows = [row.split("|") for row in _call(*show, "assoc", "where", f"user={user}", "format=MaxSubmitJobs,QOS").splitlines()]
    names = sorted({name for row in rows for name in row[1].split(",") if name})
    of_qos = _call(*show, "qos", "where", f"name={','.join(names)}", "format=MaxSubmitJobsPerUser").split() if names else []
    return [int(text) for text in [*(row[0] for row in rows), *of_qos] if text.isdecimal()]


def minutes(text: str) -> float:
    """A time as Slurm writes it, in minutes: `90`, `3:04` (minutes, seconds), `2:03:04`, `1-02`, `1-02:03:04`, `infinite`.

    Raises:
        ValueError: it is none of these.
    """
    if text.lower() in ("infinite", "unlimited"):
        return math.inf
    days, dash, rest = text.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    hours_first = parts if dash or len(parts) == 3 else [0, *parts]
    hours, mins, seconds = [*hours_first, 0, 0][:3]
    return int(days or 0) * 24 * 60 + hours * 60 + mins + seconds / 60


def megabytes(text: str) -> float:
    """A size as sbatch reads it, in 10**6 bytes: `900M`, `4G`, `4000` (of 2**20 bytes).

    Raises:
        ValueError: it is none of these.
    """
    number, unit = (text[:-1], text[-1].upper()) if text[-1:].isalpha() else (text, "M")
    return float(number) * 2.0 ** {"K": 10, "M": 20, "G": 30, "T": 40}.get(unit, math.nan) / 1e6


def cancel(elements: list[str]) -> None:
    """Cancel array elements, each `JOB_INDEX` or `JOB`.

    Raises:
        SchedulerError: scancel does not answer.
    """
    for start in range(0, len(elements), 500):  # a command line has a limit
        _call("scancel", *elements[start : start + 500])


def _queued(row: str) -> Queued:
    job_id, index, state, reason, name = row.split("|", 4)
    return Queued(name, job_id, int(index) if index.isdigit() else None, state, reason)


def _call(*command: str) -> str:
    timeout_s = float(os.environ.get(TIMEOUT_VARIABLE, "60"))
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    except FileNotFoundError as error:
        raise SchedulerError(f"{command[0]}: no such program; is this a login node?") from error
    except subprocess.TimeoutExpired as error:
        raise SchedulerError(f"{command[0]}: no answer in {timeout_s:g} s; try again later") from error
    if done.returncode:
        raise SchedulerError(
            f"{command[0]} exited with {done.returncode}: {_last_line(done.stderr) or _last_line(done.stdout)}"
        )
    return done.stdout


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1]
