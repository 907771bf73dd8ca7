"""What the tests of several packages share: a staged data set that needs no network, and a finished campaign."""

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.campaign import Campaign
from noisy import data
from tests import commands
from tests.campaigns import GRID, made_once

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the threads of several test processes would wait for each other
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each process that a test starts would compile the project anew
os.environ.pop("PYTHONUNBUFFERED", None)  # users have buffers: what must be seen at once is flushed


def pytest_collection_finish() -> None:
    """All that is loaded by now stays, so the garbage collector need not look at it again and again."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """At the end it is looked at once more: libraries print what they think has leaked."""
    gc.unfreeze()


SLURM = ("sbatch", "squeue", "sacct", "sacctmgr", "scancel", "scontrol", "sinfo", "srun")


@pytest.fixture(scope="session", autouse=True)
def no_slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """PATH without the programs of a Slurm that this machine may have: only tests/slurm asks a real one."""
    before = os.environ["PATH"]
    os.environ["PATH"] = os.pathsep.join(_without_slurm(folder, tmp_path_factory) for folder in before.split(os.pathsep))
    yield
    os.environ["PATH"] = before


@pytest.fixture(scope="session", autouse=True)
def environment_is_active(no_slurm: None) -> Iterator[None]:
    """PATH as in an active environment, so that commands say `noisy`."""
    before = os.environ["PATH"]
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), before])
    yield
    os.environ["PATH"] = before


def _without_slurm(folder: str, factory: pytest.TempPathFactory) -> str:
    """A folder of PATH, or, where it has a program of Slurm's, a folder of links to its other programs."""
    if not any(Path(folder, name).exists() for name in SLURM):
        return folder

    def make(links: Path) -> None:
        for program in Path(folder).iterdir():
            if program.name not in SLURM:
                (links / program.name).symlink_to(program.absolute())

    return str(made_once(factory, f"path{folder.replace(os.sep, '-')}", make))


@pytest.fixture(scope="session")
def digits_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `digits` is staged."""
    return made_once(tmp_path_factory, "data", lambda folder: data.stage("digits", folder))


@pytest.fixture(scope="session")
def digits(digits_dir: Path) -> data.Data:
    """The staged digits, mapped."""
    return data.load("digits", digits_dir)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, digits_dir: Path) -> Campaign:
    """A campaign of real trainings, which tests must not change: two submissions of 4 runs are done, 4 runs are missing."""

    def make(folder: Path) -> None:
        (folder / "grid.yaml").write_text(GRID.replace("repeats: 2", "repeats: 3"))
        for _ in range(2):
            command = commands.submit_command(folder / "grid.yaml", folder / "campaign", digits_dir)
            done = commands.run(*command, "--limit", 4)  # by processes that have ended, as those of users have
            assert done.returncode == 0, done.stderr
            assert "4 of 4 runs done, 0 failed." in done.stdout

    return Campaign(made_once(tmp_path_factory, "finished", make) / "campaign")
