"""Messages name commands in a form that the user can type: as this one was started, by a name that the shell finds."""

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from hpc.cli import COMMANDS
from jobs.typed import form, quoted
from tests.commands import ROOT


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The programs of an environment that is not active, below the current folder."""
    folder = tmp_path / ".venv" / "bin"
    folder.mkdir(parents=True)
    for name in ("noisy", "python"):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    return folder


def test_a_command_is_named_as_this_one_was_started(bin_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noisy, python = str(bin_folder / "noisy"), str(bin_folder / "python")
    for program in (noisy, ".venv/bin/noisy", "ipykernel_launcher.py"):
        assert form("status", "", program, python) == ".venv/bin/noisy status"
    assert form("status", "hpc.submit", "submit.py", python) == ".venv/bin/python -m hpc.status"
    assert form("merge", "analysis.report", "report.py", python) == ".venv/bin/python -m analysis.merged"
    assert form("merge", "hpc.cli", "cli.py", python) == ".venv/bin/python -m hpc.cli merge"
    monkeypatch.chdir("/usr")
    assert form("status", "ipykernel_launcher", "x.py", python) == f"{noisy} status"
    monkeypatch.setenv("PATH", f"{bin_folder}:/usr/bin")
    assert form("status", "", noisy, python) == form("status", "", "x.py", python) == "noisy status"
    assert form("status", "hpc.submit", "submit.py", python) == "python -m hpc.status"


def test_another_noisy_on_path_is_not_meant(bin_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other bin"
    bin_folder.rename(other)
    bin_folder.mkdir()
    python = str(bin_folder / "python")
    monkeypatch.setenv("PATH", f"{other}:/usr/bin:/bin")
    assert form("status", "", "x.py", python) == "noisy status", "there is none in the environment"
    assert form("status", "", str(other / "noisy"), python) == "noisy status"
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert form("status", "", "x.py", python) == ".venv/bin/python -m hpc.cli status"
    assert form("status", "", str(other / "noisy"), python) == "'other bin/noisy' status"
    (bin_folder / "noisy").write_text("")
    monkeypatch.setenv("PATH", f"{other}:/usr/bin:/bin")
    assert form("status", "", "x.py", python) == ".venv/bin/noisy status"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_module_of_each_command_is_right(name: str) -> None:
    assert form(name, "hpc.submit", "", sys.executable).endswith(f" -m {COMMANDS[name].module}")


def test_a_real_command_says_its_next_step_in_the_form_in_which_it_was_called(tmp_path: Path) -> None:
    path = {"PATH": "/usr/bin:/bin"}  # no environment is active
    for module in ("hpc.init", "hpc.cli"):
        words = ["init"] * (module == "hpc.cli")
        command = [sys.executable, "-m", module, *words, tmp_path / f"{module}.yaml"]
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, **path}, capture_output=True, text=True, check=True)
        typed = shlex.split(done.stdout.splitlines()[-1].removeprefix("Next: "))
        assert os.path.abspath(ROOT / typed[0]) == os.path.abspath(sys.executable)
        assert typed[1:-2] == (["-m", "hpc.submit"] if module == "hpc.init" else ["-m", "hpc.cli", "submit"])


NAMED = {  # where a command is a name, and not what to type next; or where it is typed elsewhere
    "hpc/cli.py": "its own usage",
    "hpc/init.py": "comments of a grid",
    "hpc/redo.py": "--join is only of noisy submit",
    "hpc/execution/slurm/reasons.py": "reasons, as on their page",
    "analysis/archive.py": "help",
    "analysis/campaigns.py": "a CSV of noisy report",
    "analysis/columns_page.py": "a page of docs/",
    "analysis/cover.py": "the README of an archive, for another machine",
    "analysis/methods.py": "the text for a paper",
}


def test_no_other_message_names_a_command_in_only_one_form() -> None:
    found = set[str]()
    for path in (path for room in ("noisy", "jobs", "hpc", "analysis") for path in (ROOT / room).rglob("*.py")):
        tree = ast.parse(path.read_text())
        documented = (node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef))
        docstrings = {id(node.body[0].value) for node in documented if node.body and isinstance(node.body[0], ast.Expr)}
        texts = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
        if any(re.search(rf"\bnoisy ({'|'.join(COMMANDS)})\b", each.value) for each in texts if id(each) not in docstrings):
            found.add(path.relative_to(ROOT).as_posix())
    assert found == NAMED.keys()


def test_a_quoted_path_is_never_an_option() -> None:
    assert [quoted(Path(path)) for path in ("-x", "a/-x", "a b")] == ["./-x", "a/-x", "'a b'"]
