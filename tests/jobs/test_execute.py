"""Groups of runs that are trained together, and what becomes of a group that fails."""

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.campaign import Campaign
from jobs.execute import execute, groups_of
from jobs.files import publish
from jobs.shard import ShardWriter, read_shard
from jobs.task import execute_task
from jobs.taskfile import task_places
from noisy.data import Data
from noisy.spec import Execution
from tests.commands import ROOT
from tests.records import ATTRIBUTES, record, recorded, submitted
from tests.specs import spec

RUNS = [spec(repeat=repeat, p=p, learning_rate=rate) for repeat in range(2) for p in (0.1, 0.2) for rate in (0.001, 0.002)]


def test_groups_are_of_one_shape_and_of_limited_size() -> None:
    slow, fast = RUNS[::2], RUNS[1::2]
    assert groups_of(RUNS, 10) == [slow, fast]
    assert groups_of(RUNS, 3) == [slow[:3], fast[:3], slow[3:], fast[3:]]
    assert groups_of(RUNS, 1) == [[run] for run in RUNS]
    assert groups_of([], 3) == []


@pytest.mark.slow
def test_a_group_that_fails_is_halved_until_each_has_its_own_record(digits: Data, capfd: pytest.CaptureFixture[str]) -> None:
    impossible = [spec(hidden_sizes=(2**31 - 1,), repeat=repeat) for repeat in range(3)]
    records = list(execute(impossible, digits, Execution(runs_together=3)))
    assert [(one.run_id, one.status) for one in records] == [(run.run_id, "failed") for run in impossible]
    assert all("RuntimeError" in one.message for one in records)
    assert capfd.readouterr().out.count("tried again in halves") == 2


@pytest.mark.slow
def test_what_does_not_fit_into_memory_together_is_trained_in_smaller_groups(digits_dir: Path, digits: Data) -> None:
    program = (
        "import resource, sys; from noisy import data, spec; from jobs.execute import execute\n"
        "runs = [spec.spec_of(text) for text in sys.argv[2:]]; digits = data.load('digits', sys.argv[1])\n"
        "list(execute(runs[:2], digits, spec.Execution()))\n"  # libraries take what they take
        "size = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize() + 150 * 2**20\n"
        "resource.setrlimit(resource.RLIMIT_AS, (size, size))\n"
        "for record in execute(runs, digits, spec.Execution()): print(record.run_id, record.status)"
    )
    runs = [spec(hidden_sizes=(2000,), repeat=repeat, epochs=1, max_train_samples=32) for repeat in range(8)]  # 25 MB each
    command = [sys.executable, "-c", program, str(digits_dir), *(run.canonical_json() for run in runs)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    printed = done.stdout.splitlines()
    assert any(line.endswith("Z 8 runs failed together; they are tried again in halves") for line in printed)
    assert [line for line in printed if line.endswith(" ok")] == [f"{run.run_id} ok" for run in runs]


def ids(campaign: Campaign, attempt: int) -> list[str]:
    """The runs that an attempt of the only task has recorded, in order."""
    return [run_id for run_id, _ in recorded(campaign, f"0001-00000-{attempt}-")]


@pytest.mark.slow
def test_a_task_records_each_run_of_its_groups_and_says_how_they_were_trained(
    tmp_path: Path, digits_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    campaign = submitted(tmp_path / "c", digits_dir, RUNS, runs_together=3)
    publish(campaign.new_cancelled(1), f"{RUNS[2].run_id}\n".encode())
    execute_task(task_places(campaign, 1)[0], 0)
    order = [run.run_id for group in groups_of(RUNS, 3) for run in group]
    assert ids(campaign, 0) == [run_id for run_id in order if run_id != RUNS[2].run_id]
    attributes = read_shard(campaign.shard_paths()[0]).attributes
    assert (attributes["runs_together"], attributes["current_run"]) == (3, "")
    assert f"Z 1/8 {RUNS[2].run_id} cancelled\n" in capfd.readouterr().out


def test_another_attempt_trains_what_is_missing_and_the_suspect_by_itself(tmp_path: Path, digits_dir: Path) -> None:
    campaign = submitted(tmp_path / "c", digits_dir, RUNS[::2], runs_together=4)
    earlier = ShardWriter(campaign.shards, 1, 0, 0, ATTRIBUTES)
    earlier.append(record(RUNS[2]), current_run=RUNS[0].run_id)
    execute_task(task_places(campaign, 1)[0], 1)
    assert ids(campaign, 1) == [RUNS[4].run_id, RUNS[6].run_id, RUNS[0].run_id]


@pytest.mark.slow
@pytest.mark.parametrize(("n_without_record", "size"), [(0, 8), (1, 4), (2, 2), (5, 1)])
def test_groups_are_halved_for_each_attempt_of_the_task_that_recorded_nothing(
    tmp_path: Path, digits_dir: Path, n_without_record: int, size: int
) -> None:
    """What other tasks taught is in `runs_together`; an attempt that recorded a run, or began none, is no reason."""
    runs = [spec(repeat=repeat, epochs=1, max_train_samples=100) for repeat in range(10)]
    campaign = submitted(tmp_path / "c", digits_dir, runs, runs_together=8)
    for submission, task in ((1, 1), (2, 0)):
        ShardWriter(campaign.shards, submission, task, 0, ATTRIBUTES).begin(runs[0].run_id)
    for attempt in range(n_without_record):
        for _zombie in range(2):
            ShardWriter(campaign.shards, 1, 0, attempt, ATTRIBUTES).begin(runs[8].run_id)
    ShardWriter(campaign.shards, 1, 0, 10, ATTRIBUTES).begin("")
    for records in ([record(runs[9])], []):
        shard = ShardWriter(campaign.shards, 1, 0, 11, ATTRIBUTES)
        for item in records:
            shard.append(item)
        shard.begin(runs[8].run_id)
    execute_task(task_places(campaign, 1)[0], 12)
    (own,) = campaign.shard_paths("0001-00000-12-")
    shares_s = read_shard(own).runs["wall_s"]  # those of a group have equal shares
    assert [len(list(group)) for _, group in itertools.groupby(shares_s)] == [size] * (8 // size) + [1]
