"""Whatever happens to a campaign on a real Slurm, its final CSV is that of an undisturbed one."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests import commands
from tests.programs import programs
from tests.slurm.cluster import (
    GRID,
    drain,
    go_on,
    local_table,
    n_running,
    processes,
    records,
    release_what_is_held,
    sh,
    stop_clock,
    submit,
    submit_command,
    table,
    wait_for,
)

CUT = ("--runs-per-task", 3)


@pytest.fixture(scope="session")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("grid") / "grid.yaml"
    path.write_text(GRID)
    return path


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, digits_dir: Path) -> str:
    """The table of the same campaign, executed on this machine undisturbed."""
    return local_table(tmp_path_factory, GRID, digits_dir)


def finish(grid: Path, campaign: Path, digits_dir: Path) -> None:
    """Submit what is missing until nothing is."""
    for _ in range(4):
        wait_for(lambda: release_what_is_held() == "")
        if submit(grid, campaign, digits_dir, *CUT).stdout.startswith("Nothing to submit: 12 of 12"):
            return
    raise AssertionError("still not done")


def ends_by_itself(campaign: Path) -> None:
    """All is done without a second command, and no claim is left."""
    wait_for(lambda: release_what_is_held() == "")
    status = commands.call("hpc.status", "--output-dir", campaign)
    assert "done            12  100.0 %" in status.stdout, status.stdout
    assert not list((campaign / "submissions").glob("*/claims/*"))


def is_tried_again(campaign: Path) -> bool:
    """Whether a task has a second attempt. What a busy node did not end in time is released, as an administrator does."""
    release_what_is_held()
    return any("-1-" in path.name for path in (campaign / "shards").iterdir())


def test_an_undisturbed_campaign(grid: Path, campaign: Path, digits_dir: Path, undisturbed: str) -> None:
    submitted = submit(grid, campaign, digits_dir, *CUT)
    assert "4 tasks for 4 workers submitted as" in submitted.stdout
    wait_for(lambda: n_running() > 0)
    again = submit(grid, campaign, digits_dir, *CUT)
    assert "of submission 0001 still at work (queued or running)" in again.stdout
    assert "Nothing to submit" in again.stdout
    assert max(n_running() for _ in range(10)) <= 2  # max_workers
    drain()
    assert set(records(campaign).values()) == {1}
    assert table(campaign) == undisturbed
    assert commands.call("hpc.status", "--output-dir", campaign).returncode == 0
    ends_by_itself(campaign)


def test_a_node_goes_down(grid: Path, campaign: Path, digits_dir: Path, undisturbed: str) -> None:
    submit(grid, campaign, digits_dir, *CUT)
    wait_for(lambda: records(campaign))
    pids = stop_clock(campaign)
    node = sh("squeue --noheader --array --states=RUNNING --format=%N").split()[0]
    sh(f"scontrol update nodename={node} state=down reason=test")
    go_on(pids)
    wait_for(lambda: is_tried_again(campaign))
    sh(f"scontrol update nodename={node} state=resume", check=False)  # it may be back by itself
    ends_by_itself(campaign)
    assert table(campaign) == undisturbed


def test_tasks_are_preempted(grid: Path, campaign: Path, digits_dir: Path, undisturbed: str) -> None:
    submit(grid, campaign, digits_dir, *CUT)
    wait_for(lambda: records(campaign))
    stop_clock(campaign)  # Slurm lets them go on when it ends them
    sh("sbatch --partition=urgent --nodes=4 --exclusive --time=1 --output=/dev/null --wrap 'sleep 3'")
    wait_for(lambda: "PREEMPTED" in sh("sacct --allocations --duplicates --noheader --format=State"))
    ends_by_itself(campaign)
    assert table(campaign) == undisturbed


def test_workers_are_cancelled_by_hand(grid: Path, campaign: Path, digits_dir: Path, undisturbed: str) -> None:
    """Those that are left take what the others held. Once all are cancelled, what is not done was cancelled."""
    jobs = submit(grid, campaign, digits_dir, *CUT).stdout.split("submitted as ")[1].splitlines()[0].split()
    wait_for(lambda: records(campaign))
    pids = stop_clock(campaign)
    sh(f"scancel {jobs[0]}_1")
    status = json.loads(commands.call("hpc.status", "--output-dir", campaign, "--json").stdout)
    assert status["done"] + status["running"] + status["queued"] == 12
    sh(f"scancel {' '.join(jobs)}")
    go_on(pids)
    drain()
    status = json.loads(commands.call("hpc.status", "--output-dir", campaign, "--json").stdout)
    assert status["done"] + status["cancelled"] == 12 and status["cancelled"], status
    finish(grid, campaign, digits_dir)
    assert set(records(campaign).values()) == {1}
    assert table(campaign) == undisturbed


def test_the_controller_is_restarted(grid: Path, campaign: Path, digits_dir: Path, undisturbed: str, slurm: Path) -> None:
    submit(grid, campaign, digits_dir, *CUT)
    wait_for(lambda: records(campaign))
    os.kill(int((slurm / "slurmctld.pid").read_text()), signal.SIGKILL)
    down = commands.call("hpc.status", "--output-dir", campaign)
    assert down.returncode == 3
    assert "unknown" in down.stdout
    sh("slurmctld -i")  # i: it may have been killed before it wrote all of its state once
    wait_for(lambda: "UP" in sh("scontrol ping", check=False))
    finish(grid, campaign, digits_dir)
    assert table(campaign) == undisturbed


@pytest.mark.parametrize(("array", "moment"), [(1, "before"), (1, "after"), (2, "before"), (2, "after")])
def test_the_submitting_process_is_killed(
    grid: Path, campaign: Path, digits_dir: Path, undisturbed: str, tmp_path: Path, array: int, moment: str
) -> None:
    """At its first array or at the sweep: before Slurm has it, or after, when its id was never written down."""
    real = sh("command -v sbatch").strip()
    submits = f'{real} "$@"' if moment == "after" else "true"
    reached = f"echo >> {tmp_path}/calls; [ $(wc -l < {tmp_path}/calls) = {array} ]"
    sbatch = f'if {reached}; then {submits}; kill -9 $PPID; exit; fi; exec {real} "$@"'
    with programs(tmp_path / "bin", sbatch=sbatch):
        killed = commands.run(*submit_command(grid, campaign, digits_dir), *CUT)
    assert killed.returncode == -signal.SIGKILL
    again = submit(grid, campaign, digits_dir, *CUT)
    left = r"runs +12 to run; .* of the grid's 12" if (array, moment) == (1, "before") else "Nothing to submit: "  # adopted
    assert re.search(left, again.stdout)
    assert len(set(sh("squeue --noheader --array --format=%F").split())) <= 2
    finish(grid, campaign, digits_dir)
    assert set(records(campaign).values()) == {1}
    assert table(campaign) == undisturbed


def test_two_submits_at_the_same_moment(grid: Path, campaign: Path, digits_dir: Path, undisturbed: str) -> None:
    both = [commands.start(*submit_command(grid, campaign, digits_dir), *CUT) for _ in range(2)]
    outputs = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted("Nothing to submit" in output for output in outputs) == [False, True]
    finish(grid, campaign, digits_dir)
    assert set(records(campaign).values()) == {1}
    assert table(campaign) == undisturbed


def test_a_worker_over_its_time_is_requeued(grid: Path, campaign: Path, digits_dir: Path, undisturbed: str) -> None:
    """It hangs. Warned one or two minutes before the limit, it drops the run that trains and gives back what it holds.

    Once it trains, the limit is made shorter, so that the warning comes sooner.
    """
    submit(grid, campaign, digits_dir, "--runs-per-task", 12, "--sbatch", "time=3")
    wait_for(lambda: records(campaign))
    (pid,) = stop_clock(campaign)
    job = sh("squeue --noheader --states=RUNNING --format=%A").strip()
    sh(f"scontrol update jobid={job} timelimit=2")
    wait_for(lambda: is_pending(pid, signal.SIGUSR2))
    go_on([pid])
    wait_for(lambda: is_tried_again(campaign))
    finish(grid, campaign, digits_dir)
    assert table(campaign) == undisturbed


def is_pending(pid: int, number: int) -> bool:
    """Whether a stopped process has been sent a signal, or has ended since: Slurm lets it go on."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True
    masks = re.findall(r"^(?:Sig|Shd)Pnd:\s*(\w+)", status, re.MULTILINE)
    return any(int(mask, 16) >> (number - 1) & 1 for mask in masks)


