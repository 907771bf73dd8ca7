"""What several rooms' tests share: a staged data set that needs no network, and a finished campaign."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.campaign import Campaign
from noisy import data
from tests import commands
from tests.campaigns import GRID

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the threads of several test processes would wait for each other


@pytest.fixture(scope="session")
def digits_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `digits` is staged."""
    data_dir = tmp_path_factory.mktemp("data")
    data.stage("digits", data_dir)
    return data_dir


@pytest.fixture(scope="session")
def digits(digits_dir: Path) -> data.Data:
    """The staged digits, mapped."""
    return data.load("digits", digits_dir)


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that `make` fills, for all test processes together: the first that asks makes it, others wait."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with folder.with_suffix(".lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            folder.mkdir()
            make(folder)
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, digits_dir: Path) -> Campaign:
    """A campaign of real trainings, for looking only: two submissions of 4 runs each are done, 4 more were never submitted."""

    def make(folder: Path) -> None:
        (folder / "grid.yaml").write_text(GRID.replace("repeats: 2", "repeats: 3"))
        for _ in range(2):
            done = commands.submit(folder / "grid.yaml", folder / "campaign", digits_dir, "--limit", 4)
            assert done.returncode == 0, done.stderr

    return Campaign(made_once(tmp_path_factory, "finished", make) / "campaign")
