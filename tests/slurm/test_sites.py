"""Sites as they are: variables that change answers, wrappers that print news, no accounting, reasons to wait."""

import json
import os
import random
import signal
import subprocess
from pathlib import Path

import pytest

from hpc import status
from tests import commands
from tests.programs import programs
from tests.slurm.cluster import (
    LONG,
    SHORT,
    drain,
    local_table,
    processes,
    records,
    sh,
    stop_clock,
    submit,
    submit_command,
    table,
    wait_for,
)

# Input variables of sbatch, squeue, sacct, sinfo, scontrol and scancel (manuals of 22.05 and 26.05), and some that a job has
VARIABLES = """
SBATCH_ACCTG_FREQ SBATCH_ARRAY_INX SBATCH_BATCH SBATCH_BURST_BUFFER SBATCH_CLUSTERS SBATCH_CLUSTER_CONSTRAINT
SBATCH_CONSOLIDATE_SEGMENTS SBATCH_CONTAINER SBATCH_CONTAINER_ID SBATCH_CONTAINER_TYPE SBATCH_CORE_SPEC SBATCH_CPUS_PER_GPU
SBATCH_CPU_FREQ_REQ SBATCH_DEBUG SBATCH_DELAY_BOOT SBATCH_DISTRIBUTION SBATCH_ERROR SBATCH_EXCLUSIVE SBATCH_EXPORT
SBATCH_GET_USER_ENV SBATCH_GPUS SBATCH_GPUS_PER_NODE SBATCH_GPUS_PER_SOCKET SBATCH_GPUS_PER_TASK SBATCH_GPU_BIND
SBATCH_GPU_FREQ SBATCH_GRES SBATCH_GRES_FLAGS SBATCH_HINT SBATCH_IGNORE_PBS SBATCH_INPUT SBATCH_JOB_NAME SBATCH_MEM_BIND
SBATCH_MEM_PER_CPU SBATCH_MEM_PER_GPU SBATCH_MEM_PER_NODE SBATCH_NETWORK SBATCH_NO_KILL SBATCH_NO_REQUEUE SBATCH_OPEN_MODE
SBATCH_OUTPUT SBATCH_OVERCOMMIT SBATCH_POWER SBATCH_PROFILE SBATCH_REQUEUE SBATCH_REQ_SWITCH SBATCH_SEGMENT_SIZE
SBATCH_SIGNAL SBATCH_SPREAD_JOB SBATCH_SPREAD_SEGMENTS SBATCH_THREADS_PER_CORE SBATCH_THREAD_SPEC SBATCH_TIMELIMIT
SBATCH_TRES_BIND SBATCH_TRES_PER_TASK SBATCH_USE_MIN_NODES SBATCH_WAIT SBATCH_WAIT4SWITCH SBATCH_WAIT_ALL_NODES SBATCH_WCKEY
SLURM_ARRAY_JOB_ID SLURM_ARRAY_TASK_ID SLURM_BITSTR_LEN SLURM_CLUSTERS SLURM_CONF_OUT SLURM_CPUS_PER_TASK SLURM_DEBUG_FLAGS
SLURM_EXIT_ERROR SLURM_HINT SLURM_JOBID SLURM_JOB_ID SLURM_JSON SLURM_MEM_PER_NODE SLURM_NODELIST SLURM_NTASKS
SLURM_PARTITION SLURM_RESTART_COUNT SLURM_STEPMGR SLURM_TIME_FORMAT SLURM_TOPO_LEN SLURM_UMASK SLURM_YAML SQUEUE_ACCOUNT
SQUEUE_ALL SQUEUE_ARRAY SQUEUE_CLUSTERS SQUEUE_FEDERATION SQUEUE_FORMAT SQUEUE_FORMAT2 SQUEUE_LICENSES SQUEUE_LOCAL
SQUEUE_NAMES SQUEUE_PARTITION SQUEUE_PRIORITY SQUEUE_QOS SQUEUE_SIBLING SQUEUE_SORT SQUEUE_STATES SQUEUE_USERS SACCT_CLUSTERS
SACCT_FEDERATION SACCT_FORMAT SACCT_LOCAL SINFO_ALL SINFO_FEDERATION SINFO_FORMAT SINFO_FUTURE SINFO_LOCAL SINFO_PARTITION
SINFO_SORT SCONTROL_ALL SCONTROL_FEDERATION SCONTROL_FUTURE SCONTROL_LOCAL SCONTROL_SIBLING SCANCEL_ACCOUNT SCANCEL_BATCH
SCANCEL_CRON SCANCEL_CTLD SCANCEL_FULL SCANCEL_HURRY SCANCEL_INTERACTIVE SCANCEL_NAME SCANCEL_PARTITION SCANCEL_QOS
SCANCEL_STATE SCANCEL_USER SCANCEL_VERBOSE SCANCEL_WCKEY
""".split()  # noqa: SIM905
VALUES = ["", "1", "0", "x", "PENDING", "nobody", "no such thing", "%i", "5-9", "/dev/null", "-1", "urgent"]


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    path = tmp_path / "grid.yaml"
    path.write_text(SHORT)
    return path


@pytest.fixture
def undisturbed(tmp_path_factory: pytest.TempPathFactory, digits_dir: Path) -> str:
    """The table of the same grid, executed on this machine."""
    return local_table(tmp_path_factory, SHORT, digits_dir)


