"""A task does what is missing of it, and keeps going when a run fails."""

from pathlib import Path

import pytest

from jobs.campaign import Campaign
from jobs.files import publish
from jobs.manifest import ManifestError
from jobs.shard import ShardWriter, read_shard
from jobs.task import ArrayTask
from jobs.taskfile import Task
from noisy.data import DataError
from noisy.processor import this_processor
from noisy.spec import Execution, RunSpec
from tests.records import ATTRIBUTES, record
from tests.specs import spec, texts

RUNS = tuple(spec(repeat=repeat) for repeat in range(3))
IMPOSSIBLE = spec(hidden_sizes=(2**31 - 1,))  # its weights would fill 6.7 TB: torch raises


def make(tmp_path: Path, data_dir: Path, runs: tuple[RunSpec, ...]) -> tuple[Campaign, ArrayTask]:
    campaign = Campaign(tmp_path)
    campaign.submission(1).mkdir(parents=True)
    campaign.shards.mkdir()
    publish(campaign.tasks(1), Task(0, "c0ffee", "abc", str(data_dir), Execution(), texts(*runs)).line())
    return campaign, ArrayTask(str(tmp_path), 1, 0, 0)


def recorded(campaign: Campaign) -> list[tuple[str, str]]:
    shards = [read_shard(path) for path in campaign.shard_paths()]
    return [(row["run_id"].decode(), row["status"].decode()) for shard in shards for row in shard.runs]


def test_runs_are_recorded_in_order(tmp_path: Path, digits_dir: Path) -> None:
    campaign, task = make(tmp_path, digits_dir, RUNS)
    task()
    assert recorded(campaign) == [(run.run_id, "ok") for run in RUNS]


def test_a_run_that_raises_does_not_stop_the_others(
    tmp_path: Path, digits_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    campaign, task = make(tmp_path, digits_dir, (RUNS[0], IMPOSSIBLE, RUNS[1]))
    task()
    assert recorded(campaign) == [(RUNS[0].run_id, "ok"), (IMPOSSIBLE.run_id, "failed"), (RUNS[1].run_id, "ok")]
    (path,) = campaign.shard_paths()
    message = read_shard(path).runs["message"][1].decode()
    assert "RuntimeError" in message
    assert "Traceback" in capfd.readouterr().err


def test_another_attempt_does_only_what_is_missing(tmp_path: Path, digits_dir: Path) -> None:
    campaign, task = make(tmp_path, digits_dir, RUNS)
    earlier = ShardWriter(campaign.shards, 1, 0, 0, ATTRIBUTES)
    earlier.append(record(RUNS[1]))
    ArrayTask(task.campaign_dir, 1, 0, 0, attempt=1)()
    assert recorded(campaign) == [(RUNS[1].run_id, "ok"), (RUNS[0].run_id, "ok"), (RUNS[2].run_id, "ok")]
    ArrayTask(task.campaign_dir, 1, 0, 0, attempt=2)()
    assert len(campaign.shard_paths()) == 2  # nothing left to do: nothing written


def test_the_run_that_killed_an_attempt_comes_last(tmp_path: Path, digits_dir: Path) -> None:
    campaign, task = make(tmp_path, digits_dir, RUNS)
    ShardWriter(campaign.shards, 1, 0, 0, ATTRIBUTES).start(current_run=RUNS[0].run_id)
    ArrayTask(task.campaign_dir, 1, 0, 0, attempt=1)()
    assert [run_id for run_id, _ in recorded(campaign)] == [run.run_id for run in (RUNS[1], RUNS[2], RUNS[0])]


def test_an_unreadable_earlier_shard_is_done_again(tmp_path: Path, digits_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    campaign, task = make(tmp_path, digits_dir, RUNS[:1])
    damaged = campaign.shards / "0001-00000-0-abcdef-p00.h5"
    damaged.write_bytes(b"damaged")
    task()
    damaged.unlink()
    assert recorded(campaign) == [(RUNS[0].run_id, "ok")]
    assert "its runs are done again" in capfd.readouterr().out


def test_where_a_result_comes_from_is_recorded(tmp_path: Path, digits_dir: Path) -> None:
    campaign, task = make(tmp_path, digits_dir, RUNS[:1])
    task()
    attributes = read_shard(campaign.shard_paths()[0]).attributes
    assert attributes["campaign"] == "c0ffee"
    assert "torch 2." in attributes["versions"]
    assert attributes["cpu_threads"] == 1
    assert attributes["device"] == "cpu"
    assert attributes["product_route"] == this_processor().product_route
    assert len(attributes["data_digest"]) == 16


def test_another_code_is_warned_of(tmp_path: Path, digits_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _, task = make(tmp_path, digits_dir, RUNS[:1])
    task()
    assert "the campaign's is abc" in capfd.readouterr().out


def test_missing_data_is_an_error_before_anything_is_written(tmp_path: Path) -> None:
    campaign, task = make(tmp_path, tmp_path / "nowhere", RUNS)
    with pytest.raises(DataError, match="Digits"):
        task()
    assert campaign.shard_paths() == []


def test_a_task_that_does_not_exist_is_an_error(tmp_path: Path, digits_dir: Path) -> None:
    _, task = make(tmp_path, digits_dir, RUNS)
    with pytest.raises(ManifestError, match=r"no task 1|where 1 should be"):
        ArrayTask(task.campaign_dir, 1, 1, 0)()
