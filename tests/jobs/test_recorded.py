"""The one reading of shards: which record counts, which run was in training, and what is remembered between commands."""

import io
import os
from pathlib import Path

import numpy as np
import pytest

from jobs.campaign import Campaign
from jobs.image import sealed
from jobs.recorded import RECORD, Recorded, read_recorded
from jobs.shard import Shard, ShardWriter
from tests.records import ATTRIBUTES, failure, record, write_shard
from tests.specs import spec

RUNS = [spec(repeat=repeat) for repeat in range(6)]
IDS = [run.run_id for run in RUNS]
ITS_ID = ATTRIBUTES["campaign"]


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    """Six tasks: some runs have two records, some records are failures; of one file nothing can be used."""
    made = Campaign(tmp_path)
    write_shard(made.shards, 0, [failure(RUNS[0], "näh"), record(RUNS[1], 100)])
    write_shard(made.shards, 1, [])
    write_shard(made.shards, 2, [record(RUNS[1], 200), record(RUNS[0], 300, "diverged"), failure(RUNS[2], "first")])
    write_shard(made.shards, 3, [record(RUNS[3])], campaign="another")
    write_shard(made.shards, 4, [failure(RUNS[2], "second"), record(RUNS[4], 50, "chance")])
    (made.shards / "0001-00005-0-abcdef-p00.h5").write_bytes(b"damaged")
    return made


def read(campaign: Campaign, before: Recorded | None = None) -> tuple[Recorded, list[str]]:
    """What the shards say, and the names of those that were read."""
    seen: list[Shard] = []
    found = (before or Recorded(ITS_ID)).updated(campaign.shard_paths(), seen.append)
    return found, [shard.path.name[:10] for shard in seen]


def test_records_are_those_of_all_shards_of_the_campaign(campaign: Campaign) -> None:
    found, _ = read(campaign)
    assert found.records.dtype == RECORD
    assert found.records["run_id"].astype(str).tolist() == [IDS[i] for i in (0, 1, 1, 0, 2, 2, 4)]
    assert found.records["n_correct"].tolist() == [0, 100, 200, 300, 0, 0, 50]
    assert found.is_finished.tolist() == [False, True, True, True, False, False, True]
    assert found.task.tolist() == [[1, 0]] * 2 + [[1, 2]] * 3 + [[1, 4]] * 2
    assert found.source.tolist() == [0, 0, 2, 2, 2, 4, 4]
    assert [found.message(i) for i in range(7)] == ["näh", "", "", "", "first", "second", ""]
    assert len(found.problems) == 2
    assert "of campaign another, not of c0ffee, which manifest.jsonl names; left out" in found.problems[0]
    assert "0001-00005-0-abcdef-p00.h5: not readable as a shard" in found.problems[1]
    assert len(Recorded("").updated(campaign.shard_paths()).records) == 8


def test_finished_beats_failed_and_among_equals_the_first_counts(campaign: Campaign) -> None:
    assert read(campaign)[0].counting.tolist() == [1, 3, 4, 6]


def test_no_shards_are_no_records() -> None:
    nothing = Recorded(ITS_ID)
    arrays = (nothing.records, nothing.source, nothing.is_finished, nothing.task, nothing.counting)
    assert [len(array) for array in arrays] == [0] * 5
    assert (nothing.at_hand, nothing.problems) == ({}, [])


def test_a_damaged_record_is_a_problem_and_the_others_are_used(campaign: Campaign) -> None:
    path = campaign.shard_paths("0001-00002-")[0]
    content = bytearray(path.read_bytes())
    content[content.index(IDS[1].encode())] ^= 1
    path.write_bytes(content)
    found, _ = read(campaign)
    assert found.records["run_id"].astype(str).tolist() == [IDS[i] for i in (0, 1, 0, 2, 2, 4)]
    assert found.problems[0].startswith(f"{path}: the record of run ")


@pytest.mark.slow
def test_the_run_in_training_is_that_of_the_last_attempt(tmp_path: Path) -> None:
    for task, attempt, run_id in [(0, 10, IDS[0]), (0, 2, IDS[1]), (1, 0, IDS[2]), (1, 1, "")]:
        ShardWriter(tmp_path, 1, task, attempt, ATTRIBUTES).begin(run_id)
    grown = ShardWriter(tmp_path, 2, 0, 0, ATTRIBUTES)
    grown._records = [record(spec(repeat=repeat)) for repeat in range(255)]  # not written 255 times
    grown.append(record(spec(repeat=255)), current_run="first of part 1")
    grown.begin("second of part 1")
    (tmp_path / "0001-00001-2-abcdef-p00.h5").write_bytes(b"damaged")
    found = Recorded(ITS_ID).updated(sorted(tmp_path.iterdir()))
    assert found.at_hand == {(1, 0): IDS[0], (1, 1): "", (2, 0): "second of part 1"}
    ShardWriter(tmp_path, 2, 0, 1, ATTRIBUTES).begin("first of attempt 1")
    assert found.updated(sorted(tmp_path.iterdir())).at_hand[2, 0] == "first of attempt 1"