def test_a_zombie_does_no_harm(grid: Path, campaign: Path, digits_dir: Path, undisturbed: str, slurm: Path) -> None:
    """slurmd alone is killed: its tasks go on beside the copies that Slurm requeues."""
    submit(grid, campaign, digits_dir, *CUT)
    wait_for(lambda: records(campaign))
    pids = stop_clock(campaign)
    node = sh("squeue --noheader --array --states=RUNNING --format=%N").split()[0]
    os.kill(int((slurm / f"slurmd-{node}.pid").read_text()), signal.SIGKILL)
    wait_for(lambda: "down" in sh(f"sinfo --noheader --nodes={node} --format=%t"))
    go_on(pids)
    subprocess.run(["slurmd", "-N", node], check=True)
    time.sleep(1)
    sh(f"scontrol update nodename={node} state=resume", check=False)
    ends_by_itself(campaign)
    assert table(campaign) == undisturbed


EVENTFUL = """
dataset: digits
activations: [relu]
ps: [0.0, 0.5]
repeats: 3
epochs: 1
batch_size: 512
hidden_sizes: [[424, 1180], [4, 60100]]
max_workers: 2
"""  # both networks have 844,536 weights: one class; the wide one takes some 740 MB, the other 320


def test_an_eventful_campaign_ends_without_a_second_command(
    campaign: Path, digits_dir: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Workers are preempted, a node dies, memory is exhausted: other workers, and at last the sweep, do what is left."""
    grid = tmp_path / "grid.yaml"
    grid.write_text(EVENTFUL)
    submit(grid, campaign, digits_dir, *CUT, "--sbatch", "mem=600M")
    stop_clock(campaign)
    sh("sbatch --partition=urgent --nodes=4 --exclusive --time=1 --output=/dev/null --wrap 'sleep 3'")
    wait_for(lambda: "PREEMPTED" in sh("sacct --allocations --duplicates --noheader --format=State"))
    wait_for(lambda: release_what_is_held() and processes(campaign))  # started again
    pids = stop_clock(campaign)
    node = sh("squeue --noheader --array --states=RUNNING --format=%N").split()[0]
    sh(f"scontrol update nodename={node} state=down reason=test", check=False)
    go_on(pids)
    sh(f"scontrol update nodename={node} state=resume", check=False)
    ends_by_itself(campaign)
    ends = sh("sacct --allocations --duplicates --noheader --format=State%20")
    assert "OUT_OF_MEMORY" in ends and "NODE_FAIL" in ends, ends
    assert table(campaign) == local_table(tmp_path_factory, EVENTFUL, digits_dir)
