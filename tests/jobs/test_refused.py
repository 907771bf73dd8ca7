"""A disk that refuses: what was kept stays, the task's exit status says so, no run is blamed, the next submit carries on."""

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from analysis.merge import merge
from jobs.campaign import Campaign
from jobs.taskfile import task_places
from jobs.worker import NOT_KEPT_STATUS, execute_or_exit
from tests import commands
from tests.campaigns import GRID, done


@contextmanager
def limited(most_bytes: int) -> Iterator[None]:
    """In this block no file may grow beyond a size, also in the processes that are started."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.slow
def test_a_refused_campaign_keeps_what_it_has_blames_no_run_and_the_rest_is_to_run(tmp_path: Path, digits_dir: Path) -> None:
    """A real refusal: the kernel's limit of a file's size (Python ignores SIGXFSZ)."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    (tmp_path / "grid.yaml").write_text(GRID)
    out = tmp_path / "campaign"
    submit = commands.submit_command(tmp_path / "grid.yaml", out, digits_dir)

    with limited(11_000):  # room for a few records of a shard
        refused = commands.call(*submit)
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

    with limited(5_000), pytest.raises(SystemExit) as ended:
        execute_or_exit(task_places(Campaign(out), 1)[0], 7)
    assert ended.value.code == NOT_KEPT_STATUS
    assert done(out) == kept

    state = json.loads(commands.call("hpc.status", "--output-dir", out, "--json").stdout)
    assert (state["done"], state["lost"], state["failed"], state["given_up"]) == (len(done(out)), 8 - len(done(out)), 0, 0)
    assert not [path for path in Campaign(out).shards.iterdir() if path.name.startswith(".")], "left beside"

    planned = commands.call(*submit, "--dry-run")
    assert f"{8 - len(kept)} to run; {len(kept)} of the grid's 8 are done" in planned.stdout
    assert merge(Campaign(out), out / "results.h5").problems == []
