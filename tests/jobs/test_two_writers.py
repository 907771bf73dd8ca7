"""A zombie and its successor: two processes append to one task's attempt at once. Nothing is lost, each run counts once.

HAMMER_S=60 python -m pytest -s tests/jobs/test_two_writers.py
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from analysis.merge import merge
from jobs.campaign import Campaign
from jobs.manifest import write_manifest
from jobs.shard import read_shards
from noisy.runs import Runs
from tests import commands
from tests.specs import spec

HAMMER_S = float(os.environ.get("HAMMER_S", "0.3"))
N_SAME = 150  # runs that both do; after them, each has its own
WRITER = f"""
import os, sys, time
from pathlib import Path
from jobs.shard import ShardWriter
from tests.records import ATTRIBUTES, record
from tests.specs import spec
folder, campaign, own = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
writer = ShardWriter(folder, 1, 0, 0, {{**ATTRIBUTES, "campaign": campaign, "host": f"node{{own}}"}})
print("ready", flush=True)
sys.stdin.readline()
end_s = time.monotonic() + {HAMMER_S}
writer.begin("")
n = 0
while time.monotonic() < end_s or n <= {N_SAME}:
    run = spec(repeat=n if n < {N_SAME} else 2 * n + own)
    writer.append(record(run, run.repeat % 355))
    print(run.repeat, flush=True)  # acknowledged
    n += 1
"""


@pytest.mark.slow
def test_a_zombie_and_its_successor_hammer(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path)
    campaign.shards.mkdir()
    command = [sys.executable, "-c", WRITER, campaign.shards, "c0ffee"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": commands.ROOT}
    writers = [subprocess.Popen([*command, str(own)], **pipes) for own in (0, 1)]
    assert [writer.stdout.readline() for writer in writers] == ["ready\n"] * 2
    for writer in writers:
        writer.stdin.write("\n")
        writer.stdin.flush()
    n_reads = 0
    while any(writer.poll() is None for writer in writers) and n_reads < 3:  # in the middle of it, nothing looks damaged
        assert not [shard for shard in read_shards(campaign.shard_paths(), "c0ffee") if isinstance(shard, str)]
        n_reads += 1
    acknowledged = [[int(line) for line in writer.communicate()[0].split()] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    assert all(repeats[:N_SAME] == list(range(N_SAME)) and len(repeats) > N_SAME for repeats in acknowledged)

    runs = {repeat: spec(repeat=repeat) for repeat in sorted({*acknowledged[0], *acknowledged[1]})}
    write_manifest(campaign.manifest, Runs.of(runs.values()), "abc", campaign="c0ffee")
    merged = merge(campaign, campaign.folder / "results.h5")
    assert merged.problems == []
    assert list(merged.runs["repeat"]) == list(runs)  # all that was acknowledged, each once
    np.testing.assert_array_equal(merged.runs["n_correct"], np.array(list(runs)) % 355)
    assert f"records of runs that were executed again: {N_SAME}; each run counts once" in merged.notes
    n_records = sum(map(len, acknowledged))
    print(f"{HAMMER_S:g} s: {n_records} records in {len(campaign.shard_paths())} shards, {len(runs)} runs, 0 lost, each once")
