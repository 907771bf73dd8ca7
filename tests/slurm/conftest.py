"""A real Slurm for each test process, started once by tests/slurm/start; every test finds it idle."""

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import NODES, PORT, cancel_all, drain, sh, wait_for

HERE = Path(__file__).parent


@pytest.fixture(scope="session", autouse=True)
def no_slurm() -> None:
    """These tests need a Slurm."""


@pytest.fixture(scope="session")
def slurm() -> Iterator[Path]:
    """The cluster's folder: 4 nodes of 20 CPUs, MaxArraySize 101, partitions main (preemptible) and urgent."""
    place = {**os.environ, "SLURM_TEST_PORT": str(PORT), "SLURM_TEST_NODES": NODES}
    started = subprocess.run([HERE / "start"], env=place, stdout=subprocess.PIPE, text=True, check=True).stdout
    folder = Path(re.search(r"SLURM_TEST_DIR=(\S+)", started)[1])
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    try:
        yield folder
    finally:
        with contextlib.suppress(AssertionError, subprocess.CalledProcessError):
            cancel_all()
            drain(30)  # a task that a test stopped is ended by Slurm alone
        del os.environ["SLURM_CONF"]
        subprocess.run([HERE / "stop", folder], check=True)


@pytest.fixture(autouse=True)
def idle(slurm: Path) -> None:
    """No jobs, all nodes up."""
    cancel_all()
    sh(f"scontrol update nodename={NODES}[1-4] state=resume", check=False)
    wait_for(
        lambda: sh("squeue --noheader --all") == "" and sh("sinfo --noheader --format=%t --partition=main").split() == ["idle"]
    )


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    """The folder of a new campaign."""
    return tmp_path / "campaign"


@pytest.fixture
def no_accounting(slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's programs cannot reach the accounting."""
    text = (slurm / "slurm.conf").read_text()
    changed = text.replace("AccountingStorageType=accounting_storage/slurmdbd", "AccountingStorageType=accounting_storage/none")
    (tmp_path / "slurm.conf").write_text(changed)
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm.conf"))
