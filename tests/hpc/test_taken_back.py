"""Shards that are gone: what results.h5 still has is said, and can be taken back without training."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.merge import merge
from hpc.api import Campaign as ApiCampaign
from hpc.request.grid import load_grid
from hpc.state.known import finished_by
from jobs.adopted import Results, only_in_results
from jobs.campaign import Campaign
from jobs.files import publish
from jobs.manifest import read_header, read_manifest, write_manifest
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
    found = only_in_results(campaign, finished_by(in_shards(campaign)))
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
    assert (
        f"{campaign.folder}: 4 runs; the records of 2 come from its results.h5, since its shards have lost them\n"
        in answer.stdout
    )
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
    command = f"noisy submit --grid {purged.grid} --output-dir {purged.folder} --from {purged.folder}"
    way = f"take 8 runs back from results.h5 with `{command}`"
    assert (refused.returncode, way in refused.stderr) == (1, True)
    status = commands.call("hpc.status", purged.folder)
    assert "note: the shards have lost the records of 8 runs, but results.h5 has them; " in status.stdout
    assert status.stdout.splitlines()[-1].endswith(f" --output-dir {purged.folder} --from {purged.folder}")
    planned = commands.submit(purged.grid, purged.folder, digits_dir, "--dry-run")
    assert (
        "8 to run" in planned.stdout and f"; add --from {purged.folder} to take them back without training\n" in planned.stdout
    )

    answer = commands.submit(purged.grid, purged.folder, digits_dir, "--from", purged.folder)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "Nothing to submit: 8 of 8 runs done." in answer.stdout
    assert commands.call("analysis.report", "--no-figures", purged.folder).returncode == 0
    after = pd.read_csv(purged.folder / "results_per_run.csv").drop(columns="shard")
    pd.testing.assert_frame_equal(before, after)


def test_a_shard_that_comes_back_after_that_counts_once(purged: Campaign, digits_dir: Path) -> None:
    planned = load_grid(purged.grid, {}, digits_dir).runs()
    assert commands.submit(purged.grid, purged.folder, digits_dir, "--from", purged.folder).returncode == 0
    write_shard(purged.shards, 0, [record(run, 300) for run in planned], campaign=read_header(purged.manifest).campaign)
    reported = commands.call("analysis.report", "--no-figures", purged.folder)
    assert (reported.returncode, "8 of 8 runs done" in reported.stdout) == (0, True)
    assert "executed again" not in reported.stdout
    assert json.loads(commands.call("hpc.status", purged.folder, "--json").stdout)["cpu_h"] == pytest.approx(8 * 1.5 / 3600)


def test_the_plan_counts_only_runs_of_the_grid(purged: Campaign, digits_dir: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    for change, said in ((("epochs: 1", "epochs: 2"), ""), (("[0.0, 0.5]", "[0.0]"), "lost the records of 4 runs")):
        other.write_text(GRID.replace(*change))
        planned = commands.submit(other, purged.folder, digits_dir, "--dry-run")
        assert (planned.returncode, "results.h5" in planned.stdout) == (0, bool(said)) and said in planned.stdout


def test_no_way_back_is_named_where_results_has_none(tmp_path: Path) -> None:
    campaign = reported(tmp_path)
    campaign.shard_paths()[1].unlink()
    write_shard(campaign.shards, 1, [record(RUNS[2], 302)])  # the record of the run that failed is lost
    refused = commands.call("analysis.report", "--no-figures", tmp_path)
    assert (refused.returncode, "1 of its 4 runs can no longer be read" in refused.stderr) == (1, True)
    assert "--from" not in refused.stderr


def test_records_that_a_redo_has_replaced_do_not_come_back(tmp_path: Path) -> None:
    campaign = reported(tmp_path)
    first = campaign.shard_paths()[0]
    assert Results.of(tmp_path).finished().tolist() == [0, 1, 2]
    campaign.replaced(2).mkdir(parents=True)
    shutil.move(first, campaign.replaced(2) / first.name)
    write_shard(campaign.shards, 2, [record(run, 200) for run in RUNS[:2]])
    assert Results.of(tmp_path).finished().tolist() == [2], "results.h5 is of the time before the redo"
    assert not merge(campaign, tmp_path / "results.h5").problems
    assert Results.of(tmp_path).finished().tolist() == [0, 1, 2]


def test_newer_shards_of_another_campaign_are_named(purged: Campaign, tmp_path: Path, digits_dir: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    planned = load_grid(purged.grid, {}, digits_dir).runs()
    smaller = Campaign(elsewhere)
    elsewhere.mkdir()
    write_manifest(smaller.manifest, planned, "abc", campaign=ID)
    write_shard(smaller.shards, 0, [record(planned.at(0))])
    merge(smaller, elsewhere / "results.h5")
    write_shard(smaller.shards, 1, [record(planned.at(place)) for place in range(1, 4)])
    answer = commands.submit(purged.grid, purged.folder, digits_dir, "--from", elsewhere, "--dry-run")
    assert f"its shards have 3 more finished runs; noisy report {elsewhere} brings them into results.h5\n" in answer.stdout
    assert "1 of its 1 finished run are in this grid" in answer.stdout


@pytest.mark.parametrize("damage", [b"", b"PK", b"x"])
def test_a_results_that_cannot_be_read_is_refused(damage: bytes, purged: Campaign, digits_dir: Path) -> None:
    (purged.folder / "results.h5").write_bytes(damage)
    answer = commands.submit(purged.grid, purged.folder, digits_dir, "--from", purged.folder)
    assert (answer.returncode, f"{purged.folder / 'results.h5'}: cannot be read" in answer.stderr) == (2, True)
    assert answer.stderr.endswith(f"noisy report {purged.folder} writes it, if the shards can be read\n")


def test_the_next_command_names_no_grid_that_is_gone(purged: Campaign) -> None:
    purged.grid.unlink()
    following = commands.call("hpc.status", purged.folder).stdout.splitlines()[-1]
    assert f" --grid GRID.yaml --output-dir {purged.folder}" in following
    assert following.endswith(" (GRID.yaml: your own copy of the grid, since the campaign's is gone)")
    run_id = read_manifest(purged.manifest).runs.ids()[0]
    explained = commands.call("hpc.explain", purged.folder, run_id).stdout
    assert "(GRID.yaml: your own copy" in " ".join(explained.split())
    with pytest.raises(Exception, match=r"GRID\.yaml: 1 problem"):
        ApiCampaign(purged.folder).plan()
