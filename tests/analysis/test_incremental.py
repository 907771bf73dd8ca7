"""Merging what is new gives what merging everything gives, and reads nothing that did not change."""

import os
import random
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from analysis.merge import Merged, merge
from analysis.store import RECORDED
from jobs.campaign import Campaign
from jobs.image import Record
from jobs.manifest import read_header, write_manifest
from jobs.shard import ShardWriter
from noisy.runs import Runs
from tests.calls import n_calls
from tests.records import ATTRIBUTES, failure, record, write_shard
from tests.specs import spec

RUNS = [spec(repeat=repeat, p=p) for repeat in range(4) for p in (0.0, 0.5)]


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    made = Campaign(tmp_path)
    write_manifest(made.manifest, Runs.of(RUNS), "abc", campaign="c0ffee")
    return made


def merged_of(campaign: Campaign, store: str = "results.h5", **options: bool) -> Merged:
    return merge(campaign, campaign.folder / store, **options)


def contents(store: Path) -> dict[str, Any]:
    """Everything in a results.h5, in a form that compares."""
    with h5py.File(store) as file:
        arrays = [dataset for dataset in file.values() if isinstance(dataset, h5py.Dataset)]
        columns = {array.name: repr((array.dtype, array[()].tolist(), dict(array.attrs.items()))) for array in arrays}
        return columns | dict(file.attrs) | {"recorded": file[RECORDED][()].tolist()}


def assert_as_from_nothing(campaign: Campaign, **options: bool) -> None:
    merged = merged_of(campaign, **options)
    whole = merged_of(campaign, "whole.h5")
    pd.testing.assert_frame_equal(merged.runs, whole.runs)
    assert (merged.problems, merged.notes) == (whole.problems, whole.notes)
    assert contents(campaign.folder / "results.h5") == contents(campaign.folder / "whole.h5")
    (campaign.folder / "whole.h5").unlink()


def any_record(chance: random.Random) -> Record:
    """A record of any run, even one not in the grid. One in four failed; one in eight disagrees with all others."""
    run = chance.choice([*RUNS, spec(repeat=99)])
    if chance.random() < 0.25:
        return failure(run, f"ValueError: {chance.random()}")
    status = chance.choice(["ok", "chance", "diverged"])
    return record(run, chance.randrange(300) if chance.random() < 0.125 else 300, status)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_whatever_comes_in_whatever_order(campaign: Campaign, seed: int) -> None:
    """New shards with names before and after the known ones, shards that grow, damaged and foreign files.

    What is wrong once stays in the file, to which the next merge adds, so not every merge is compared.
    """
    chance = random.Random(seed)
    growing: list[ShardWriter] = []
    tasks = chance.sample(range(100), 8)
    for step, task in enumerate(tasks):
        kind = chance.random()
        if kind < 0.15:
            campaign.shards.mkdir(exist_ok=True)
            (campaign.shards / f"0001-{task:05d}-0-aaaaaa-p00.h5").write_bytes(b"damaged")
        elif kind < 0.3:
            write_shard(campaign.shards, task, [any_record(chance)], campaign="another")
        else:
            campaign.shards.mkdir(exist_ok=True)
            growing.append(ShardWriter(campaign.shards, 1, task, 0, ATTRIBUTES | {"host": f"node{task}"}))
            growing[-1].begin("")
        for writer in chance.sample(growing, min(len(growing), 3)):
            writer.append(any_record(chance))
        if step % 2:
            assert_as_from_nothing(campaign)
        else:
            merged_of(campaign)


def test_an_unchanged_shard_is_not_read_again(campaign: Campaign) -> None:
    write_shard(campaign.shards, 1, [record(RUNS[0], 5)])
    first = merged_of(campaign)
    (path,) = campaign.shard_paths()
    stat = path.stat()
    path.write_bytes(b"?" * stat.st_size)  # the same inode and size,
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # and time: whoever reads it finds no shard
    write_shard(campaign.shards, 2, [record(RUNS[1], 6)])
    second = merged_of(campaign)
    assert first.problems == second.problems == []
    assert list(second.runs["n_correct"][:2]) == [5, 6]
    os.utime(path)
    assert "not readable as a shard" in merged_of(campaign, accept_fewer=True).problems[0]


