"""A disk that refuses: what was kept stays, the task's exit status says so, no run is blamed, the next submit carries on."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.campaign import Campaign
from jobs.worker import NOT_KEPT_STATUS
from tests import commands
from tests.campaigns import GRID, done, each_run_once

LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
os.execv(sys.argv[2], sys.argv[2:])
"""
ATTEMPT_7 = "import sys; from jobs.worker import *; execute_or_exit(TaskPlace(sys.argv[1], 1, 0, 0), 7)"


def limited(most_bytes: int, *command: object) -> subprocess.CompletedProcess:
    """Run `python command` where no file may grow beyond a size."""
    whole = [sys.executable, "-c", LIMITED, str(most_bytes), sys.executable, *map(str, command)]
    return subprocess.run(whole, cwd=commands.ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL)


@pytest.mark.slow
def test_a_refused_campaign_keeps_what_it_has_blames_no_run_and_carries_on(tmp_path: Path, digits_dir: Path) -> None:
    """A real refusal: the kernel's limit of a file's size (Python ignores SIGXFSZ)."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    (tmp_path / "grid.yaml").write_text(GRID)
    out = tmp_path / "campaign"
    submit = commands.submit_command(tmp_path / "grid.yaml", out, digits_dir)

    refused = limited(11_000, "-m", *submit)  # room for a few records of a shard
    assert refused.returncode == 1
    assert (
        f"error: task 0 could not keep its results: error: results cannot be kept: {out}/shards/0001-00000-" in refused.stderr
    )
    assert (
        "-p00.h5: File too large; raise the limit on the size of a file (ulimit -f), then submit again (log: " in refused.stderr
    )
    assert "Traceback" not in refused.stderr
    kept = done(out)
    assert 0 < len(kept) < 8

    task = limited(5_000, "-c", ATTEMPT_7, out)
    assert task.returncode == NOT_KEPT_STATUS
    assert done(out) == kept

    state = json.loads(commands.call("hpc.status", "--output-dir", out, "--json").stdout)
    assert (state["done"], state["lost"], state["failed"], state["given_up"]) == (len(done(out)), 8 - len(done(out)), 0, 0)
    assert not [path for path in Campaign(out).shards.iterdir() if path.name.startswith(".")], "left beside"

    assert commands.call(*submit).returncode == 0
    assert kept <= done(out)
    each_run_once(out, 8)
