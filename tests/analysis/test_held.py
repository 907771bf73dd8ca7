"""A report never replaces results by fewer without being asked, and no damage of results.h5 changes a number.

FLIPS=1500 python -m pytest tests/analysis/test_held.py
"""

import os
import random
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.held import Refused, _is_kept
from analysis.merge import Merged, merge
from jobs.campaign import Campaign
from jobs.manifest import read_header, write_manifest
from jobs.recorded import RECORD, Recorded, Source
from noisy.runs import Runs
from tests.records import failure, record, write_shard
from tests.specs import spec

RUNS = [spec(repeat=repeat, p=p) for p in (0.0, 0.5) for repeat in range(3)]
FLIPS = int(os.environ.get("FLIPS", "10"))


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    """Six runs in three shards, merged: the results are a results.h5 and the table that a report writes."""
    made = Campaign(tmp_path / "campaign")
    made.folder.mkdir()
    write_manifest(made.manifest, Runs.of(RUNS), "abc", campaign="c0ffee")
    for task in range(3):
        write_shard(made.shards, task, [record(run, 300 - run.repeat) for run in RUNS[2 * task : 2 * task + 2]])
    csv_of(merged(made)).to_csv(made.folder / "results_per_run.csv", index=False)
    return made


def merged(campaign: Campaign, **options: bool) -> Merged:
    return merge(campaign, campaign.folder / "results.h5", **options)


def csv_of(result: Merged) -> pd.DataFrame:
    return result.runs[result.runs["status"] != "missing"]


