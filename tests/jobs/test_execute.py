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
from jobs.task import ArrayTask
from jobs.taskfile import Task
from noisy.data import Data
from noisy.spec import Execution, RunSpec
from tests.commands import ROOT
from tests.records import ATTRIBUTES, record
from tests.specs import spec, texts

RUNS = [spec(repeat=repeat, p=p, learning_rate=rate) for repeat in range(2) for p in (0.1, 0.2) for rate in (0.001, 0.002)]


def test_groups_are_of_one_shape_and_of_limited_size() -> None:
    slow, fast = RUNS[::2], RUNS[1::2]
    assert groups_of(RUNS, 10) == [slow, fast]
    assert groups_of(RUNS, 3) == [slow[:3], fast[:3], slow[3:], fast[3:]]
    assert groups_of(RUNS, 1) == [[run] for run in RUNS]
    assert groups_of([], 3) == []


def test_a_group_that_fails_is_halved_until_each_has_its_own_record(digits: Data, capfd: pytest.CaptureFixture[str]) -> None:
    impossible = [spec(hidden_sizes=(2**31 - 1,), repeat=repeat) for repeat in range(3)]
    records = list(execute(impossible, digits, Execution(runs_together=3)))
    assert [(one.run_id, one.status) for one in records] == [(run.run_id, "failed") for run in impossible]
    assert all("RuntimeError" in one.message for one in records)
    assert capfd.readouterr().out.count("tried again in halves") == 2


def test_what_does_not_fit_into_memory_together_is_trained_in_smaller_groups(digits_dir: Path, digits: Data) -> None:
    program = (
        "import resource, sys; from noisy import data, spec; from jobs.execute import execute\n"
        "runs = [spec.spec_of(text) for text in sys.argv[2:]]; digits = data.load('digits', sys.argv[1])\n"
        "list(execute(runs[:2], digits, spec.Execution()))\n"  # libraries take what they take
        "size = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize() + 400 * 2**20\n"
        "resource.setrlimit(resource.RLIMIT_AS, (size, size))\n"
        "for record in execute(runs, digits, spec.Execution()): print(record.run_id, record.status)"
    )
    runs = [spec(hidden_sizes=(2000,), repeat=repeat, epochs=1, max_train_samples=128) for repeat in range(24)]  # 25 MB each
    command = [sys.executable, "-c", program, str(digits_dir), *(run.canonical_json() for run in runs)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    printed = done.stdout.splitlines()
    assert "24 runs failed together; tried again in halves" in printed
    assert [line for line in printed if "tried" not in line] == [f"{run.run_id} ok" for run in runs]


def make(tmp_path: Path, data_dir: Path, runs: list[RunSpec], runs_together: int) -> tuple[Campaign, ArrayTask]:
    campaign = Campaign(tmp_path)
    campaign.submission(1).mkdir(parents=True)
    campaign.shards.mkdir()
    execution = Execution(runs_together=runs_together)
    publish(campaign.tasks(1), Task(0, "c0ffee", "abc", str(data_dir), execution, texts(*runs)).line())
    return campaign, ArrayTask(str(tmp_path), 1, 0, 0)


def recorded(path: Path) -> list[str]:
    return [row["run_id"].decode() for row in read_shard(path).runs]


def test_a_task_records_each_run_of_its_groups_and_says_how_they_were_trained(
    tmp_path: Path, digits_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    campaign, task = make(tmp_path, digits_dir, RUNS, runs_together=3)
    publish(campaign.cancelled(1), f"{RUNS[2].run_id}\n".encode())
    task()
    (path,) = campaign.shard_paths()
    order = [run.run_id for group in groups_of(RUNS, 3) for run in group]
    assert recorded(path) == [run_id for run_id in order if run_id != RUNS[2].run_id]
    attributes = read_shard(path).attributes
    assert (attributes["runs_together"], attributes["current_run"]) == (3, "")
    assert f"2/8 {RUNS[2].run_id}: cancelled" in capfd.readouterr().out


def test_another_attempt_trains_what_is_missing_and_the_suspect_by_itself(tmp_path: Path, digits_dir: Path) -> None:
    campaign, task = make(tmp_path, digits_dir, RUNS[::2], runs_together=4)
    earlier = ShardWriter(campaign.shards, 1, 0, 0, ATTRIBUTES)
    earlier.append(record(RUNS[2]), current_run=RUNS[0].run_id)
    ArrayTask(task.campaign_dir, 1, 0, 0, attempt=1)()
    assert recorded(campaign.shard_paths()[1]) == [RUNS[4].run_id, RUNS[6].run_id, RUNS[0].run_id]


@pytest.mark.parametrize(("n_in_vain", "size"), [(0, 8), (1, 4), (2, 2), (5, 1)])
def test_groups_are_halved_for_each_attempt_that_recorded_nothing(
    tmp_path: Path, digits_dir: Path, n_in_vain: int, size: int
) -> None:
    """Also where it was another submission's: the runs are then submitted again, as many as before."""
    runs = [spec(repeat=repeat, epochs=1, max_train_samples=100) for repeat in range(9)]
    campaign, task = make(tmp_path, digits_dir, runs[:8], runs_together=8)
    for submission in range(2, 2 + n_in_vain):
        ShardWriter(campaign.shards, submission, 3, 0, ATTRIBUTES).start(runs[submission % 8].run_id)
    ShardWriter(campaign.shards, 2, 4, 0, ATTRIBUTES).start(runs[8].run_id)  # of no concern
    task()
    (own,) = campaign.shard_paths("0001-")
    shares_s = read_shard(own).runs["wall_s"]  # those of a group have equal shares
    assert [len(list(group)) for _, group in itertools.groupby(shares_s)] == [size] * (8 // size)
