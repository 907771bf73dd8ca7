"""An element of a job array: which attempt it is, what it does when Slurm warns, and how it tells what went wrong."""

import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import pytest
from submitit.helpers import DelayedSubmission

from jobs.campaign import Campaign
from jobs.earlier import SlurmWorker
from jobs.shard import ShardWriter
from jobs.taskfile import task_places
from jobs.worker import NO_PROGRESS_STATUS, NOT_KEPT_STATUS, is_near_limit
from tests.commands import ROOT
from tests.records import ATTRIBUTES, failure, record, recorded, submitted
from tests.specs import spec

RUNS = tuple(spec(repeat=repeat, epochs=1) for repeat in range(2))
QUEUED = (  # jobs.task.ArrayTask("CAMPAIGN", 1, 0, 0, 60); jobs.worker.SlurmWorker(TaskPlace("CAMPAIGN", 1, 0, 0), 60)
    Path(__file__).with_name("queued_by_schema_1.pkl"),
    Path(__file__).with_name("queued_by_schema_2.pkl"),
)


@pytest.fixture
def campaign(tmp_path: Path, digits_dir: Path) -> Campaign:
    return submitted(tmp_path / "CAMPAIGN", digits_dir, RUNS)


@pytest.fixture(autouse=True)
def second_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")


def worker(campaign: Campaign, running_s: float = 0) -> SlurmWorker:
    """Of the first task, with a limit of ten minutes; at work for so long."""
    return SlurmWorker(task_places(campaign, 1)[0], 10, started_s=time.monotonic() - running_s)


def test_slurm_counts_the_attempts(campaign: Campaign) -> None:
    worker(campaign)()
    assert [path.name[:13] for path in campaign.shard_paths()] == ["0001-00000-1-"]
    assert recorded(campaign) == [(run.run_id, "ok") for run in RUNS]


@pytest.mark.parametrize(
    ("what", "attempt", "running_s", "is_requeued"),
    [
        ("recorded", 1, 301, True),
        ("failed", 1, 301, True),
        ("nothing", 1, 301, False),
        ("recorded", 0, 301, False),
        ("recorded", 10, 301, False),
        ("nothing", 1, 299, True),
    ],
)
def test_a_warning_near_the_limit_ends_an_attempt_without_a_record(
    campaign: Campaign, capfd: pytest.CaptureFixture[str], what: str, attempt: int, running_s: float, is_requeued: bool
) -> None:
    shard = ShardWriter(campaign.shards, 1, 0, attempt, ATTRIBUTES)
    shard.begin(RUNS[0].run_id)
    if what != "nothing":
        shard.append(record(RUNS[0]) if what == "recorded" else failure(RUNS[0]))
    warned = worker(campaign, running_s)
    if is_requeued:
        again = warned.checkpoint()
        assert isinstance(again, DelayedSubmission)
        assert again.function == SlurmWorker(warned.task, 10)  # without a time of this machine's clock
    else:
        with pytest.raises(SystemExit) as ended:
            warned.checkpoint()
        assert ended.value.code == NO_PROGRESS_STATUS
        assert "no run was finished within the time limit of 10 min: not requeued" in capfd.readouterr().out


def test_a_warning_before_the_call_is_no_sign_of_the_limit(campaign: Campaign) -> None:
    queued = SlurmWorker(task_places(campaign, 1)[0], 1)
    assert len(pickle.dumps(queued)) < 500
    assert queued.checkpoint().function == queued


@pytest.mark.slow
@pytest.mark.parametrize("queued", QUEUED, ids=lambda path: path.stem)
def test_what_was_queued_before_is_executed(campaign: Campaign, queued: Path) -> None:
    """As submitit does it: the pickle is loaded and called, and asked for its successor. Its task file has no schema either."""
    campaign.tasks(1).write_text(campaign.tasks(1).read_text().replace('"schema":3,', ""))
    program = (
        f"import pickle; worker = pickle.load(open({str(queued)!r}, 'rb')); worker()\n"
        "print(pickle.loads(pickle.dumps(worker.checkpoint().function)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=campaign.folder.parent, env=environment, capture_output=True, text=True, check=True)
    assert recorded(campaign, "0001-00000-1-") == [(run.run_id, "ok") for run in RUNS]
    place = "TaskPlace(campaign_dir='CAMPAIGN', submission=1, index=0, offset_bytes=0)"
    assert done.stdout.endswith(f"SlurmWorker(task={place}, time_limit_min=60, started_s=inf)\n")
    assert "warning" not in done.stdout


def damage_shards(campaign: Campaign) -> None:
    campaign.shards.rmdir()


def damage_task(campaign: Campaign) -> None:
    campaign.tasks(1).write_text(campaign.tasks(1).read_text().replace('"p":', '"p":0'))


@pytest.mark.parametrize(
    ("damage", "status", "said"),
    [
        (damage_shards, NOT_KEPT_STATUS, "in it, then submit again\n"),
        (damage_task, 1, "submit again\n"),
    ],
)
def test_only_results_that_cannot_be_written_are_not_kept(
    campaign: Campaign, capfd: pytest.CaptureFixture[str], damage, status: int, said: str
) -> None:
    damage(campaign)
    with pytest.raises(SystemExit) as ended:
        worker(campaign)()
    assert ended.value.code == status
    captured = capfd.readouterr()
    assert ("error: results cannot be kept: " in captured.out) == (status == NOT_KEPT_STATUS)
    assert captured.out.endswith(said)
    assert captured.err == ""


def test_a_list_of_cancelled_runs_that_cannot_be_read_stops_no_task(
    campaign: Campaign, capfd: pytest.CaptureFixture[str]
) -> None:
    """It would be blamed on the run that comes next."""
    campaign.new_cancelled(1).mkdir()
    campaign.new_cancelled(1).write_bytes(b"\xff\n" + RUNS[0].run_id.encode())
    worker(campaign)()
    assert recorded(campaign) == [(run.run_id, "ok") for run in RUNS[1:]]
    said = capfd.readouterr().out
    assert said.count(".txt: cannot be read (not a regular file); the runs that it lists do not count as cancelled\n") == 1
    assert said.count(r".txt: must list run_ids, but holds b'\xff', which is left out") == 1


@pytest.mark.slow
def test_a_log_that_cannot_be_written_stops_no_task(campaign: Campaign) -> None:
    program = f"from jobs.worker import *; execute_or_exit(TaskPlace({str(campaign.folder)!r}, 1, 0, 0), 0)"
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, stdout=full)
    assert done.returncode == 0
    assert recorded(campaign) == [(run.run_id, "ok") for run in RUNS]


@pytest.mark.parametrize(
    ("limit_min", "running_s", "expected"),
    [
        (1, 0, True),
        (2, 5, True),
        (3, 29, False),
        (3, 31, True),
        (4, 89, False),
        (4, 91, True),
        (60, 1799, False),
        (60, 1801, True),
    ],
)
def test_a_warning_is_of_the_limit_or_of_a_preemption(limit_min: int, running_s: float, expected: bool) -> None:
    """Slurm warns 1 to 2 minutes before the limit. A task with a limit of 2 minutes must not be queued again for ever."""
    assert is_near_limit(running_s, limit_min) == expected
