"""Runs that fail, a scheduler that does not answer, a cluster that refuses: what happened is said, and the rest is done."""

import json
import re
from pathlib import Path

import pytest

from tests import commands
from tests.programs import programs
from tests.slurm.cluster import (
    NODES,
    cancel_all,
    drain,
    local_table,
    records,
    sh,
    stop_clock,
    submit,
    submit_command,
    table,
    wait_for,
)

OUT_OF_MEMORY = """
dataset: digits
activations: [relu]
ps: [0.3]
repeats: 3
epochs: 1
batch_size: 512
hidden_sizes: [[522, 1184], [4, 74000]]
max_workers: 4
"""  # both networks have 1,039,136 weights: one class; the wide one needs over 700 MB that cannot be reclaimed, the other 320
RAISES = """
dataset: digits
activations: [relu]
ps: [0.3]
repeats: 3
epochs: 1
learning_rate: [0.001, 1.0e+300]
hidden_sizes: [16]
max_workers: 1
"""
SMALL = """
dataset: digits
activations: [relu]
ps: [0.0, 0.5]
repeats: 3
epochs: 200
batch_size: 512
hidden_sizes: [32]
max_workers: 2
"""


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    path = tmp_path / "grid.yaml"
    path.write_text(SMALL)
    return path


def test_a_run_that_exhausts_memory_harms_no_other(
    grid: Path, campaign: Path, digits_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The estimate knows weights, not widths: runs of a very wide network share a task with others, and do not fit.

    Nor do they fit 1.5 times the memory, with which the sweep tries one.
    """
    grid.write_text(OUT_OF_MEMORY)
    submit(grid, campaign, digits_dir, "--sbatch", "mem=450M")
    drain()
    status = json.loads(commands.call("hpc.status", "--output-dir", campaign, "--json").stdout)
    assert 1 <= status["failed"] <= 2  # one that killed a worker, and one that killed the sweep
    assert 0 < status["done"] < 6
    logs = commands.call("hpc.logs", "--failed", "--output-dir", campaign)
    assert "OUT_OF_MEMORY (asked for" in logs.stdout
    again = submit(grid, campaign, digits_dir)  # without the limit
    assert re.search(rf"retries +{status['failed']} run", again.stdout)  # each alone, where it harms no other
    drain()
    assert len(records(campaign)) == 6
    assert commands.call("hpc.status", "--output-dir", campaign).returncode == 0
    assert table(campaign) == local_table(tmp_path_factory, OUT_OF_MEMORY, digits_dir)


def test_a_run_that_raises_is_given_up_after_three_tries(grid: Path, campaign: Path, digits_dir: Path) -> None:
    raises = RAISES.replace("1.0e+300", "0.01")
    grid.write_text(raises.replace("hidden_sizes: [16]", f"hidden_sizes: [[16], [{2**31 - 1}]]"))
    refused = commands.call(*submit_command(grid, campaign, digits_dir), "--sbatch", "mem=900M", "--sbatch", "time=10")
    assert refused.returncode == 2
    assert "and the partition's largest node has 33.6 GB; the largest that fits: hidden_sizes: [" in refused.stderr
    grid.write_text(raises.replace("hidden_sizes: [16]", f"hidden_sizes: [[16], {commands.TOO_LARGE}]"))
    for n_try in range(3):
        with commands.little_memory():  # Slurm gives the limits of the submitting process to its tasks
            submitted = submit(grid, campaign, digits_dir)
        assert "Nothing to submit" not in submitted.stdout, n_try
        drain()
        assert len(records(campaign)) == 6  # those that do not raise
    given_up = commands.call(*submit_command(grid, campaign, digits_dir))
    assert given_up.returncode == 1
    assert "6 runs failed 3 times and are left out; --retry-failed tries again" in given_up.stdout
    status = commands.call("hpc.status", "--output-dir", campaign)
    assert status.returncode == 1
    assert "; 6 given up" in status.stdout
    assert "RuntimeError" in commands.call("hpc.logs", "--failed", "--output-dir", campaign).stdout


def test_cancelled_runs_are_passed_over_and_come_again_when_asked_for(grid: Path, campaign: Path, digits_dir: Path) -> None:
    sh(f"scontrol update nodename={NODES}[1-4] state=drain reason=test")  # nothing begins
    submit(grid, campaign, digits_dir)
    unasked = commands.call("hpc.cancel", "--filter", "p=0.5", "--output-dir", campaign)
    assert unasked.returncode == 1  # no terminal, no --yes
    done = commands.call("hpc.cancel", "--filter", "p=0.5", "--output-dir", campaign, "--yes")
    assert done.returncode == 0, done.stderr
    assert "Cancelled 3 runs" in done.stdout
    sh(f"scontrol update nodename={NODES}[1-4] state=resume")
    drain()
    status = json.loads(commands.call("hpc.status", "--output-dir", campaign, "--json").stdout)
    assert (status["done"], status["cancelled"]) == (3, 3)
    submit(grid, campaign, digits_dir)
    drain()
    assert len(records(campaign)) == 6


def test_a_scheduler_that_does_not_answer_is_unknown_never_done(
    grid: Path, campaign: Path, digits_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(grid, campaign, digits_dir)
    stop_clock(campaign)
    for program, text in (("squeue", "echo no >&2; exit 1"), ("squeue", "sleep 600"), ("sacct", "echo no >&2; exit 1")):
        if program == "sacct":  # asked only of what ended without having done its runs
            cancel_all()
            drain()
        with monkeypatch.context() as changed, programs(tmp_path / "bin", **{program: text}):
            changed.setenv("NOISY_SCHEDULER_TIMEOUT_S", "2")
            shown = commands.call("hpc.status", "--output-dir", campaign, "--json")
            status = json.loads(shown.stdout)
            assert shown.returncode == 3
            assert status["unknown"] == 6 - status["done"] > 0
            assert program in status["unreachable"]
            refused = commands.call(*submit_command(grid, campaign, digits_dir))
            assert refused.returncode == 3
            assert program in refused.stderr
        (tmp_path / "bin" / program).unlink()
    assert len(list((campaign / "submissions").glob("0*"))) == 1
    submit(grid, campaign, digits_dir)
    drain()
    assert set(records(campaign).values()) == {1}
    assert len(records(campaign)) == 6


def test_status_needs_no_right_to_write(grid: Path, campaign: Path, digits_dir: Path, tmp_path: Path) -> None:
    submit(grid, campaign, digits_dir)
    cancel_all()
    drain()
    mounted = tmp_path / "read-only"
    mounted.mkdir()
    sh(f"mount --bind {campaign} {mounted} && mount -o remount,ro,bind {mounted}")
    try:
        for command in (
            ["hpc.status"],
            ["hpc.logs", "--failed"],
            ["analysis.report", "--no-figures", "--to", tmp_path / "report"],
        ):
            done = commands.call(*command, "--output-dir", mounted)
            assert done.returncode in (0, 1), done.stderr
            assert "Traceback" not in done.stderr
        refused = commands.call("analysis.report", "--output-dir", mounted)
        assert refused.returncode == 2
        assert "Read-only file system" in refused.stderr and "write elsewhere with --to DIR" in refused.stderr
    finally:
        sh(f"umount {mounted}")


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("qos=theirs", "Invalid qos"),
        ("account=theirs", "Invalid account"),
        ("mem=900G", "node configuration is not available"),
        ("constraint=no-such", "Invalid feature"),
        ("gres=gpu:1", "gres"),
        ("licenses=no-such:1", "license"),
        ("reservation=no-such", "reservation"),
    ],
)
def test_a_rehearsal_tells_what_slurm_would_refuse(
    grid: Path, campaign: Path, digits_dir: Path, option: str, reason: str
) -> None:
    rehearsed = commands.call(*submit_command(grid, campaign, digits_dir), "--test-only", "--sbatch", option)
    assert rehearsed.returncode == 2
    assert "refused" in rehearsed.stdout and reason in rehearsed.stdout, rehearsed.stdout
    assert f"change {option.split('=')[0]}" in rehearsed.stdout
    assert not campaign.exists()
    refused = commands.run(*submit_command(grid, campaign, digits_dir), "--sbatch", option)  # a process that ends
    assert refused.returncode == 2
    assert "sbatch refused array" in refused.stderr
    assert json.loads(commands.call("hpc.status", "--output-dir", campaign, "--json").stdout)["missing"] == 6
    accepted = submit(grid, campaign, digits_dir, "--test-only")
    assert "accepted" in accepted.stdout
    wait_for(lambda: sh("squeue --noheader") == "")


def test_the_users_limit_holds_back_and_feeding_goes_on(grid: Path, campaign: Path, digits_dir: Path) -> None:
    """By the estimate, the work needs two workers of four minutes."""
    grid.write_text(SMALL.replace("repeats: 3", "repeats: 8").replace("epochs: 200", "epochs: 180"))
    options = ("--runs-per-task", 4, "--sbatch", "time=4")
    sh("sacctmgr -i modify user root set MaxSubmitJobs=1")
    try:
        first = submit(grid, campaign, digits_dir, *options)
        assert "held back: Slurm accepts no more of your jobs now. The same command submits the rest" in first.stdout
        assert len(sh("squeue --noheader --array").splitlines()) <= 1
        submit(grid, campaign, digits_dir, *options, "--keep-feeding")
        drain()
    finally:
        sh("sacctmgr -i modify user root set MaxSubmitJobs=-1")
    assert len(records(campaign)) == 16
    assert set(records(campaign).values()) == {1}


def test_a_second_status_of_many_tasks_asks_slurm_once(grid: Path, campaign: Path, digits_dir: Path, tmp_path: Path) -> None:
    submit(grid, campaign, digits_dir)
    real = {name: sh(f"command -v {name}").strip() for name in ("squeue", "sacct")}
    counted = {name: f'echo {name} >> {tmp_path}/calls; exec {program} "$@"' for name, program in real.items()}
    with programs(tmp_path / "bin", **counted):
        assert commands.call("hpc.status", "--output-dir", campaign).returncode == 0
    called = (tmp_path / "calls").read_text().split()
    assert called.count("squeue") == 1
    assert called.count("sacct") <= 1
    drain()
