"""What hpc.submit refuses, it refuses before anything is written: the file tree is the same before and after."""

import argparse
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hpc import submit
from hpc.execution.choice import EXECUTORS
from hpc.execution.slurm.calling import TIMEOUT_VARIABLE
from jobs.typed import typed
from tests.campaigns import GRID
from tests.hpc.execution.slurm.test_programs import SACCTMGR, SCONTROL, SINFO
from tests.hpc.request.test_grid import BROKEN
from tests.hpc.test_hostile import COMMAND_LINES
from tests.programs import programs, squeue

ONE = GRID.replace("max_workers: 2\n", "")
NO_SLURM = {name: "echo no controller >&2; exit 1" for name in ("squeue", "sacct", "scontrol", "sinfo", "sacctmgr", "sbatch")}
SLURM = {
    "id": "echo me",
    "squeue": squeue(),
    "sbatch": "exit 1",
    "srun": "true",
    "scontrol": SCONTROL,
    "sinfo": SINFO,
    "sacctmgr": SACCTMGR,
}
LOCAL = ("--executor", "local")
TORCH = """
class cuda:
    is_available = staticmethod(lambda: False)

__version__, device = "2.0", object
"""

REFUSED = {  # what it is -> the grid, options (HERE: the folder of the test), part of the answer
    "no grid": ("", ("--grid", "HERE/none.yaml"), "cannot be read: No such file or directory"),
    "a grid that is a folder": ("", ("--grid", "HERE"), "not a file (a folder, a pipe or a device)"),
    "a grid that is a pipe": ("", ("--grid", "HERE/pipe"), "not a file (a folder, a pipe or a device)"),
    "a grid that is a device": ("", ("--grid", "/dev/zero"), "not a file (a folder, a pipe or a device)"),
    "a broken grid": ("ps: [2]", (), "line 1: ps[0]: not possible: 2"),
    "a broken setting": (ONE, ("--set", "ps=[2]"), "--set ps[0]: not possible: 2"),
    "a grid in bytes": ("\0", (), "not YAML"),
    "a folder that is a file": (ONE, ("--output-dir", "HERE/grid.yaml"), "HERE/grid.yaml: not a folder"),
    "a folder below a file": (ONE, ("--output-dir", "HERE/grid.yaml/new/x"), "HERE/grid.yaml: not a folder"),
    "a folder that is a pipe": (ONE, ("--output-dir", "HERE/pipe"), "HERE/pipe: not a folder"),
    "a folder that is a broken link": (ONE, ("--output-dir", "HERE/link/x"), "HERE/link: not a folder"),
    "a long name": (ONE, ("--output-dir", f"HERE/new/{'x' * 300}"), "too long for output_dir; allowed: names of at most 255"),
    "a long name, not in ASCII": (ONE, ("--output-dir", f"HERE/new/{'ü' * 200}"), "too long for output_dir"),
    "a long path": (ONE, ("--output-dir", "HERE" + "/folder" * 600), "too long for output_dir"),
    "a long name, dry": (ONE, ("--output-dir", f"HERE/new/{'x' * 300}", "--dry-run"), "too long for output_dir"),
    "data in a file": (ONE, ("--data-dir", "HERE/grid.yaml"), "dataset digits: files are missing in"),
    "no GPU": (ONE + "use_cuda: true", (), "sees no CUDA device"),
    "no GPU, dry": (ONE + "use_cuda: true", ("--dry-run",), "sees no CUDA device"),
    "workers on one GPU": (GRID + "use_cuda: true", (), "max_workers: 2 with use_cuda: true; allowed: 1"),
    "too many cores": (ONE + "cpu_threads_per_worker: 100000", (), "but this machine has"),
    "27 TB": (ONE.replace("[16]", f"[[16], [{2**31 - 1}]]"), (), "batch_size 128 needs at least 28,"),
    "27 TB, though it is said": (ONE.replace("[16]", f"[{2**31 - 1}]"), ("--yes",), "; the largest that fits: hidden_sizes: ["),
    "500 GB in one batch": (
        ONE.replace("digits", "mnist") .replace("[16]", "[16, 2097152]") + "batch_size: 60000",
        (),
        "a run of mlp with hidden_sizes [16, 2097152], batch_size 60000 needs at least 50",
    ),
    "2e9 epochs": (ONE.replace("epochs: 1", "epochs: 2000000000"), (), "a single run takes "),
    "a submission that is not there": (ONE, ("--abandon", "7"), "--abandon 7: no such submission of HERE/out; allowed"),
}  # fmt: skip


