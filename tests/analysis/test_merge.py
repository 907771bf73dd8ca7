"""Merge: each run once; what cannot be trusted is named, never averaged away."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from analysis.merge import Merged, merge
from analysis.planned import MISSING
from jobs.campaign import Campaign
from jobs.manifest import ManifestError, read_header, write_manifest
from noisy.runs import Runs
from tests.records import failure, record, write_shard
from tests.specs import spec

RUNS = [spec(repeat=repeat, p=p) for repeat in range(3) for p in (0.0, 0.5)]


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    made = Campaign(tmp_path)
    write_manifest(made.manifest, Runs.of(RUNS), "abc")
    return made


def write(to: Campaign, task: int, records: list, **changes: str) -> None:
    write_shard(to.shards, task, records, **{"campaign": read_header(to.manifest).campaign, **changes})


def merged_of(campaign: Campaign) -> Merged:
    return merge(campaign, campaign.folder / "results.h5")


def recorded(merged: Merged) -> pd.DataFrame:
    return merged.runs[merged.runs["status"] != MISSING]


def accuracies(merged: Merged) -> dict[str, float]:
    runs = recorded(merged)
    return dict(zip(runs["run_id"], runs["n_correct"], strict=True))


def stored(campaign: Campaign, name: str) -> np.ndarray:
    with h5py.File(campaign.folder / "results.h5") as file:
        return file[name][()]


def test_each_run_is_a_row_in_the_order_of_the_manifest(campaign: Campaign) -> None:
    write(campaign, 1, [record(run, 100 + i) for i, run in enumerate(RUNS[3:], start=3)])
    write(campaign, 2, [record(run, 100 + i) for i, run in reversed(list(enumerate(RUNS[:3])))])
    merged = merged_of(campaign)
    assert list(merged.runs["run_id"]) == [run.run_id for run in RUNS]
    assert list(merged.runs["n_correct"]) == [100, 101, 102, 103, 104, 105]
    assert list(merged.runs["p"]) == [run.p for run in RUNS]
    assert set(merged.runs["hidden_sizes"]) == {"32"}
    assert merged.problems == merged.notes == []


def test_histories_and_bits_follow_their_runs(campaign: Campaign) -> None:
    write(campaign, 1, [record(RUNS[1], 20, history=np.full((3, 1), 1.0))])
    write(campaign, 2, [record(RUNS[0], 10, history=np.full((3, 2), 2.0)), record(spec(repeat=99, epochs=9))])
    merged_of(campaign)
    for name in ("train_loss", "test_loss", "test_accuracy"):
        history = stored(campaign, f"history_{name}")
        np.testing.assert_array_equal(history[:2], [[2.0, 2.0], [1.0, np.nan]])
        assert np.isnan(history[2:]).all()
    np.testing.assert_array_equal(np.unpackbits(stored(campaign, "correct"), axis=1).sum(axis=1), [10, 20, 0, 0, 0, 0])


def test_missing_runs_are_said_to_be_missing(campaign: Campaign) -> None:
    write(campaign, 1, [record(RUNS[2])])
    merged = merged_of(campaign)
    assert list(merged.runs["status"]) == [MISSING, MISSING, "ok", MISSING, MISSING, MISSING]
    assert list(merged.runs["run_id"]) == [run.run_id for run in RUNS]


def test_a_campaign_without_shards_is_missing_altogether(campaign: Campaign) -> None:
    assert set(merged_of(campaign).runs["status"]) == {MISSING}


def test_finished_beats_failed_in_any_order(campaign: Campaign) -> None:
    write(campaign, 1, [failure(RUNS[0]), record(RUNS[1], 7)])
    write(campaign, 2, [record(RUNS[0], 5), failure(RUNS[1])])
    write(campaign, 3, [failure(RUNS[2], "ValueError: no")])
    merged = merged_of(campaign)
    assert list(recorded(merged)["status"]) == ["ok", "ok", "failed"]
    assert accuracies(merged) == {RUNS[0].run_id: 5, RUNS[1].run_id: 7, RUNS[2].run_id: 0}
    assert merged.runs["message"].iloc[2] == "ValueError: no"


def test_equal_duplicates_count_once(campaign: Campaign) -> None:
    for task in (1, 2, 3):
        write(campaign, task, [record(RUNS[0], 5)])
    merged = merged_of(campaign)
    assert accuracies(merged) == {RUNS[0].run_id: 5}
    assert merged.problems == []
    assert merged.notes == ["records of runs that were executed again: 2; each run counts once"]


@pytest.mark.parametrize("what", ["n_correct", "history", "status"])
def test_disagreeing_duplicates_are_reported_and_the_first_counts(campaign: Campaign, what: str) -> None:
    other = {
        "n_correct": record(RUNS[0], 6),
        "history": record(RUNS[0], 5, history=np.zeros((3, 2))),
        "status": record(RUNS[0], 5, status="chance"),
    }[what]
    write(campaign, 2, [other], host="node2")
    write(campaign, 1, [record(RUNS[0], 5)])
    merged = merged_of(campaign)
    assert accuracies(merged) == {RUNS[0].run_id: 5}
    (problem,) = merged.problems
    assert RUNS[0].run_id in problem
    assert "0001-00001-0" in problem and "on node1" in problem
    assert "0001-00002-0" in problem and "on node2" in problem


@pytest.mark.parametrize(
    "difference",
    [{"cpu": "Another"}, {"device": "cuda"}, {"cpu_threads": 2}, {"versions": "torch 2"}],
    ids=lambda d: next(iter(d)),
)
def test_unlike_machines_may_disagree(campaign: Campaign, difference: dict) -> None:
    write(campaign, 1, [record(RUNS[0], 5)])
    write(campaign, 2, [record(RUNS[0], 6)], **difference)
    assert merged_of(campaign).problems == []


def test_runs_trained_together_may_differ_by_rounding(campaign: Campaign) -> None:
    write(campaign, 1, [record(RUNS[0], 5)], runs_together=4)
    write(campaign, 2, [record(RUNS[0], 6)], runs_together=4)
    write(campaign, 3, [record(RUNS[1], 5)], runs_together=1)
    write(campaign, 4, [record(RUNS[1], 6)])
    (problem,) = merged_of(campaign).problems
    assert RUNS[1].run_id in problem


def test_what_is_no_longer_in_the_grid_is_left_out_and_counted(campaign: Campaign) -> None:
    write(campaign, 1, [record(RUNS[0]), record(spec(repeat=99))])
    merged = merged_of(campaign)
    assert list(recorded(merged)["run_id"]) == [RUNS[0].run_id]
    assert merged.notes == ["records of runs that are no longer in the grid: 1; they stay in the shards and are left out here"]


def test_unreadable_foreign_and_damaged_shards_are_named_and_the_rest_is_used(campaign: Campaign) -> None:
    write(campaign, 1, [record(RUNS[0], 5)])
    write(campaign, 2, [record(RUNS[1], 6)], campaign="another")
    write(campaign, 3, [record(RUNS[2], 7), record(RUNS[3], 8)])
    third = campaign.shard_paths("0001-00003")[0]
    content = bytearray(third.read_bytes())
    content[content.index(RUNS[3].canonical_json().encode()) + 5] ^= 1
    third.write_bytes(content)
    (campaign.shards / "0001-00004-0-aaaaaa-p00.h5").write_bytes(b"")
    (campaign.shards / ".0001-00005-0-aaaaaa-p00.h5.tmp").write_bytes(b"being written")
    merged = merged_of(campaign)
    assert accuracies(merged) == {RUNS[0].run_id: 5, RUNS[2].run_id: 7}
    assert [problem.split(":")[0].rsplit("/", 1)[1][:10] for problem in merged.problems] == [
        "0001-00002",
        "0001-00003",
        "0001-00004",
    ]
    assert f"the record of run {RUNS[3].run_id} is damaged (crc32)" in merged.problems[1]


def test_mixed_code_is_noted_and_mixed_data_is_a_problem(campaign: Campaign) -> None:
    write(campaign, 1, [record(RUNS[0])])
    write(campaign, 2, [record(RUNS[1])], code_commit="def", data_digest="d2")
    merged = merged_of(campaign)
    assert merged.notes == ["the runs do not all have the same code_commit: abc, def"]
    assert "different data (digests d1, d2)" in merged.problems[0]


def test_an_edited_manifest_is_refused(campaign: Campaign) -> None:
    campaign.manifest.write_text(campaign.manifest.read_text().replace('"p":0.5', '"p":0.4'))
    with pytest.raises(ManifestError, match="line 3: the record was changed"):
        merged_of(campaign)