def tree(folder: Path) -> dict[str, object]:
    """Everything below a folder: content and time of each file."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


def shards_gone(campaign: Campaign, n: int) -> None:
    for path in campaign.shard_paths()[:n]:
        path.unlink()


def folder_instead(campaign: Campaign, make: Callable[[Path], object]) -> None:
    campaign.shards.rename(campaign.folder / "elsewhere")
    make(campaign.shards)


def only_a_failure_left(campaign: Campaign) -> None:
    shards_gone(campaign, 1)
    write_shard(campaign.shards, 9, [failure(run) for run in RUNS[:2]])


def smaller_grid(campaign: Campaign) -> None:
    """Half of the runs are no longer planned, and their shards are gone."""
    write_manifest(campaign.manifest, Runs.of(RUNS[3:]), "abc", read_header(campaign.manifest))
    shards_gone(campaign, 1)


def another_campaign(campaign: Campaign) -> None:
    campaign.manifest.unlink()
    write_manifest(campaign.manifest, Runs.of(RUNS), "abc", campaign="decaf")


LOSSES: dict[str, tuple[Callable[[Campaign], object], int]] = {  # how the records of so many runs go
    "all shards": (lambda campaign: shards_gone(campaign, 3), 6),
    "one shard": (lambda campaign: shards_gone(campaign, 1), 2),
    "the folder of shards": (lambda campaign: folder_instead(campaign, lambda path: None), 6),
    "a file system that is not mounted": (lambda campaign: folder_instead(campaign, Path.mkdir), 6),
    "a damaged shard": (lambda campaign: campaign.shard_paths()[0].write_bytes(b"damaged"), 2),
    "finished records, failures stay": (only_a_failure_left, 2),
    "a shard of runs that are planned no more": (smaller_grid, 2),
    "another campaign": (another_campaign, 6),
}


WITHOUT_STORE = ["the CSV, results.h5 removed", "the CSV, results.h5 damaged"]
SEEN = [(what, seen_in) for i, what in enumerate(LOSSES) for seen_in in ("results.h5", WITHOUT_STORE[i % 2])]


@pytest.mark.parametrize(("what", "are_seen_in"), SEEN)
def test_results_are_not_replaced_by_fewer(campaign: Campaign, what: str, are_seen_in: str) -> None:
    lose, n_lost = LOSSES[what]
    lose(campaign)
    store = campaign.folder / "results.h5"
    if "removed" in are_seen_in:
        store.unlink()
    elif "damaged" in are_seen_in:
        store.write_bytes(b"damaged")
    before = tree(campaign.folder)
    with pytest.raises(Refused) as refused:
        merged(campaign)
    name = "results.h5" if are_seen_in == "results.h5" else "results_per_run.csv"
    assert f"{name}: {n_lost} of its 6 runs can no longer be read from the shards; nothing was written" in str(refused.value)
    assert f"{campaign.shards}/0001-00000-0-" in str(refused.value) and "--accept-fewer" in str(refused.value)
    assert tree(campaign.folder) == before
    merged(campaign, accept_fewer=True)
    merged(campaign)  # what was accepted is not asked again


@pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to("nowhere")], ids=["a file", "a broken link"])
def test_a_folder_of_shards_that_cannot_be_read_is_named(campaign: Campaign, make: Callable[[Path], object]) -> None:
    folder_instead(campaign, make)
    before = tree(campaign.folder)
    with pytest.raises(Refused, match=f"^{campaign.shards}: cannot be read"):
        merged(campaign, accept_fewer=True)
    assert tree(campaign.folder) == before


def test_old_results_that_cannot_be_compared_are_kept(campaign: Campaign) -> None:
    (campaign.folder / "results.h5").write_bytes(b"damaged")
    (campaign.folder / "results_per_run.csv").write_text("run;status\n")
    with pytest.raises(Refused, match="so a new report may lose runs"):
        merged(campaign)
    assert len(csv_of(merged(campaign, accept_fewer=True))) == 6


def test_runs_that_are_planned_no_more_leave_while_their_shards_are_there(campaign: Campaign) -> None:
    write_manifest(campaign.manifest, Runs.of(RUNS[3:]), "abc", read_header(campaign.manifest))
    result = merged(campaign)
    assert list(csv_of(result)["run_id"]) == [run.run_id for run in RUNS[3:]]
    assert result.notes == ["records of runs that are no longer in the grid: 3; they stay in the shards and are left out here"]
    write_manifest(campaign.manifest, Runs.of(RUNS), "abc", read_header(campaign.manifest))
    assert len(csv_of(merged(campaign))) == 6


@pytest.mark.parametrize(
    ("before", "now", "is_kept"),
    [
        ("ok", "ok", True),
        ("ok", "chance", True),
        ("ok", "failed", False),
        ("ok", None, False),
        ("failed", "failed", True),
        ("failed", "diverged", True),
        ("failed", None, False),
    ],
)
def test_a_run_is_kept_if_its_record_says_no_less(before: str, now: str | None, is_kept: bool) -> None:
    records = np.zeros(1 if now else 0, RECORD)
    if now:
        records["run_id"], records["status"] = b"a", now.encode()
    found = Recorded("", (Source("file", (0, 0, 0), records),), records)
    assert list(_is_kept(pd.DataFrame({"run_id": ["a"], "status": [before]}), found)) == [is_kept]


@pytest.mark.slow
def test_no_flipped_bit_of_results_h5_changes_a_number(campaign: Campaign) -> None:
    """HDF5 does not hang or crash either, because it never sees the damaged file. The next report repairs the file."""
    store, chance = campaign.folder / "results.h5", random.Random(1)
    whole, expected = store.read_bytes(), csv_of(merged(campaign)).to_csv()
    for _ in range(FLIPS):
        damaged = bytearray(whole)
        damaged[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        store.write_bytes(damaged)
        assert csv_of(merged(campaign)).to_csv() == expected
        assert store.read_bytes() == whole


@pytest.mark.slow
@pytest.mark.parametrize("is_new", [True, False])
def test_a_full_disk_is_an_answer_and_harms_nothing(campaign: Campaign, is_new: bool) -> None:
    """HDF5 crashes if it cannot write. The kernel's limit on the size of files stands for the full disk."""
    store = campaign.folder / "results.h5"
    n_bytes = store.stat().st_size
    os.utime(campaign.shard_paths()[0])
    if is_new:
        store.unlink()
    before, statuses = tree(campaign.folder), []
    for most_bytes in range(0, n_bytes + 2 * 2**17, 30_000):
        pid = os.fork()
        if not pid:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
            status = 2
            try:
                merged(campaign)
                status = 0
            except OSError as error:
                status = 1 if error.filename == str(store) else 3
            finally:
                os._exit(status)
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        if statuses[-1]:
            assert tree(campaign.folder) == before
    n_refused = sum(statuses)
    assert statuses == [1] * n_refused + [0] * (len(statuses) - n_refused) and 0 < n_refused < len(statuses)