def test_nothing_new_writes_nothing(campaign: Campaign) -> None:
    write_shard(campaign.shards, 1, [record(RUNS[0])])
    merged_of(campaign)
    before = (campaign.folder / "results.h5").stat()
    merged_of(campaign)
    assert (campaign.folder / "results.h5").stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.slow
@pytest.mark.parametrize("change", ["a shard is removed", "a shard is shorter", "the grid grows", "the store is damaged"])
def test_what_cannot_be_added_to_is_made_anew(campaign: Campaign, change: str) -> None:
    write_shard(campaign.shards, 1, [record(RUNS[0]), record(RUNS[1])])
    write_shard(campaign.shards, 2, [record(RUNS[2])])
    merged_of(campaign)
    first, _ = campaign.shard_paths()
    if change == "a shard is removed":
        first.unlink()
    elif change == "a shard is shorter":
        first.unlink()
        write_shard(campaign.shards, 1, [record(RUNS[1])])
        campaign.shard_paths()[0].rename(first)
    elif change == "the grid grows":
        write_manifest(campaign.manifest, Runs.of([*RUNS, spec(repeat=9)]), "abc", read_header(campaign.manifest))
    else:
        (campaign.folder / "results.h5").write_bytes(b"damaged")
    assert_as_from_nothing(campaign, accept_fewer=True)


def unmerged(folder: Path, n_shards: int) -> Campaign:
    """A campaign with `n` unmerged shards of 10 records each."""
    made = Campaign(folder / str(n_shards))
    made.shards.mkdir(parents=True)
    runs = [spec(repeat=i) for i in range(10 * n_shards)]
    write_manifest(made.manifest, Runs.of(runs), "abc", campaign="c0ffee")
    for i in range(n_shards):
        ShardWriter(made.shards, 1, i, 0, ATTRIBUTES)._publish([record(run) for run in runs[10 * i : 10 * i + 10]], "")
    return made


@pytest.mark.slow
def test_the_work_is_linear_in_the_number_of_shards(tmp_path: Path) -> None:
    """Twice as many more shards make twice as much more work; four times as much if it were quadratic."""
    merged_of(unmerged(tmp_path, 1))  # what is done once in a process
    campaigns = [unmerged(tmp_path, n_shards) for n_shards in (5, 10, 20)]
    small, middle, large = (n_calls(lambda made=made: merged_of(made)) for made in campaigns)
    assert large - middle < 2.1 * (middle - small)


def test_xarray_and_pandas_open_it(campaign: Campaign) -> None:
    write_shard(campaign.shards, 1, [record(run, 100 + i) for i, run in enumerate(RUNS)])
    merged = merged_of(campaign)
    with xr.open_dataset(campaign.folder / "results.h5", engine="h5netcdf") as found:
        assert dict(found.sizes) == {"run": len(RUNS), "epoch": 2, "byte": 45}
        assert found["history_test_loss"].dims == ("run", "epoch")
        assert found["cpu_s"].attrs["units"] == "s"
        assert list(found["epoch"].values) == [1, 2]
        half = found.where(found["p"] == 0.5, drop=True)
        assert list(half["run_id"].values) == [run.run_id for run in RUNS if run.p == 0.5]
        table = found[["activation", "p", "status", "host", "n_correct"]].to_dataframe()
    assert list(table["n_correct"]) == list(merged.runs["n_correct"])
    assert set(table["activation"]) == {"relu"} and set(table["host"]) == {"node1"}
    assert np.array_equal(table.index, np.arange(len(RUNS)))
