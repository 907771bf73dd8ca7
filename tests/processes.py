"""The processes of a campaign that is executed on this machine, from /proc."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from jobs.campaign import Campaign
from tests.commands import ROOT

_T = TypeVar("_T")


def processes(folder: Path) -> dict[int, int]:
    """Process id -> that of its parent, of all that execute tasks of the campaign in `folder`: the pool and its workers."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if "jobs.pool" in command and str(folder) in command and state != "Z":
            found[int(pid)] = int(parent)
    return found


def pools(folder: Path) -> set[int]:
    """Of these, those whose parent is not one of them."""
    found = processes(folder)
    return {pid for pid, parent in found.items() if parent not in found}


def workers(folder: Path) -> set[int]:
    """Of these, the children of a pool. (What a worker starts looks like the worker for a moment.)"""
    found = processes(folder)
    return {pid for pid, parent in found.items() if parent in found and found[parent] not in found}


def wait_for(condition: Callable[[], _T], timeout_s: float = 60) -> _T:
    """The value of `condition()` once it is true."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"it did not happen within {timeout_s} s")


@contextmanager
def pool(campaign: Campaign, n_workers: int = 2, **environment: str) -> Iterator[subprocess.Popen]:
    """As hpc.submit starts it. At the end its standard input is closed, and nobody is left behind."""
    command = [sys.executable, "-m", "jobs.pool", str(campaign.folder), "1", str(n_workers)]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:  # which closes its pipes and waits
        yield process
    wait_for(lambda: not processes(campaign.folder), 5)
