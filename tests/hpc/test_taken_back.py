"""Shards that are gone: what results.h5 still has is said, and can be taken back without training."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.merge import merge
from hpc.request.grid import load_grid
from jobs.adopted import Results, only_in_results
from jobs.campaign import Campaign
from jobs.files import publish
from jobs.manifest import read_header, write_manifest
from jobs.recorded import Recorded
from tests import commands
from tests.campaigns import GRID
from tests.records import failure, record, write_shard
from tests.specs import runs, spec

RUNS = [spec(repeat=repeat) for repeat in range(6)]
ID = "c0ffee"


def reported(folder: Path) -> Campaign:
    """A campaign of 4 runs, of which 3 are done and 1 failed, with its results.h5."""
    campaign = Campaign(folder)
    write_manifest(campaign.manifest, runs(*RUNS[:4]), "abc", campaign=ID)
    write_shard(campaign.shards, 0, [record(run, 300 + run.repeat) for run in RUNS[:2]])
    write_shard(campaign.shards, 1, [record(RUNS[2], 302), failure(RUNS[3])])
    assert not merge(campaign, folder / "results.h5").problems
    return campaign


def in_shards(campaign: Campaign) -> Recorded:
    return Recorded(ID).updated(campaign.shard_paths())


def places_only_in_results(campaign: Campaign) -> list[int]:
    found = only_in_results(campaign, in_shards(campaign))
    return found[1].tolist() if found else []


def test_what_is_done_only_in_results_is_found(tmp_path: Path) -> None:
    campaign = reported(tmp_path)
    assert places_only_in_results(campaign) == []
    campaign.shard_paths()[0].unlink()
    assert places_only_in_results(campaign) == [0, 1]
    campaign.shard_paths()[0].unlink()
    assert places_only_in_results(campaign) == [0, 1, 2]  # the failed one is trained again
    store = tmp_path / "results.h5"
    content = bytearray(store.read_bytes())
    content[len(content) // 2] ^= 1
    store.write_bytes(content)
    assert places_only_in_results(campaign) == []


def test_records_find_their_runs_in_a_grid_that_has_changed_since(tmp_path: Path) -> None:
    campaign = reported(tmp_path)
    write_manifest(campaign.manifest, runs(RUNS[5], RUNS[2], RUNS[0], RUNS[3]), "abc", campaign=ID)
    results = Results.of(tmp_path)
    found = [one for origin in results.origins(results.finished()) for one in origin.records]
    assert {one.run_id: one.n_correct for one in found} == {RUNS[2].run_id: 302, RUNS[0].run_id: 300}
    for one in found:
        whole = record(next(run for run in RUNS if run.run_id == one.run_id), one.n_correct)
        assert (one.spec, one.correct.tobytes()) == (whole.spec, whole.correct.tobytes())
        np.testing.assert_array_equal(one.history, whole.history)


def test_a_merge_takes_what_only_results_has(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    campaign = reported(tmp_path / "a")
    publish(campaign.grid, b"dataset: digits\n")
    campaign.shard_paths()[0].unlink()
    answer = commands.call("analysis.merged", campaign.folder, "--into", tmp_path / "b")
    assert answer.returncode == 0, answer.stderr
    assert f"{campaign.folder}: 4 runs, 2 from its results.h5, since its shards no longer have them\n" in answer.stdout
    assert f"{tmp_path / 'b'}: 4 runs, 3 done\n" in answer.stdout


@pytest.fixture
def purged(tmp_path: Path, digits_dir: Path) -> Campaign:
    """A campaign of GRID whose 8 runs were done and reported. All its shards are gone."""
    campaign = Campaign(tmp_path / "purged")
    campaign.folder.mkdir()
    campaign.grid.write_text(GRID)
    planned = load_grid(campaign.grid, {}, digits_dir).runs()
    write_manifest(campaign.manifest, planned, "abc")
    header = read_header(campaign.manifest)
    write_shard(campaign.shards, 0, [record(run, 300) for run in planned], campaign=header.campaign)
    assert commands.call("analysis.report", "--no-figures", campaign.folder).returncode == 0
    os.unlink(campaign.shard_paths()[0])
    return campaign


def test_status_and_report_say_what_takes_it_back_and_that_does_it(purged: Campaign, digits_dir: Path) -> None:
    before = pd.read_csv(purged.folder / "results_per_run.csv").drop(columns="shard")
    refused = commands.call("analysis.report", "--no-figures", purged.folder)
    assert (refused.returncode, "take them over from results.h5" in refused.stderr) == (1, True)
    status = commands.call("hpc.status", purged.folder)
    assert "note: 8 runs whose records are gone from the shards are still in results.h5; " in status.stdout
    assert status.stdout.splitlines()[-1].endswith(f" --output-dir {purged.folder} --from {purged.folder}")
    planned = commands.submit(purged.grid, purged.folder, digits_dir, "--dry-run")
    assert "8 to run" in planned.stdout and f"; --from {purged.folder} takes them over, without training\n" in planned.stdout

    answer = commands.submit(purged.grid, purged.folder, digits_dir, "--from", purged.folder)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "Nothing to submit: 8 of 8 runs done." in answer.stdout
    assert commands.call("analysis.report", "--no-figures", purged.folder).returncode == 0
    after = pd.read_csv(purged.folder / "results_per_run.csv").drop(columns="shard")
    pd.testing.assert_frame_equal(before, after)
    assert "results.h5" not in commands.call("hpc.status", purged.folder).stdout


def test_the_next_command_names_no_grid_that_is_gone(purged: Campaign) -> None:
    purged.grid.unlink()
    following = commands.call("hpc.status", purged.folder).stdout.splitlines()[-1]
    assert f" --grid GRID.yaml --output-dir {purged.folder}" in following
    assert following.endswith(" (GRID.yaml: your own copy of the grid, since the campaign's is gone)")
