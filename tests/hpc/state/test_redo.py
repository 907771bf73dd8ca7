"""A redo never changes the state of a run, and has a state of its own. Its records can take the place of the earlier ones."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hpc.execution.afterwards import used_by
from hpc.execution.choice import EXECUTORS
from hpc.execution.summary import part_of_summary, summary
from hpc.state.again import pairs
from hpc.state.replacing import ever_recorded, replace_records, shards_with
from hpc.state.runs import STATES, State, state, state_of_redo
from jobs.campaign import Campaign
from jobs.manifest import read_manifest
from jobs.recorded import Recorded
from jobs.shard import read_shard
from noisy.spec import RunSpec
from tests.records import failure, record
from tests.redos import ALL, RUNS, campaign_with_redo, submit, write
from tests.specs import runs


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    return campaign_with_redo(tmp_path / "campaign")


def look(campaign: Campaign) -> State:
    return state(campaign, "c0ffee", ALL, EXECUTORS)


def counts(found: State) -> dict[str, int]:
    return {name: n for name in STATES if (n := found.count(name))}


def test_a_redo_without_a_record_leaves_all_done_and_is_missing_itself(campaign: Campaign) -> None:
    found = look(campaign)
    assert (counts(found), len(found.to_submit(True)), found.activities) == ({"done": 6}, 0, {})
    own = state_of_redo(found, 2, ALL.take(slice(0, 5)))
    assert (counts(own), own.to_submit(False).tolist()) == ({"missing": 5}, [0, 1, 2, 3, 4])
    assert counts(state_of_redo(found, 0, ALL)) == {"missing": 6}, "a redo that has not begun"


def test_what_fails_in_a_redo_stays_done_and_is_given_up_by_the_redo_alone(campaign: Campaign) -> None:
    for task in range(3):
        write(campaign, 2, [failure(RUNS[0]), record(RUNS[1], 301)] if not task else [failure(RUNS[0])], task=task)
    found = look(campaign)
    assert (counts(found), found.is_given_up.any()) == ({"done": 6}, False)
    own = state_of_redo(found, 2, ALL.take(slice(0, 5)))
    assert counts(own) == {"done": 1, "failed": 1, "missing": 3}
    assert (own.to_submit(False).tolist(), own.to_submit(True).tolist()) == ([2, 3, 4], [0, 2, 3, 4])


def test_a_redo_at_work_is_shown_though_all_is_done(campaign: Campaign) -> None:
    submit(campaign, 3, RUNS[:4], redo=3, has_ended=False)
    write(campaign, 3, [record(RUNS[0])])
    found = look(campaign)
    assert (counts(found), [each.number for each in found.activities]) == ({"done": 6}, [3])
    assert found.under_redo.tolist() == [1, 2, 3]
    assert counts(state_of_redo(found, 3, ALL.take(slice(0, 4)))) == {"done": 1, "queued": 3}


def test_a_later_submission_goes_on_with_a_redo(campaign: Campaign) -> None:
    write(campaign, 2, [record(RUNS[0])])
    submit(campaign, 3, RUNS[1:5], redo=2)
    write(campaign, 3, [record(RUNS[1])])
    assert counts(state_of_redo(look(campaign), 2, ALL.take(slice(0, 5)))) == {"done": 2, "missing": 3}


def test_the_pairs_are_the_record_that_counted_and_the_new_one(campaign: Campaign) -> None:
    write(campaign, 2, [record(RUNS[0], 300), record(RUNS[1], 299), failure(RUNS[2])], host="node2")
    both = pairs(campaign, look(campaign).known, 2, ALL.run_id)
    assert [pair.run_id.decode() for pair in both] == [RUNS[0].run_id, RUNS[1].run_id]
    assert [pair.old.digest == pair.new.digest for pair in both] == [True, False]
    assert [(pair.old.accuracy, pair.new.accuracy) for pair in both] == [(300 / 355, 300 / 355), (301 / 355, 299 / 355)]
    assert {(pair.old.shard[:4], pair.new.shard[:4]) for pair in both} == {("0001", "0002")}
    assert {(pair.old.attributes["host"], pair.new.attributes["host"]) for pair in both} == {("node1", "node2")}


def test_replaced_records_are_kept_beside_and_the_others_stay(campaign: Campaign) -> None:
    first, second = campaign.shard_paths("0001")
    before = {path.name: path.read_bytes() for path in (first, second)}
    write(campaign, 2, [record(run, 200) for run in RUNS[:2] + RUNS[4:]])
    replaced = runs(*RUNS[:2], *RUNS[4:]).run_id

    def accuracies() -> list[int]:
        recorded = Recorded("c0ffee").updated(campaign.shard_paths())
        assert not recorded.problems
        rows = recorded.records[recorded.counting]
        return [int(rows["n_correct"][rows["run_id"] == run.run_id.encode()][0]) for run in RUNS]

    assert accuracies() == [300, 301, 302, 303, 310, 310]
    known = look(campaign).known
    sources = shards_with(known, 2, replaced)
    assert [source.name for source in sources] == [first.name, second.name]
    kept = [read_shard(first).record(i) for i in (2, 3)]
    attributes = read_shard(first).attributes
    assert replace_records(campaign, sources, 2, replaced) == 4
    assert accuracies() == [200, 200, 302, 303, 200, 200]
    assert {path.name: path.read_bytes() for path in campaign.replaced(2).iterdir()} == before
    assert not second.exists(), "it had no other records"
    left = read_shard(first)
    assert left.attributes == attributes
    for was, now in zip(kept, [left.record(0), left.record(1)], strict=True):
        assert replace(was, history=None, correct=None) == replace(now, history=None, correct=None)
        assert np.array_equal(was.history, now.history) and np.array_equal(was.correct, now.correct)
    assert shards_with(look(campaign).known, 2, replaced) == []
    write(campaign, 2, [record(RUNS[2], 200)], task=1)  # the same redo goes on with another run
    assert replace_records(campaign, shards_with(look(campaign).known, 2, ALL.run_id[2:3]), 2, ALL.run_id[2:3]) == 1
    assert accuracies() == [200, 200, 200, 303, 200, 200]
    assert {path.name: path.read_bytes() for path in campaign.replaced(2).iterdir()} == before, "each shard as it was first"


def test_what_replaced_records_used_still_counts_as_used(campaign: Campaign) -> None:
    def replaced(redo: int, some: list[RunSpec]) -> None:
        ids = runs(*some).run_id
        replace_records(campaign, shards_with(look(campaign).known, redo, ids), redo, ids)

    def used() -> dict[str, float]:
        sources = ever_recorded(campaign, look(campaign).recorded)
        assert len(sources) == len({source.name for source in sources})
        return {job: each.cpu_s for job, each in used_by(sources).items()}

    def cpu_h() -> tuple[float, float]:
        found = look(campaign)
        manifest = read_manifest(campaign.manifest)
        whole = summary(campaign, manifest, found, EXECUTORS, time.time())["cpu_h"]
        return whole * 3600, part_of_summary(campaign, manifest, found.part(np.array([0, 4])))["cpu_h"] * 3600

    assert used() == {"local-0001": 6 * 1.5}
    write(campaign, 2, [record(run, 200) for run in RUNS[:5]])
    replaced(2, RUNS[:2])  # a part of the first shard; then the rest of it, and a part of the second
    replaced(2, RUNS[:5])
    assert used() == {"local-0001": 6 * 1.5, "local-0002": 5 * 1.5}
    submit(campaign, 3, RUNS[:4], redo=3)
    write(campaign, 3, [record(run, 201) for run in RUNS[:4]])
    replaced(3, RUNS[:4])
    assert used() == {"local-0001": 6 * 1.5, "local-0002": 5 * 1.5, "local-0003": 4 * 1.5}
    assert cpu_h() == (pytest.approx(15 * 1.5), pytest.approx(5 * 1.5))
    (campaign.replaced(2) / "0009-00000-0-abc-p00.h5").write_bytes(b"no shard")
    assert sum(used().values()) == 15 * 1.5


def test_a_replacement_that_was_interrupted_goes_on(campaign: Campaign) -> None:
    first, second = campaign.shard_paths("0001")
    before = {path.name: path.read_bytes() for path in (first, second)}
    write(campaign, 2, [record(run, 200) for run in RUNS])
    sources = shards_with(look(campaign).known, 2, ALL.run_id)
    replace_records(campaign, sources[:1], 2, ALL.run_id)  # the first is done
    (campaign.replaced(2) / second.name).write_bytes(before[second.name])  # of the second there is the copy alone
    rest = shards_with(look(campaign).known, 2, ALL.run_id)
    assert [source.name for source in rest] == [second.name]
    assert replace_records(campaign, rest, 2, ALL.run_id) == 2
    assert {path.name: path.read_bytes() for path in campaign.replaced(2).iterdir()} == before
    assert campaign.shard_paths("0001") == []
    assert counts(look(campaign)) == {"done": 6}