def seen(campaign: Path, capsys: pytest.CaptureFixture[str]) -> dict:
    """What `status --json` says, in this process."""
    capsys.readouterr()
    with pytest.raises(SystemExit):
        status.main(["--output-dir", str(campaign), "--json"])
    return json.loads(capsys.readouterr().out)


def test_no_environment_hides_a_running_task(
    campaign: Path, grid: Path, digits_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """100 environments, seeded, each with some of Slurm's variables at odd values."""
    grid.write_text(LONG)
    drawn = random.Random(13)
    submit(grid, campaign, digits_dir)
    wait_for(lambda: seen(campaign, capsys)["running"])
    stop_clock(campaign)
    for i in range(int(os.environ.get("ENVIRONMENTS", "100"))):
        with monkeypatch.context() as changed:
            for name in drawn.sample(VARIABLES, 8):
                changed.setenv(name, drawn.choice(VALUES))
            found = seen(campaign, capsys)
            if i % 10 == 0:
                assert "Nothing to submit" in submit(grid, campaign, digits_dir).stdout
        assert (found["running"] + found["queued"], found["unreachable"]) == (12, "")


def test_variables_of_sbatch_do_not_change_what_is_submitted(
    campaign: Path, grid: Path, digits_dir: Path, undisturbed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = random.Random(14)
    with monkeypatch.context() as changed:
        for name in VARIABLES:
            changed.setenv(name, drawn.choice(VALUES))
        changed.setenv("SBATCH_ARRAY_INX", "5-9")
        changed.setenv("SBATCH_PARTITION", "urgent")
        done = submit(grid, campaign, digits_dir)
    assert "note: partition=urgent is taken from SBATCH_PARTITION" in done.stdout
    assert set(sh("squeue --noheader --format=%P").split()) <= {"urgent"}
    drain()
    assert set(records(campaign).values()) == {1}
    assert table(campaign) == undisturbed


@pytest.mark.parametrize(
    ("prints", "option"),
    [
        ('echo "Your last job 4711 used 12 core hours"; exec {real} "$@"', "mem=false"),
        ('exec {real} --parsable "$@"', "mem-per-cpu=900M"),
        ('{real} "$@" > /dev/null; echo "job 4711 is dear to us"', "partition=main,urgent"),
    ],
    ids=["banner", "parsable", "no id"],
)
def test_wrappers_of_sbatch(
    campaign: Path, grid: Path, digits_dir: Path, undisturbed: str, tmp_path: Path, prints: str, option: str
) -> None:
    """With an option that some sites need, too."""
    real = sh("command -v sbatch").strip()
    with programs(tmp_path / "bin", sbatch=prints.replace("{real}", real)):
        submit(grid, campaign, digits_dir, "--runs-per-task", 6, "--sbatch", option)
    drain()
    assert commands.call("hpc.status", "--output-dir", campaign).returncode == 0
    assert table(campaign) == undisturbed


def test_while_the_database_is_down_tasks_are_submitted(
    campaign: Path, grid: Path, digits_dir: Path, undisturbed: str, slurm: Path
) -> None:
    pid = int((slurm / "slurmdbd.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    try:
        wait_for(lambda: sh(f"cat /proc/{pid}/cmdline", check=False) == "")
        done = submit(grid, campaign, digits_dir, "--runs-per-task", 6)
        assert "the limits of your account are not known" in done.stderr
        found = commands.call("hpc.status", "--output-dir", campaign, "--json")
        assert (found.returncode, json.loads(found.stdout)["lost"]) == (0, 0)
    finally:
        subprocess.run(["slurmdbd"], check=True)
    wait_for(lambda: "test" in sh("sacctmgr --noheader list cluster", check=False))
    drain()
    assert table(campaign) == undisturbed


@pytest.mark.usefixtures("no_accounting")
def test_without_accounting_a_killed_task_is_done_again(campaign: Path, grid: Path, digits_dir: Path, undisturbed: str) -> None:
    submit(grid, campaign, digits_dir)
    wait_for(lambda: sh("squeue --noheader --states=RUNNING"))
    for pid in wait_for(lambda: processes(campaign)):
        os.kill(pid, signal.SIGKILL)
    drain()
    found = commands.call("hpc.status", "--output-dir", campaign, "--json")
    assert json.loads(found.stdout)["unknown"] == 0, found.stderr
    submit(grid, campaign, digits_dir)
    drain()
    assert set(records(campaign).values()) == {1}
    assert table(campaign) == undisturbed


def test_status_says_why_tasks_wait(campaign: Path, grid: Path, digits_dir: Path) -> None:
    grid.write_text(LONG)
    sh("scontrol update partition=main state=down")
    try:
        refused = commands.call(*submit_command(grid, campaign, digits_dir))
        assert (refused.returncode, "accepts no jobs now (it is not up); allowed: urgent" in refused.stderr) == (2, True)
    finally:
        sh("scontrol update partition=main state=up")
    submit(grid, campaign, digits_dir)
    job = wait_for(lambda: sh("squeue --noheader --array --states=PENDING --format=%i").split())[0]
    sh(f"scontrol uhold {job}")
    shown = commands.call("hpc.status", "--output-dir", campaign).stdout
    assert "1 worker waiting: JobHeldUser: held by a user. It does not start by itself: scontrol release JOB" in shown, shown
