"""Which code a result is of: the commit, and a digest of what differs from it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.provenance import job
from tests.commands import ROOT

FILES = ("jobs/__init__.py", "jobs/provenance.py", "noisy/__init__.py", "noisy/processor.py")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository of its own, with as much of the project as `code_commit` needs."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=x", "-c", "user.email=x@x", "commit", "--quiet", "--message=all")
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True, text=True).stdout.strip()


def commit(project: Path) -> str:
    program = "from jobs.provenance import code_commit; print(code_commit())"
    done = subprocess.run([sys.executable, "-c", program], cwd=project, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.mark.slow
def test_each_difference_has_a_name_of_its_own(project: Path) -> None:
    head = git(project, "rev-parse", "HEAD")
    (project / "results").mkdir()  # what is not tracked is no code
    (project / "results/x").write_text("x")
    assert commit(project) == head
    names = []
    for text in ("# a\n", "# b\n", "# a\n"):
        (project / "noisy/__init__.py").write_text(text)
        names.append(commit(project))
    assert all(re.fullmatch(f"{head}-dirty-[0-9a-f]{{8}}", name) for name in names)
    assert names[0] == names[2] != names[1]
    git(project, "add", ".")
    assert commit(project).startswith(f"{head}-dirty-")
    git(project, "reset", "--hard", "--quiet")
    assert commit(project) == head


def test_the_index_of_the_repository_is_not_written(project: Path) -> None:
    """A worker that is killed while git writes it would leave a lock, and the user could not commit."""
    index, code = project / ".git/index", project / "noisy/__init__.py"
    head, before = git(project, "rev-parse", "HEAD"), index.read_bytes()
    os.utime(code, (1e9, 1e9))  # git reads a file again whose time has changed, and `git diff` renews the index then
    assert commit(project) == head
    assert index.read_bytes() == before
    git(project, "diff", "HEAD")
    assert index.read_bytes() != before  # so it could be seen


def test_without_git_the_code_is_unknown(project: Path) -> None:
    shutil.rmtree(project / ".git")
    assert commit(project) == "unknown"


@pytest.mark.parametrize(("values", "name"), [(["", "", ""], ""), (["17", "", ""], "17"), (["18", "17", "3"], "17_3")])
def test_a_job_is_named_as_slurm_names_it(values: list[str], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in zip(("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"), values, strict=True):
        monkeypatch.setenv(variable, value)
    assert job() == name