@pytest.mark.parametrize("what", [pytest.param(what, marks=[pytest.mark.slow] * ("no GPU" in what)) for what in REFUSED])
def test_a_refusal_leaves_everything_as_it_was(
    what: str, here: Path, refuse: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text, options, answer = REFUSED[what]
    if what == "no GPU, dry":  # another torch without a GPU, which is loaded faster
        (here / "torch.py").write_text(TORCH)
        monkeypatch.setenv("PYTHONPATH", str(here), prepend=os.pathsep)
        monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    (here / "grid.yaml").write_text(text)
    assert answer.replace("HERE", str(here)) in refuse(*LOCAL, *(option.replace("HERE", str(here)) for option in options))


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_grid_leaves_everything_as_it_was(what: str, here: Path, refuse: Callable[..., str]) -> None:
    (here / "grid.yaml").write_text(BROKEN[what][0])
    refuse(*LOCAL)


@pytest.mark.parametrize("options", COMMAND_LINES, ids=repr)
def test_a_wrong_command_line_leaves_everything_as_it_was(
    options: tuple[str, ...], here: Path, refuse: Callable[..., str]
) -> None:
    (here / "grid.yaml").write_text(ONE)
    refuse(*options)


ON_SLURM = {
    "more than any node has": (SLURM, ONE.replace("[16]", f"[{2**24}]"), (), 2, "and the partition's largest node has 33.6 GB"),
    "that, though memory is named": (SLURM, ONE.replace("[16]", f"[{2**24}]"), ("--sbatch", "mem=1G"), 2, "largest node has"),
    "longer than the partition": (SLURM, ONE.replace("epochs: 1", "epochs: 20000000"), (), 2, "allowed by the partition: 1560"),
    "a time that is none": (SLURM, ONE, ("--sbatch", "time=soon"), 2, "allowed: time as MINUTES"),
    "a silent Slurm": (NO_SLURM | {"srun": "true"}, ONE, (), 3, "no controller; what was submitted, if anything, is recorded"),
    "no srun": (NO_SLURM, ONE, (), 3, "srun is not on PATH: this is no login node"),
    "a question to a silent Slurm": (NO_SLURM | {"srun": "true"}, ONE, ("--test-only",), 3, "no controller"),
}


@pytest.mark.parametrize("what", ON_SLURM)
def test_a_refusal_on_slurm_leaves_everything_as_it_was(what: str, here: Path, refuse: Callable[..., str]) -> None:
    scripts, text, options, status, answer = ON_SLURM[what]
    (here / "grid.yaml").write_text(text)
    with programs(here / "bin", **scripts):
        assert answer in refuse("--executor", "slurm", *options, status=status)


@pytest.mark.parametrize("silence", ["fails", "hangs", "is not there"])
def test_a_dry_run_plans_what_it_can_where_slurm_is_silent(
    silence: str, here: Path, refuse: Callable[..., str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "grid.yaml").write_text(ONE)
    monkeypatch.setenv(TIMEOUT_VARIABLE, "0.2")
    scripts = {"fails": NO_SLURM, "hangs": dict.fromkeys(NO_SLURM, "exec /bin/sleep 60"), "is not there": {"sbatch": "exit 1"}}[
        silence
    ]
    with programs(here / "bin", **scripts):
        said, again = refuse("--dry-run", status=3), typed("submit")  # by its path: no environment is active here
    assert f"the limits and the queue of the cluster are unknown; {again} --executor local" in said
    plan = capfd.readouterr().out
    assert "8 to run; 0 of the grid's 8 are done" in plan and "CPU s expected" in plan
    assert plan.endswith("Dry run: nothing was written.\n")


def own_options() -> list[tuple[str, str, argparse.Action]]:
    """(executor, another or auto, option that only the first knows)."""
    table = submit.add_options(argparse.ArgumentParser())
    others = [(name, other) for name in table for other in (*EXECUTORS, "auto") if other != name]
    others.remove(("local", "auto"))  # which is local here
    return [(name, other, action) for name, other in others for action in table[name]]


def test_the_table_has_all_options() -> None:
    parser = argparse.ArgumentParser()
    table = submit.add_options(parser)
    owned = {action.option_strings[0]: name for name, actions in table.items() for action in actions}
    slurms = ("--sbatch", "--test-only", "--runs-per-task", "--no-exclude", "--keep-feeding")
    assert owned == dict.fromkeys(slurms, "slurm") | {"--join": "local"}
    others = {action.option_strings[-1] for action in parser._actions} - set(owned)
    for_all = {
        "--grid",
        "--set",
        "--from",
        "--executor",
        "--output-dir",
        "--data-dir",
        "--dry-run",
        "--limit",
        "--retry-failed",
        "--no-calibrate",
        "--deadline",
        "--yes",
        "--help",
    }
    assert others == for_all | {"--abandon"}  # also a local submission of another host is abandoned


@pytest.mark.parametrize(("owner", "other", "action"), own_options(), ids=lambda value: getattr(value, "dest", value))
def test_an_option_of_another_executor_is_refused(
    owner: str, other: str, action: argparse.Action, here: Path, refuse: Callable[..., str]
) -> None:
    (here / "grid.yaml").write_text(ONE)
    value = [] if action.nargs == 0 else ["1" if action.type is not None and action.dest != "sbatch" else "time=5"]
    why = "no slurm was found on this machine" if other == "auto" else f"this runs with --executor {other}"
    answer = refuse("--executor", other, action.option_strings[0], *value)
    assert answer == f"error: {action.option_strings[0]}: only with --executor {owner}, and {why}\n"


def test_a_section_of_another_executor_is_said_not_to_be_used(here: Path, refuse: Callable[..., str]) -> None:
    (here / "grid.yaml").write_text(ONE + "slurm: {partition: cpu}\n")
    assert (
        refuse(*LOCAL, "--dry-run", status=0) == "note: slurm: of the grid is not used, since this runs with --executor local\n"
    )


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a pipe and a link to nothing, which is also the working directory."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))  # a Slurm of this machine is not meant
    return tmp_path


@pytest.fixture
def refuse(here: Path, digits_dir: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[..., str]]:
    """Runs hpc.submit on the grid here, which is to end with `status`, and returns its errors."""

    def refused(*options: str, status: int = 2) -> str:
        before = tree(here, digits_dir)
        defaults = ["--grid", f"{here}/grid.yaml", "--output-dir", f"{here}/out", "--data-dir", str(digits_dir)]
        with pytest.raises(SystemExit) as stop:
            submit.main([*defaults, *options])
        printed = capfd.readouterr()
        print(printed.out, end="")
        assert stop.value.code == status, printed
        assert "Traceback" not in printed.err
        assert tree(here, digits_dir) == before
        return printed.err

    yield refused


def tree(*folders: Path) -> dict[Path, tuple[int, int, bytes]]:
    """All files below: mode, time of the last change in ns, content."""
    paths = [path for folder in folders for path in (folder, *folder.rglob("*"))]
    modes = {path: path.lstat() for path in paths}
    return {
        path: (found.st_mode, found.st_mtime_ns, path.read_bytes() if stat.S_ISREG(found.st_mode) else b"")
        for path, found in modes.items()
    }


def test_the_grid_of_a_campaign_never_starts_another_one_unnoticed(
    here: Path, digits_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (here / "manifest.jsonl").touch()
    (here / "grid.yaml").write_text(f"output_dir: results/a\n{ONE}")
    before = tree(here, digits_dir)
    with pytest.raises(SystemExit) as stop:
        submit.main(["--grid", "grid.yaml", "--data-dir", str(digits_dir), "--executor", "local"])
    said = capfd.readouterr().err
    assert stop.value.code == 2 and f"output_dir is another folder: {here}/results/a; --output-dir . trains" in said
    assert tree(here, digits_dir) == before
    for explicit in (["--output-dir", "results/a"], ["--set", "output_dir=results/a"]):
        with pytest.raises(SystemExit) as stop:
            submit.main(["--grid", "grid.yaml", "--data-dir", str(digits_dir), "--executor", "local", "--dry-run", *explicit])
        assert stop.value.code == 0
