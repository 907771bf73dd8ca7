"""A real Slurm, started once by tests/slurm/start; every test finds it idle."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import sh, wait_for

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def slurm() -> Iterator[Path]:
    """The cluster's folder: 4 nodes of 20 CPUs, MaxArraySize 101, partitions main (preemptible) and urgent."""
    started = subprocess.run([HERE / "start"], stdout=subprocess.PIPE, text=True, check=True).stdout
    folder = Path(re.search(r"SLURM_TEST_DIR=(\S+)", started)[1])
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    try:
        yield folder
    finally:
        del os.environ["SLURM_CONF"]
        subprocess.run([HERE / "stop", folder], check=True)


@pytest.fixture(autouse=True)
def idle(slurm: Path) -> None:
    """No jobs, all nodes up."""
    sh("scancel --user=root")
    sh("scontrol update nodename=n[1-4] state=resume", check=False)
    wait_for(lambda: sh("squeue --noheader") == "" and sh("sinfo --noheader --format=%t --partition=main").split() == ["idle"])


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    """The folder of a new campaign."""
    return tmp_path / "campaign"
