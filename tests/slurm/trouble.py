"""A campaign of 2,400 tiny trainings that loses workers to memory, to a preemption and with a node. By command only:

python -m pytest tests/slurm/trouble.py --numprocesses=0 -s
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from tests import commands
from tests.slurm.cluster import NODES, local_table, records, release_what_is_held, sh, submit, table, wait_for
from tests.slurm.scale import GRID, REPEATS, WORKERS

N_RUNS = 60 * REPEATS
# The kernel kills the worker first, in whose control group this process takes all the memory.
HOG = """
import pathlib, os, sys, time
pathlib.Path("/proc", sys.argv[2], "oom_score_adj").write_text("1000")
pathlib.Path(sys.argv[1], "cgroup.procs").write_text(str(os.getpid()))
taken = []
while pathlib.Path("/proc", sys.argv[2]).exists():
    try:
        taken.append(b"x" * 2**24)
    except MemoryError:
        time.sleep(0.1)
"""


def running() -> list[list[str]]:
    """(job id, node) of each job that is executed now."""
    return [line.split() for line in sh("squeue --noheader --array --states=RUNNING --format='%A %i %N'").splitlines()]


def state_seen(state: str) -> bool:
    """Whether a job has ended so."""
    return state in sh("sacct --allocations --duplicates --noheader --format=State%20")


def exhaust_memory() -> None:
    """Let the kernel kill one worker for its memory."""

    def kill() -> bool:
        for group in Path("/sys/fs/cgroup/memory").glob(f"slurm_{NODES}*/uid_*/job_*/step_batch"):
            for pid in (group / "cgroup.procs").read_text().split() + (group / "task_0/cgroup.procs").read_text().split():
                if "submitit" in sh(f"tr '\\0' ' ' < /proc/{pid}/cmdline", check=False):
                    subprocess.run([sys.executable, "-c", HOG, str(group), pid], timeout=60, check=False)
                    return True
        return False

    wait_for(kill)
    wait_for(lambda: state_seen("OUT_OF_MEMORY"))


def preempt() -> None:
    """Let another job take a whole node."""
    node = running()[0][2]
    sh(f"sbatch --partition=urgent --nodelist={node} --exclusive --time=1 --output=/dev/null --wrap 'sleep 3'")
    wait_for(lambda: state_seen("PREEMPTED"))


def lose_a_node(slurm: Path) -> str:
    """Kill all of a node that works: its slurmd, the steps and the workers."""
    node = running()[-1][2]
    os.kill(int((slurm / f"slurmd-{node}.pid").read_text()), signal.SIGKILL)
    for procs in Path("/sys/fs/cgroup/freezer").glob(f"slurm_{node}/**/cgroup.procs"):
        for pid in procs.read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
    wait_for(lambda: state_seen("NODE_FAIL"))
    return node


@contextlib.contextmanager
def counted_claims(campaign: Path) -> Iterator[list[int]]:
    """The numbers of files in the folder of claims, looked at each second."""
    found, ended = [0], threading.Event()

    def count() -> None:
        while not ended.wait(1):
            found.append(len(list((campaign / "submissions").glob("*/claims/*"))))

    thread = threading.Thread(target=count)
    thread.start()
    yield found
    ended.set()
    thread.join()


def cpu_s(text: str) -> float:
    """Seconds of `MM:SS.mmm`, `HH:MM:SS` or `D-HH:MM:SS`."""
    days, _, clock = text.rpartition("-")
    total = 0.0
    for part in clock.split(":"):
        total = 60 * total + float(part)
    return total + 86400 * int(days or 0)


def compare_with_accounting(campaign: Path) -> None:
    """Print what sacct and the records say of each worker, and of all."""
    runs = pd.read_csv(campaign / "results_per_run.csv")
    sums = {
        "cpu_s": ("cpu_s", "sum"),
        "wall_s": ("wall_s", "sum"),
        "mem_mb": ("peak_mem_mb", "max"),
        "n_runs": ("cpu_s", "size"),
    }
    ours = runs.groupby("job").agg(**sums)
    lines = sh("sacct --noheader --parsable2 --noconvert --format=JobID,TotalCPU,ElapsedRaw,MaxRSS,State").splitlines()
    of_job, of_step = {}, {}
    for job, cpu, elapsed, rss, state in (line.split("|") for line in lines):
        if job.endswith(".batch"):
            of_step[job.removesuffix(".batch")] = float(rss or 0) / 1e6
        else:
            of_job[job] = cpu_s(cpu), float(elapsed), state
    theirs = pd.DataFrame.from_dict(of_job, orient="index", columns=["sacct_cpu_s", "sacct_s", "state"])
    both = ours.join(theirs.assign(sacct_mb=pd.Series(of_step)), how="left")
    print(both.round(2).to_string())
    good = both[both.state == "COMPLETED"]
    start_s, ratio = (good.sacct_cpu_s - good.cpu_s).median(), good.sacct_mb / good.mem_mb
    print(f"{len(good)} workers completed; first by sacct, then by the records:")
    print(f"CPU s    {good.sacct_cpu_s.sum():.0f} {good.cpu_s.sum():.0f} (the start of a worker, median: {start_s:.2f})")
    print(f"wall s   {good.sacct_s.sum():.0f} {good.wall_s.sum():.0f}")
    print(f"memory   by sacct / by the records: {ratio.median():.3f} ({ratio.min():.3f} to {ratio.max():.3f})")


def test_trouble_on_the_way(tmp_path: Path, digits_dir: Path, slurm: Path, tmp_path_factory) -> None:
    grid, campaign = tmp_path / "grid.yaml", tmp_path / "campaign"
    grid.write_text(GRID)
    started_s = time.monotonic()
    with counted_claims(campaign) as n_claims:
        options = ("--runs-per-task", max(1, REPEATS // 4), "--sbatch", "cpus-per-task=5")  # four workers fill a node
        print(submit(grid, campaign, digits_dir, *options).stdout)
        wait_for(lambda: len(records(campaign)) > N_RUNS // 20)
        print(f"{time.monotonic() - started_s:.0f} s: {len(records(campaign))} runs done, memory is exhausted")
        exhaust_memory()
        print(f"{time.monotonic() - started_s:.0f} s: {len(records(campaign))} runs done, a node is preempted")
        preempt()
        print(f"{time.monotonic() - started_s:.0f} s: {len(records(campaign))} runs done, a node is killed")
        node = lose_a_node(slurm)
        print(f"{time.monotonic() - started_s:.0f} s: {len(records(campaign))} runs done, the node starts again")
        subprocess.run(["slurmd", "-N", node], check=True)
        wait_for(lambda: release_what_is_held() == "", 3000)
    found = records(campaign)
    wall_s = time.monotonic() - started_s
    ends = pd.Series(sh("sacct --allocations --duplicates --noheader --format=State%20").split()).value_counts().to_dict()
    print(
        f"{wall_s:.0f} s: {len(found)} of {N_RUNS} runs done, {sum(found.values()) - len(found)} records too many; ends {ends}"
    )
    print(f"claims at once, at most: {max(n_claims)} ({max(n_claims) / N_RUNS:.2f} a run)")
    status = commands.call("hpc.status", "--output-dir", campaign)
    print(status.stdout)
    assert f"{N_RUNS:,}  100.0 %" in status.stdout
    assert len(found) == N_RUNS
    assert not list((campaign / "submissions").glob("*/claims/*"))
    made = table(campaign)
    compare_with_accounting(campaign)
    assert made == local_table(tmp_path_factory, GRID.replace(f"max_workers: {WORKERS}", "max_workers: 2"), digits_dir)
