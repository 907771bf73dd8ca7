"""A place, looked at once: what is a problem, what is hidden from a bug report, what is asked of Slurm."""

import json
import os
from pathlib import Path

import pytest

from hpc import doctor
from hpc.execution.site import NOTE, OK, PROBLEM, Check, Line, looked, room_line, task_lines
from hpc.planning.workers import Resources
from hpc.state.scheduler import SchedulerError
from jobs.probe import cores_limit, memory_limit_mb
from tests.programs import prints, programs, squeue

PROBE = {
    "node": "n7",
    "python": "3",
    "torch": "2",
    "python_s": 1,
    "torch_s": 2,
    "cores": 1,
    "memory_limit_mb": 1000,
    "scratch_mb": 9e3,
}
CONFIGURATION = prints("MaxJobCount = 100", "MaxArraySize = 11", "AccountingStorageType = accounting_storage/none")


def seen(capsys: pytest.CaptureFixture[str], *options: object) -> tuple[int, dict[str, list[dict]]]:
    """The exit status, and what -> its lines."""
    with pytest.raises(SystemExit) as ended:
        doctor.main([*map(str, options), "--json"])
    found = dict[str, list[dict]]()
    for line in json.loads(capsys.readouterr().out)["lines"]:
        found.setdefault(line["what"], []).append(line)
    return int(ended.value.code or 0), found


def test_a_check_that_cannot_be_done_is_a_problem_and_the_others_go_on() -> None:
    def silent() -> list[Line]:
        raise SchedulerError("squeue: no answer")

    lines = looked(
        [Check("queue", silent, "wait"), Check("none", lambda: os.listdir("/nowhere"), ""), Check("a", lambda: [], "")]
    )
    assert [(line.mark, line.what, line.found) for line in lines] == [
        (PROBLEM, "queue", "squeue: no answer"),
        (PROBLEM, "none", "/nowhere: No such file or directory"),
    ]


@pytest.mark.parametrize(
    ("free_mb", "free_files", "mark"),
    [(10_000, 10**6, OK), (10_000, None, OK), (1_000, None, NOTE), (10, None, PROBLEM), (10_000, 10, PROBLEM)],
)
def test_room(free_mb: float, free_files: int | None, mark: str) -> None:
    assert room_line(free_mb, free_files).mark == mark


@pytest.mark.parametrize(
    ("got", "marks"),
    [
        ({}, {"cores": OK, "memory": OK, "scratch": OK, "node": OK}),
        ({"cores": 4, "memory_limit_mb": None}, {"cores": NOTE, "memory": NOTE}),
        ({"cores": 0, "memory_limit_mb": 500}, {"cores": PROBLEM, "memory": PROBLEM}),
        ({"memory_limit_mb": 32_000, "scratch_mb": None, "torch_s": 60}, {"memory": NOTE, "scratch": NOTE, "node": NOTE}),
    ],
)
def test_what_a_task_got(got: dict, marks: dict[str, str]) -> None:
    lines = {line.what: line.mark for line in task_lines({**PROBE, **got}, Resources(1, 0, 1000, 5))}
    assert {what: lines[what] for what in marks} == marks


def test_limits_of_control_groups(tmp_path: Path) -> None:
    """Of both versions; a group has the limits of those above it."""
    groups, none = tmp_path / "cgroup", tmp_path / "none"
    for name, text in {
        "a/memory.max": "max",
        "memory.max": "2000000",
        "a/cpu.max": "150000 100000",
        "cpu.max": "max 100000",
    }.items():
        (tmp_path / "2" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "2" / name).write_text(text + "\n")
    for name, text in {"memory/a/memory.limit_in_bytes": "3000000", "memory/memory.limit_in_bytes": str(2**63 - 4096)}.items():
        (tmp_path / "1" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "1" / name).write_text(text)
    groups.write_text("0::/a\n")
    assert (memory_limit_mb(groups, tmp_path / "2"), cores_limit(groups, tmp_path / "2")) == (2, 1.5)
    groups.write_text("5:memory:/a\n4:cpu,cpuacct:/a\n")
    assert (memory_limit_mb(groups, tmp_path / "1"), cores_limit(groups, tmp_path / "1")) == (3, None)
    assert memory_limit_mb(none, tmp_path) is None