def test_only_what_changed_is_read_again(campaign: Campaign) -> None:
    first, names = read(campaign)
    assert names == ["0001-00000", "0001-00001", "0001-00002", "0001-00004"]
    same, names = read(campaign, first)
    assert names == []
    assert same.records.tobytes() == first.records.tobytes()
    campaign.shard_paths("0001-00002-")[0].unlink()
    changed = campaign.shard_paths("0001-00001-")[0]
    os.utime(changed, ns=(0, 0))
    write_shard(campaign.shards, 6, [record(RUNS[5])])
    found, names = read(campaign, same)
    assert names == ["0001-00001", "0001-00006"]
    assert found.records["run_id"].astype(str).tolist() == [IDS[i] for i in (0, 1, 2, 4, 5)]
    assert found.campaign == ITS_ID


def test_a_file_that_could_not_be_used_is_looked_at_again(campaign: Campaign) -> None:
    """It may have been a moment's error of the file system, of which the file knows nothing."""
    path = campaign.shard_paths("0001-00004-")[0]
    whole, times_ns = path.read_bytes(), (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    found = Recorded(ITS_ID)
    for content, n_records in ((b"x" * len(whole), 5), (whole, 7)):
        with path.open("r+b") as file:
            file.write(content)
        os.utime(path, ns=times_ns)
        found, _ = read(campaign, found)
        assert len(found.records) == n_records


def test_bytes_give_the_same_back(campaign: Campaign) -> None:
    found, _ = read(campaign)
    again = Recorded.from_bytes(ITS_ID, found.to_bytes())
    assert again.records.tobytes() == found.records.tobytes()
    assert again.counting.tolist() == found.counting.tolist()
    assert (again.at_hand, again.problems) == (found.at_hand, found.problems)
    assert [again.message(i) for i in range(7)] == [found.message(i) for i in range(7)]
    assert [(s.name, s.version, s.attributes) for s in again.sources] == [
        (s.name, s.version, s.attributes) for s in found.sources
    ]
    assert read(campaign, again)[1] == []
    assert Recorded.from_bytes(ITS_ID, Recorded(ITS_ID).to_bytes()).sources == ()


def test_bytes_that_are_damaged_or_of_others_give_nothing(campaign: Campaign) -> None:
    content = read(campaign)[0].to_bytes()
    with np.load(io.BytesIO(content)) as saved:
        arrays = dict(saved)
    others = []
    for change in ({"schema": 2}, {"records": arrays["records"][["run_id", "status"]]}):
        memory = io.BytesIO()
        np.savez(memory, **{**arrays, **change})
        others.append(sealed(memory))
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    assert Recorded.from_bytes(ITS_ID, content).sources
    assert not Recorded.from_bytes("another", content).sources
    for wrong in (b"", b"text", content[:-1], bytes(flipped), *others):
        assert not Recorded.from_bytes(ITS_ID, wrong).sources


@pytest.mark.slow
def test_what_was_read_is_remembered_from_50_files_on(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path)
    for task in range(49):
        write_shard(campaign.shards, task, [record(spec(repeat=task))])
    assert len(read_recorded(campaign, ITS_ID).records) == 49
    assert not campaign.remembered.exists()
    write_shard(campaign.shards, 49, [record(spec(repeat=49))])
    assert len(read_recorded(campaign, ITS_ID).records) == 50
    assert campaign.remembered.exists()
    for path in campaign.shard_paths("0001-0000"):  # ten files that only a reader would notice
        status = path.stat()
        path.write_bytes(bytes(status.st_size))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    write_shard(campaign.shards, 50, [record(spec(repeat=50))])
    assert len(read_recorded(campaign, ITS_ID).records) == 51
    assert read_recorded(campaign, "another").records.tolist() == []
    campaign.remembered.unlink()
    assert len(read_recorded(campaign, ITS_ID).records) == 41


@pytest.mark.slow
def test_a_campaign_that_cannot_be_written_can_be_read(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path)
    for task in range(50):
        write_shard(campaign.shards, task, [record(spec(repeat=task))])
    campaign.remembered.mkdir()  # neither read nor replaced, also by root
    assert len(read_recorded(campaign, ITS_ID).records) == 50
    assert sorted(path.name for path in tmp_path.iterdir()) == [".recorded", "shards"]
