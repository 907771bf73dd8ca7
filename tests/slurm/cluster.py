"""Driving campaigns on the test cluster."""

import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from jobs.campaign import Campaign
from jobs.image import FINISHED
from jobs.shard import read_shard
from tests import commands

VOLATILE = ["wall_s", "cpu_s", "peak_mem_mb", "finished_at_s", "host", "job", "attempt", "shard"]  # times, hosts, places

# 24 runs of a second or two: long against the times in which Slurm acts
GRID = """
dataset: digits
activations: [relu, tanh]
ps: [0.0, 0.5, 0.9]
repeats: 4
epochs: 200
batch_size: 512
hidden_sizes: [32]
max_workers: 4
"""


def sh(command: str, check: bool = True) -> str:
    """What a shell command prints."""
    return subprocess.run(command, shell=True, check=check, text=True, stdout=subprocess.PIPE, timeout=120).stdout


def wait_for(condition: Callable[[], Any], timeout_s: float = 240) -> Any:
    """The value of `condition()` once it is true."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        if found := condition():
            return found
        time.sleep(0.2)
    raise AssertionError(f"it did not happen within {timeout_s} s; the queue:\n{sh('squeue -r')}{sh('sinfo -N -l')}")


def submit(grid: Path, campaign: Path, data_dir: Path, *options: object) -> subprocess.CompletedProcess:
    """hpc.submit to Slurm; it must succeed."""
    done = commands.run(*submit_command(grid, campaign, data_dir), *options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def submit_command(grid: Path, campaign: Path, data_dir: Path) -> tuple[object, ...]:
    """The module and arguments of a submit to Slurm."""
    places = ("--grid", grid, "--output-dir", campaign, "--data-dir", data_dir)
    return ("hpc.submit", *places, "--executor", "slurm", "--yes", "--no-calibrate")


def drain(timeout_s: float = 240) -> None:
    """Wait until the queue is empty."""
    wait_for(lambda: sh("squeue --noheader") == "", timeout_s)


def records(campaign: Path) -> Counter:
    """How many finished records there are of each run."""
    shards = [read_shard(path) for path in Campaign(campaign).shard_paths()]
    return Counter(row["run_id"].decode() for shard in shards for row in shard.runs if row["status"].decode() in FINISHED)


def n_running() -> int:
    """Array elements that are executed now."""
    return len(sh("squeue --noheader --array --states=RUNNING").splitlines())


def table(campaign: Path) -> str:
    """The per-run CSV without times and hosts."""
    reported = commands.run("analysis.report", "--output-dir", campaign)
    assert reported.returncode == 0, reported.stdout + reported.stderr
    return pd.read_csv(campaign / "results_per_run.csv").drop(columns=VOLATILE).to_csv(index=False)