def test_names_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "ada")
    line = Line(PROBLEM, "x", "ada@n7: /home/ada/my data/x and '/tmp/y': no; 2/3 of `/z`", "rm /data/ada", ("n7",))
    hidden = doctor.without_names(line, [Path("/home/ada/my data")])
    assert (hidden.found, hidden.help) == ("USER@NODE: PATH/x and 'PATH': no; 2/3 of `/z`", "rm PATH")


def test_this_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, found = seen(capsys, "--executor", "local", "--output-dir", tmp_path / "new")
    assert status == 0
    assert {"output_dir", "versions", "file system", "rename", "exclusive", "fsync", "room", "cores"} <= found.keys()
    assert str(tmp_path) not in str(found)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_two_trainings_on_this_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, found = seen(capsys, "--executor", "local", "--output-dir", tmp_path, "--run")
    assert status == 0
    assert found["trainings"][0]["found"].startswith("2 of 2 are done")
    assert not list(tmp_path.iterdir())


def test_a_torch_that_does_not_load(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('libcudart.so.12: no such file')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    status, found = seen(capsys, "--executor", "local", "--output-dir", tmp_path, "--run")
    assert (status, found["trainings"][0]["mark"]) == (1, PROBLEM)
    assert found["trainings"][0]["found"] == "torch does not load: ImportError: libcudart.so.12: no such file"


def test_options_of_another_executor(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        doctor.main(["--executor", "local", "--sbatch", "partition=x"])
    assert "--sbatch: this command checks --executor local" in capsys.readouterr().err


def test_a_site_with_problems(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """No accounting, no memory configured, and an account that sbatch refuses; variables that are taken out."""
    monkeypatch.setenv("SQUEUE_STATES", "PENDING")
    monkeypatch.setenv("SBATCH_ACCOUNT", "lab")
    sinfo = prints("PARTITION|AVAIL|MEMORY|TIMELIMIT", "main*|up|1|1-00:00:00", "old|down|9000|10")
    refuses = 'echo "sbatch: error: Invalid account or account/partition combination" >&2; exit 1'
    no_accounting = "echo 'Slurm accounting storage is disabled' >&2; exit 1"
    fakes = {
        "sinfo": sinfo,
        "scontrol": CONFIGURATION,
        "squeue": squeue(),
        "sbatch": refuses,
        "sacct": no_accounting,
        "srun": "",
    }
    with programs(tmp_path / "bin", **fakes):
        status, found = seen(capsys, "--executor", "slurm", "--output-dir", tmp_path)
        well = seen(capsys, "--executor", "slurm", "--output-dir", tmp_path, "--sbatch", "mem=false")[1]["partition"][0]
        full = squeue(*(f"7|{index}|PENDING|Priority|x" for index in range(100)))
        with programs(tmp_path / "full", squeue=full, srun="", sinfo=sinfo.replace("|1|", "|9000|")):
            held = seen(capsys, "--executor", "slurm", "--output-dir", tmp_path, "--run")[1]["trainings"][0]["found"]
    assert status == 1
    assert "2 tasks held back: Slurm accepts no more of your jobs now" in held
    assert "honoured: SBATCH_ACCOUNT" in found["environment"][0]["found"]
    assert "taken out: " in found["environment"][0]["found"] and "SQUEUE_STATES" in found["environment"][0]["found"]
    assert found["accounting"][0]["mark"] == NOTE
    assert (found["partition"][0]["mark"], well["mark"]) == (PROBLEM, OK)
    assert found["partition"][0]["help"].startswith("--sbatch mem=false")
    assert found["limits"][0]["found"] == "11 workers in an array, 100 of yours in the queue"
    assert found["test-only"][0]["help"].startswith("change account")
