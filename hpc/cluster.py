"""Asking Slurm: one program call a question. An answer that does not come is an error, never an empty answer."""

import os
import re
import subprocess
from dataclasses import dataclass

_TIMEOUT_S = float(os.environ.get("NOISY_SCHEDULER_TIMEOUT_S", "60"))  # a busy Slurm may take half a minute


class SchedulerError(Exception):
    """Slurm cannot be asked, or refuses; the message says which program, and what it said."""


@dataclass(frozen=True)
class Limits:
    """What the cluster allows.

    max_array_size bounds an array's index from above; max_submitted: array elements of the user at one time.
    """

    max_array_size: int
    max_submitted: int


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


def limits() -> Limits:
    """The limits of the cluster and of the user's account and QOS.

    Raises:
        SchedulerError: scontrol or sacctmgr does not answer.
    """
    configuration = dict(re.findall(r"^(\w+) *= (.*)$", _call("scontrol", "show", "config"), re.MULTILINE))
    most = [int(configuration["MaxJobCount"].strip())]
    if configuration.get("AccountingStorageType", "").strip() == "accounting_storage/slurmdbd":
        user = _call("id", "--user", "--name").strip()
        for what in (["assoc", f"where user={user}", "format=MaxSubmitJobs"], ["qos", "format=MaxSubmitJobsPerUser"]):
            answer = _call("sacctmgr", "--noheader", "--parsable2", "show", *" ".join(what).split())
            most += [int(row) for row in answer.split() if row.isdigit()]
    return Limits(int(configuration["MaxArraySize"].strip()), min(most))


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
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except FileNotFoundError as error:
        raise SchedulerError(f"{command[0]}: no such program; is this a login node?") from error
    except subprocess.TimeoutExpired as error:
        raise SchedulerError(f"{command[0]}: no answer in {_TIMEOUT_S:g} s; try again later") from error
    if done.returncode:
        raise SchedulerError(
            f"{command[0]} exited with {done.returncode}: {_last_line(done.stderr) or _last_line(done.stdout)}"
        )
    return done.stdout


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1]
