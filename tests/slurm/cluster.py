"""Driving campaigns on the test cluster."""

import contextlib
import hashlib
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from jobs.campaign import Campaign
from jobs.image import FINISHED
from jobs.shard import read_shard
from tests import commands
from tests.campaigns import made_once

VOLATILE = ["wall_s", "cpu_s", "peak_mem_mb", "finished_at_s", "host", "job", "attempt", "shard"]  # times, hosts, places

_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))  # each test process has a cluster of its own
PORT = int(os.environ.get("SLURM_TEST_PORT", "16800")) + 40 * _WORKER
NODES = f"n{_WORKER}x"  # how the names of its nodes begin

# 12 runs of a second on a fast core, so that tests can act meanwhile; `stop_clock` makes tasks last until Slurm has acted.
# A worker that trains loads torch first, which takes 2 CPU s, so there are few of them.
GRID = """
dataset: digits
activations: [relu, tanh]
ps: [0.0, 0.5, 0.9]
repeats: 2
epochs: 240
batch_size: 512
hidden_sizes: [32]
max_workers: 2
"""
SHORT = GRID.replace("epochs: 240", "epochs: 20")
LONG = GRID.replace("epochs: 240", "epochs: 20000")


def sh(command: str, check: bool = True) -> str:
    """What a shell command prints."""
    return subprocess.run(command, shell=True, check=check, text=True, stdout=subprocess.PIPE, timeout=120).stdout


def wait_for(condition: Callable[[], Any], timeout_s: float = 400) -> Any:
    """The value of `condition()` once it is true."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        if found := condition():
            return found
        time.sleep(0.2)
    raise AssertionError(f"it did not happen within {timeout_s} s; the queue:\n{sh('squeue -r')}{sh('sinfo -N -l')}")


def submit(grid: Path, campaign: Path, data_dir: Path, *options: object) -> subprocess.CompletedProcess:
    """hpc.submit to Slurm; it must succeed."""
    done = commands.call(*submit_command(grid, campaign, data_dir), *options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def submit_command(grid: Path, campaign: Path, data_dir: Path) -> tuple[object, ...]:
    """The module and arguments of a submit to Slurm."""
    places = ("--grid", grid, "--output-dir", campaign, "--data-dir", data_dir)
    return ("hpc.submit", *places, "--executor", "slurm", "--yes", "--no-calibrate")


def drain(timeout_s: float = 400) -> None:
    """Wait until the queue is empty."""
    wait_for(lambda: sh("squeue --noheader") == "", timeout_s)


def records(campaign: Path) -> Counter:
    """How many finished records there are of each run."""
    shards = [read_shard(path) for path in Campaign(campaign).shard_paths()]
    return Counter(row["run_id"].decode() for shard in shards for row in shard.runs if row["status"].decode() in FINISHED)


def n_running() -> int:
    """Array elements that are executed now."""
    return len(sh("squeue --noheader --array --states=RUNNING").splitlines())


def processes(campaign: Path) -> list[int]:
    """The processes that execute tasks of a campaign now."""
    return [int(pid) for pid in sh(f"pgrep -f '[s]ubmitit.core._submit {campaign}/'", check=False).split()]


def stop_clock(campaign: Path) -> list[int]:
    """Stop the processes of a campaign: for Slurm its tasks run on, and they use no processor."""
    stopped = set[int]()
    while new := set(wait_for(lambda: processes(campaign))) - stopped:
        _signal(new, signal.SIGSTOP)
        stopped |= new
        time.sleep(1)  # Slurm may be about to start another one
    return sorted(stopped)


def go_on(pids: list[int]) -> None:
    """Let those of these processes go on that are still there."""
    _signal(pids, signal.SIGCONT)


def _signal(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def cancel_all() -> None:
    """Cancel the jobs of all users."""
    sh("squeue --noheader --all --format=%A | sort -u | xargs --no-run-if-empty scancel", check=False)


def release_what_is_held() -> str:
    """What is left in the queue after an administrator has released held tasks.

    A controller that was killed may have forgotten the last seconds, and a busy node may be slow to end processes. Then a task
    is started again on a node that still executes it, and Slurm drains the node ("Duplicate jobid"), and holds the task.
    """
    left = sh("squeue --noheader --array --format='%i %r'")
    if "held" in left:
        sh(f"scontrol update nodename={NODES}[1-4] state=resume", check=False)
        sh("scontrol release " + ",".join(line.split()[0] for line in left.splitlines() if "held" in line), check=False)
    return left


def table(campaign: Path) -> str:
    """The per-run CSV without times and hosts."""
    reported = commands.call("analysis.report", "--no-figures", "--output-dir", campaign)
    assert reported.returncode == 0, reported.stdout + reported.stderr
    return pd.read_csv(campaign / "results_per_run.csv").drop(columns=VOLATILE).to_csv(index=False)


def local_table(factory: pytest.TempPathFactory, text: str, data_dir: Path) -> str:
    """The table of a grid that this machine executes undisturbed, once for all tests that ask for it."""

    def make(folder: Path) -> None:
        (folder / "grid.yaml").write_text(text)
        done = commands.submit(folder / "grid.yaml", folder / "campaign", data_dir)
        assert done.returncode == 0, done.stderr
        (folder / "table.csv").write_text(table(folder / "campaign"))

    name = "local-" + hashlib.sha256(text.encode()).hexdigest()[:8]
    return (made_once(factory, name, make) / "table.csv").read_text()
