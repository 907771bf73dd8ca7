"""Asking Slurm: what its programs print is understood, and an answer that does not come is an error."""

import math
from pathlib import Path

import pytest

from hpc.execution.slurm import programs as slurm
from hpc.execution.slurm.calling import TIMEOUT_VARIABLE, call
from hpc.execution.slurm.options import megabytes, minutes
from hpc.execution.slurm.programs import Ended, Partition, Queued
from hpc.planning.workers import Limits
from hpc.state.scheduler import SchedulerError
from tests.programs import prints, programs, sacct, squeue

NEWS = "echo 'Your last job 4711 used 12 | core | hours'\n"


def test_the_queue_is_read(tmp_path: Path) -> None:
    rows = ("17|0|RUNNING|None|a-0001-00", "17|5|PENDING|JobArrayTaskLimit|a-0001-00", "18|N/A|COMPLETING|None|with|bar")
    with programs(tmp_path, squeue=NEWS + squeue(*rows)):
        queue = slurm.queue().elements
    assert queue == (
        Queued("a-0001-00", "17", 0, "RUNNING", "None"),
        Queued("a-0001-00", "17", 5, "PENDING", "JobArrayTaskLimit"),
        Queued("with|bar", "18", None, "COMPLETING", "None"),
    )
    assert [element.is_running for element in queue] == [True, False, True]


def test_accounting_is_read(tmp_path: Path) -> None:
    rows = ("17_0|TIMEOUT|0:0|n1", "17_[4-7]|PENDING|0:0|None assigned", "18|CANCELLED by 0|0:15|n2")
    with programs(tmp_path, sacct=NEWS + sacct(*rows)):
        known = slurm.accounting(["17", "18"])
    assert known == {"17_0": Ended("TIMEOUT", "0:0", "n1"), "18": Ended("CANCELLED", "0:15", "n2")}


@pytest.mark.parametrize("said", ["true", "echo 17_0", "echo error >&2", "printf 'JobID|State|ExitCode|NodeList\n17_0|TIM'"])
def test_accounting_that_says_something_else_is_an_error(tmp_path: Path, said: str) -> None:
    with programs(tmp_path, sacct=said), pytest.raises(SchedulerError, match="sacct did not answer as expected: "):
        slurm.accounting(["17"])


def test_no_variable_of_the_user_changes_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every family of variables in Slurm's manuals; the cluster that is asked stays the user's."""
    families = ("SLURM", "SBATCH", "SQUEUE", "SACCT", "SACCTMGR", "SINFO", "SCONTROL", "SCANCEL", "SRUN", "SALLOC")
    for family in families:
        monkeypatch.setenv(f"{family}_STATES", "RUNNING")
    kept = ("SLURM_CONF", "SLURM_JWT", "SLURM_SACK_SOCKET", "SLURMISH", "HOME")
    for name in kept:
        monkeypatch.setenv(name, "here")
    with programs(tmp_path, show="/usr/bin/env"):
        seen = dict(line.split("=", 1) for line in call("show").stdout.splitlines() if "=" in line)
    assert not [name for name in seen if name.endswith("_STATES")]
    assert [seen[name] for name in kept] == ["here"] * 5


def test_nothing_to_ask_is_not_asked(tmp_path: Path) -> None:
    with programs(tmp_path, sacct="exit 1"):
        assert slurm.accounting([]) == {}


SCONTROL = (
    "printf 'AccountingStorageType   = accounting_storage/slurmdbd\\nMaxArraySize            = 1001\\nMaxJobCount = 10000\\n'"
)
SINFO = prints(
    "PARTITION|AVAIL|MEMORY|TIMELIMIT", "cpu*|up|32000+|1-02:00:00", "cpu*|up|900|1-02:00:00", "long|down|64000|infinite"
)
ASSOCIATIONS = prints("Account|MaxSubmit|QOS", "lab|3000|normal,high", "other|700|normal", "free||high")
OF_QOS = prints("MaxSubmitPU", "2000", "2500")
SACCTMGR = (
    f'case "$*" in\n*assoc*)\n{ASSOCIATIONS};;\n*name=high,normal*)\n{OF_QOS};;\n*name=*)\n{prints("MaxSubmitPU", "")};;\nesac'
)


def test_partitions_are_read(tmp_path: Path) -> None:
    with programs(tmp_path, sinfo=NEWS + SINFO):
        found = slurm.partitions()
    assert found == [Partition("cpu", True, True, 33553, 26 * 60), Partition("long", False, False, 67107, math.inf)]


def test_memory_that_a_site_has_not_configured_is_no_limit(tmp_path: Path) -> None:
    with programs(tmp_path, sinfo=prints("PARTITION|AVAIL|MEMORY|TIMELIMIT", "cpu*|up|1|60")):
        assert slurm.partitions() == [Partition("cpu", True, True, math.inf, 60)]


def test_a_task_has_to_fit_into_every_partition(tmp_path: Path) -> None:
    cpu, long = Partition("cpu", True, True, 33553, 26 * 60), Partition("long", False, True, 67107, math.inf)
    with programs(tmp_path, scontrol=SCONTROL, sacctmgr=SACCTMGR):
        found = [slurm.limits(each) for each in ([cpu], [long], [cpu, long], [])]
    expected = [(33553, 26 * 60), (67107, math.inf), (33553, 26 * 60), (math.inf, math.inf)]
    assert found == [Limits(1001, 2500, *both) for both in expected]


@pytest.mark.parametrize(
    ("account", "qos", "most"),
    [(None, None, 2500), ("lab", None, 2500), ("Other", "normal", 700), ("free", None, 10000), ("free", "high", 10000)],
)
def test_limits_are_those_of_the_account_that_is_used(tmp_path: Path, account: str | None, qos: str | None, most: int) -> None:
    """If none is named, sbatch knows which it is: the limits of the others hold nothing back."""
    with programs(tmp_path, scontrol=SCONTROL, sacctmgr=SACCTMGR):
        assert slurm.limits([], account, qos).max_submitted == most


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90", 90), ("3:30", 3.5), ("2:03:00", 123), ("1-02", 26 * 60), ("1-02:03", 26 * 60 + 3), ("UNLIMITED", math.inf)],
)
def test_times_are_read_as_slurm_reads_them(text: str, expected: float) -> None:
    assert minutes(text) == expected


def test_sizes_are_read_as_sbatch_reads_them() -> None:
    assert [megabytes(text) for text in ("1000", "1000M", "2G", "2048K")] == pytest.approx(
        [1048.576, 1048.576, 2147.483648, 2.097152]
    )


@pytest.mark.parametrize(
    ("script", "answer"),
    [
        ("echo 'slurm_load_jobs error: Unable to contact' >&2; exit 1", "squeue exited with 1: slurm_load_jobs error: Unable"),
        ("sleep 30", "squeue: no answer in 1 s; try again later"),
        ("echo queue full, retrying >&2; exec sleep 30", r"squeue: no answer in 1 s \(queue full, retrying\); try again later"),
    ],
)
def test_no_answer_is_an_error(tmp_path: Path, script: str, answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TIMEOUT_VARIABLE, "1")
    with programs(tmp_path, squeue=script), pytest.raises(SchedulerError, match=answer):
        slurm.queue()


@pytest.mark.parametrize("text", ["", "soon", "-1", "nan", "inf"])
def test_a_timeout_that_is_none_is_an_error(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TIMEOUT_VARIABLE, text)
    with pytest.raises(SchedulerError, match="allowed: a number of seconds above 0"):
        slurm.queue()


def test_a_machine_without_slurm_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SchedulerError, match="squeue: no such program; is this a login node"):
        slurm.queue()
