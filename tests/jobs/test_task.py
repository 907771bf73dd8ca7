"""A task does what is missing of it, and keeps going when a run fails. It names the run that it trains."""

from pathlib import Path

import pytest

from jobs.campaign import Campaign
from jobs.files import publish
from jobs.image import Record
from jobs.manifest import ManifestError
from jobs.provenance import code_commit
from jobs.shard import ShardWriter, read_shard
from jobs.shift import Shift
from jobs.task import execute_task
from jobs.taskfile import Task, task_places
from noisy.data import DataError
from noisy.processor import this_processor
from noisy.spec import Execution
from tests.records import ATTRIBUTES, failure, record, recorded, submitted
from tests.specs import runs, spec

RUNS = tuple(spec(repeat=repeat) for repeat in range(3))
IDS = [run.run_id for run in RUNS]
IMPOSSIBLE = spec(hidden_sizes=(2**31 - 1,))  # its weights would fill 6.7 TB: torch raises


def execute(campaign: Campaign, attempt: int = 0) -> None:
    """An attempt of the first task."""
    execute_task(task_places(campaign, 1)[0], attempt)


def earlier(campaign: Campaign, *records: Record, attempt: int = 0, at: str = "", campaign_id: str = "c0ffee") -> None:
    """What an attempt left that was killed while it trained `at`."""
    writer = ShardWriter(campaign.shards, 1, 0, attempt, ATTRIBUTES | {"campaign": campaign_id})
    for item in records:
        writer.append(item)
    writer.begin(at)


def test_runs_are_recorded_in_order(tmp_path: Path, digits_dir: Path) -> None:
    campaign = submitted(tmp_path / "c", digits_dir, RUNS)
    execute(campaign)
    assert recorded(campaign) == [(run_id, "ok") for run_id in IDS]
    (path,) = campaign.shard_paths()
    assert read_shard(path).attributes["current_run"] == ""


def test_a_run_that_raises_does_not_stop_the_others(
    tmp_path: Path, digits_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    campaign = submitted(tmp_path / "c", digits_dir, (RUNS[0], IMPOSSIBLE, RUNS[1]))
    execute(campaign)
    assert recorded(campaign) == [(IDS[0], "ok"), (IMPOSSIBLE.run_id, "failed"), (IDS[1], "ok")]
    (path,) = campaign.shard_paths()
    assert "RuntimeError" in read_shard(path).runs["message"][1].decode()
    assert "Traceback" in capfd.readouterr().out


def test_a_run_in_which_the_answer_to_a_warning_fails_has_not_failed(tmp_path: Path, digits_dir: Path) -> None:
    """The signal comes while a run trains, and `scontrol requeue` may fail, for example because Slurm was faster."""
    campaign, shift = submitted(tmp_path / "c", digits_dir, (RUNS[0], IMPOSSIBLE, RUNS[1])), Shift(is_warned=True)
    with pytest.raises(SystemExit):
        execute_task(task_places(campaign, 1)[0], 0, shift)
    assert recorded(campaign) == [(IDS[0], "ok")]


def test_another_attempt_does_only_what_is_missing(tmp_path: Path, digits_dir: Path) -> None:
    """A failed run has its record too: a new submission may try it again, not each attempt."""
    campaign = submitted(tmp_path / "c", digits_dir, RUNS)
    earlier(campaign, record(RUNS[1]), failure(RUNS[2]))
    execute(campaign, attempt=1)
    assert recorded(campaign) == [(IDS[1], "ok"), (IDS[2], "failed"), (IDS[0], "ok")]
    execute(campaign, attempt=2)
    assert len(campaign.shard_paths()) == 2  # nothing left to do: nothing written


def test_the_shards_of_others_do_not_count(tmp_path: Path, digits_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    campaign = submitted(tmp_path / "c", digits_dir, RUNS[:1], RUNS[1:])
    earlier(campaign, record(RUNS[0]), campaign_id="another")
    ShardWriter(campaign.shards, 1, 1, 0, ATTRIBUTES).append(record(RUNS[0]))
    execute(campaign, attempt=1)
    assert recorded(campaign, "0001-00000-1-") == [(IDS[0], "ok")]
    assert "of campaign another, not of c0ffee" in capfd.readouterr().out


def test_runs_that_killed_an_attempt_come_last(tmp_path: Path, digits_dir: Path) -> None:
    campaign = submitted(tmp_path / "c", digits_dir, RUNS)
    earlier(campaign, at=IDS[0])
    earlier(campaign, at=IDS[1], attempt=1)
    execute(campaign, attempt=2)
    assert [run_id for run_id, _ in recorded(campaign)] == [IDS[2], IDS[0], IDS[1]]


def test_an_unreadable_earlier_shard_is_done_again(tmp_path: Path, digits_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    campaign = submitted(tmp_path / "c", digits_dir, RUNS[:1])
    damaged = campaign.shards / "0001-00000-0-abcdef-p00.h5"
    damaged.write_bytes(b"damaged")
    execute(campaign, attempt=1)
    damaged.unlink()
    assert recorded(campaign) == [(IDS[0], "ok")]
    assert "runs without another record are done again" in capfd.readouterr().out


def test_where_a_result_comes_from_is_recorded(tmp_path: Path, digits_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    campaign = submitted(tmp_path / "c", digits_dir, RUNS[:1])
    execute(campaign)
    attributes = read_shard(campaign.shard_paths()[0]).attributes
    assert attributes["campaign"] == "c0ffee"
    assert "torch 2." in attributes["versions"]
    assert attributes["cpu_threads"] == 1
    assert attributes["device"] == "cpu"
    assert attributes["product_route"] == this_processor().product_route
    assert len(attributes["data_digest"]) == 16
    assert (attributes["code_commit"], attributes["submitted_commit"]) == (code_commit(), "abc")
    said = capfd.readouterr().out
    assert f"warning: this code is commit {code_commit()}; the task was submitted by commit abc\n" in said


def test_the_same_code_is_not_warned_of(tmp_path: Path, digits_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    campaign = submitted(tmp_path / "c", digits_dir, ())
    publish(campaign.tasks(1), Task(0, "c0ffee", code_commit(), str(digits_dir), Execution(), runs(RUNS[0])).line())
    execute(campaign)
    assert recorded(campaign) == [(IDS[0], "ok")]
    assert "warning" not in capfd.readouterr().out


def test_missing_data_is_an_error_before_anything_is_written(tmp_path: Path) -> None:
    campaign = submitted(tmp_path / "c", tmp_path / "nowhere", RUNS)
    with pytest.raises(DataError, match="Digits"):
        execute(campaign)
    assert campaign.shard_paths() == []


def test_a_task_that_does_not_exist_is_an_error(tmp_path: Path, digits_dir: Path) -> None:
    (place,) = task_places(submitted(tmp_path / "c", digits_dir, RUNS), 1)
    wrong = type(place)(place.campaign_dir, 1, index=1, offset_bytes=0)
    with pytest.raises(ManifestError, match=r"task 1 at byte 0: found task 0"):
        execute_task(wrong, 0)
