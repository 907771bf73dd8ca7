"""An element of a job array: what it takes, what it does when Slurm warns, and how it tells what went wrong."""

import os
import pickle
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from submitit.helpers import DelayedSubmission

from jobs.campaign import Campaign
from jobs.earlier import SlurmWorker
from jobs.files import publish
from jobs.recorded import Recorded
from jobs.shard import ShardWriter
from jobs.taking import Taker
from jobs.taskfile import read_task, task_places
from jobs.worker import NO_PROGRESS_STATUS, NOT_KEPT_STATUS, Worker, execute_or_exit, is_near_limit
from jobs.workload import Workload
from tests.commands import ROOT
from tests.records import ATTRIBUTES, failure, record, recorded, submitted
from tests.specs import spec

RUNS = tuple(spec(repeat=repeat, epochs=1) for repeat in range(2))
QUEUED = (  # jobs.task.ArrayTask("CAMPAIGN", 1, 0, 0, 60); jobs.worker.SlurmWorker(TaskPlace("CAMPAIGN", 1, 0, 0), 60)
    Path(__file__).with_name("queued_by_schema_1.pkl"),
    Path(__file__).with_name("queued_by_schema_2.pkl"),
)
PLACE = "TaskPlace(campaign_dir='CAMPAIGN', submission=1, index=0, offset_bytes=0)"


@pytest.fixture
def campaign(tmp_path: Path, digits_dir: Path) -> Campaign:
    return submitted(tmp_path / "CAMPAIGN", digits_dir, RUNS)


@pytest.fixture(autouse=True)
def second_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")


def worker(campaign: Campaign, mem_mb: int = 900, limit_min: int = 10, **others: object) -> Worker:
    return Worker(str(campaign.folder), 1, len(campaign.tasks(1).read_text().splitlines()), limit_min, 60, mem_mb, **others)


def names(campaign: Campaign) -> list[str]:
    """The claims that are left."""
    folder = campaign.submission(1) / "claims"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_worker_takes_task_after_task_until_all_is_done(tmp_path: Path, digits_dir: Path) -> None:
    three = submitted(tmp_path / "c", digits_dir, RUNS, [spec(repeat=7, epochs=1)], [spec(repeat=8, epochs=1)])
    worker(three)()
    assert [path.name[:13] for path in three.shard_paths()] == ["0001-00000-0-", "0001-00001-0-", "0001-00002-0-"]
    assert len(recorded(three)) == 4
    assert {source.attributes["job_mem_mb"] for source in Recorded("").updated(three.shard_paths()).sources} == {900}
    assert names(three) == []
    worker(three)()  # it finds nothing
    assert len(three.shard_paths()) == 3


@pytest.mark.slow
def test_a_worker_that_finds_nothing_does_not_load_torch(campaign: Campaign) -> None:
    (campaign.submission(1) / "finished").touch()
    program = f"import sys; from jobs.worker import Worker; Worker({str(campaign.folder)!r}, 1, 1, 9, 9, 900)(); " + (
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=60).returncode == 0


def timed(campaign: Campaign, *times_s: tuple[float, float]) -> None:
    """Write into the tasks how long one of their runs takes: expected, and high."""
    tasks = [read_task(campaign.tasks(1), place.index, place.offset_bytes) for place in task_places(campaign, 1)]
    known = (replace(task, expected_s=s, high_s=high_s) for task, (s, high_s) in zip(tasks, times_s, strict=True))
    publish(campaign.tasks(1), [task.line() for task in known])


def test_a_worker_takes_what_fits_its_time_and_else_begins_one_run(tmp_path: Path, digits_dir: Path) -> None:
    """Ten minutes are 450 s before the warning."""
    campaign = submitted(tmp_path / "c", digits_dir, RUNS, [spec(repeat=7, epochs=1)])
    timed(campaign, (1e6, 1e9), (1, 2))
    worker(campaign)()
    assert [run_id for run_id, _ in recorded(campaign)] == [spec(repeat=7, epochs=1).run_id]
    assert names(campaign) == ["00001.done"]
    worker(campaign)()  # nothing fits: a fresh worker begins all the same, and then knows better
    assert len(recorded(campaign)) == 3
    assert names(campaign) == []


def test_a_worker_gives_back_the_runs_for_which_it_has_no_time(
    tmp_path: Path, digits_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Two minutes are no time before the warning."""
    campaign = submitted(tmp_path / "c", digits_dir, RUNS, [spec(repeat=7, epochs=1)])
    timed(campaign, (1, 2), (1, 2))
    worker(campaign, limit_min=2)()
    assert recorded(campaign) == [(RUNS[0].run_id, "ok")]
    (source,) = Recorded("").updated(campaign.shard_paths()).sources
    assert source.attributes["current_run"] == ""
    assert names(campaign) == ["00000.0.back"]
    assert "no time for the next run: 1 given back" in capfd.readouterr().out
    worker(campaign)()
    assert [path.name[:13] for path in campaign.shard_paths()] == ["0001-00000-0-", "0001-00000-1-", "0001-00001-0-"]
    assert len(recorded(campaign)) == 3


@pytest.mark.parametrize(("n_recorded", "running_s", "is_requeued"), [(1, 301, True), (0, 301, False), (0, 299, True)])
def test_a_warning_near_the_limit_ends_a_worker_that_recorded_nothing(
    campaign: Campaign, capfd: pytest.CaptureFixture[str], n_recorded: int, running_s: float, is_requeued: bool
) -> None:
    warned = worker(campaign, started_s=time.monotonic() - running_s)
    warned.work = Workload(campaign, 1, Taker("17_0", 1, 900))
    warned.shift.n_recorded = n_recorded
    assert warned.work.take()
    if is_requeued:
        again = warned.checkpoint()
        assert isinstance(again, DelayedSubmission)
        assert again.function == worker(campaign)  # without a time of this machine's clock
        assert len(pickle.dumps(again.function)) < 1000
        assert names(campaign) == ["00000.0.back"]
    else:
        with pytest.raises(SystemExit) as ended:
            warned.checkpoint()
        assert ended.value.code == NO_PROGRESS_STATUS
        assert "no run was finished within the time limit of 10 min: it is not requeued" in capfd.readouterr().out
        assert names(campaign) == ["00000.0"]


def killed(campaign: Campaign, job: str, mem_mb: int) -> None:
    """A worker took the first task, and died while it trained the first run."""
    taken = Workload(campaign, 1, Taker(job, 0, mem_mb)).take()
    writer = ShardWriter(campaign.shards, 1, 0, taken.generation, ATTRIBUTES | {"job": job, "job_mem_mb": mem_mb})
    writer.begin(RUNS[0].run_id)
    (campaign.submission(1) / "claims" / "00000.0").write_text(
        (campaign.submission(1) / "claims" / "00000.0").read_text().replace('"start_ticks": ', '"start_ticks": 1')
    )


def test_what_may_have_killed_a_worker_is_left_to_one_with_more_memory(campaign: Campaign) -> None:
    killed(campaign, "17_9", 900)
    worker(campaign)()
    assert recorded(campaign) == [(RUNS[1].run_id, "ok")]
    assert names(campaign) == ["00000.0", "00000.1.left"]
    worker(campaign)()
    assert len(recorded(campaign)) == 1
    worker(campaign, mem_mb=1350, is_sweep=True)()
    assert len(recorded(campaign)) == 2
    assert names(campaign) == []


def test_after_a_preemption_the_run_is_tried_by_any_worker(campaign: Campaign) -> None:
    killed(campaign, "17_9", 900)
    (campaign.submission(1) / "claims" / "00000.0").rename(campaign.submission(1) / "claims" / "00000.0.back")
    worker(campaign)()
    assert len(recorded(campaign)) == 2
    assert names(campaign) == []


# Jobs that an earlier version queued


def earlier_worker(campaign: Campaign, running_s: float = 0) -> SlurmWorker:
    """Of the first task, with a limit of ten minutes; at work for so long."""
    return SlurmWorker(task_places(campaign, 1)[0], 10, started_s=time.monotonic() - running_s)


def test_slurm_counts_the_attempts(campaign: Campaign) -> None:
    earlier_worker(campaign)()
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
    campaign: Campaign, what: str, attempt: int, running_s: float, is_requeued: bool
) -> None:
    shard = ShardWriter(campaign.shards, 1, 0, attempt, ATTRIBUTES)
    shard.begin(RUNS[0].run_id)
    if what != "nothing":
        shard.append(record(RUNS[0]) if what == "recorded" else failure(RUNS[0]))
    warned = earlier_worker(campaign, running_s)
    if is_requeued:
        again = warned.checkpoint()
        assert isinstance(again, DelayedSubmission)
        assert again.function == SlurmWorker(warned.task, 10)  # without a time of this machine's clock
    else:
        with pytest.raises(SystemExit) as ended:
            warned.checkpoint()
        assert ended.value.code == NO_PROGRESS_STATUS


def test_a_warning_before_the_call_is_no_sign_of_the_limit(campaign: Campaign) -> None:
    for queued in (SlurmWorker(task_places(campaign, 1)[0], 1), worker(campaign, limit_min=1)):
        assert len(pickle.dumps(queued)) < 1000
        assert queued.checkpoint().function == queued


@pytest.mark.parametrize("queued", QUEUED, ids=lambda path: path.stem)
def test_what_was_queued_before_is_executed(
    campaign: Campaign, queued: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As submitit does it: the pickle is loaded and called, and asked for its successor. Its task file has no schema either."""
    campaign.tasks(1).write_text(campaign.tasks(1).read_text().replace('"schema":3,', ""))
    monkeypatch.chdir(campaign.folder.parent)
    executed = pickle.loads(queued.read_bytes())
    executed()
    assert recorded(campaign, "0001-00000-1-") == [(run.run_id, "ok") for run in RUNS]
    again = pickle.loads(pickle.dumps(executed.checkpoint().function))
    assert repr(again) == f"SlurmWorker(task={PLACE}, time_limit_min=60, started_s=inf)"
    assert "warning" not in capfd.readouterr().out


@pytest.mark.slow
def test_a_fresh_process_loads_what_was_queued_before() -> None:
    """It has loaded nothing that knows the names of earlier versions."""
    program = (
        "import pickle, sys\n"
        "for worker in [pickle.load(open(path, 'rb')) for path in sys.argv[1:]]: print(worker.task, worker.time_limit_min)"
    )
    command = [sys.executable, "-c", program, *map(str, QUEUED)]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert printed.splitlines() == [f"{PLACE} 60"] * 2


def damage_shards(campaign: Campaign) -> None:
    campaign.shards.rmdir()


def damage_task(campaign: Campaign) -> None:
    campaign.tasks(1).write_text(campaign.tasks(1).read_text().replace('"p":', '"p":0'))


def damage_claims(campaign: Campaign) -> None:
    (campaign.submission(1) / "claims").touch()


@pytest.mark.parametrize(
    ("damage", "status", "said", "left"),
    [
        (damage_shards, NOT_KEPT_STATUS, "error: results cannot be kept: ", ["00000.0.failed"]),
        (damage_task, 1, "error: ManifestError: ", ["00000.0.left"]),
        (damage_claims, NOT_KEPT_STATUS, "error: tasks cannot be taken: ", None),
    ],
)
def test_an_error_ends_a_worker_with_its_own_status(
    campaign: Campaign, capfd: pytest.CaptureFixture[str], damage, status: int, said: str, left: list[str] | None
) -> None:
    damage(campaign)
    with pytest.raises(SystemExit) as ended:
        worker(campaign)()
    assert ended.value.code == status
    captured = capfd.readouterr()
    assert said in captured.out
    assert captured.err == ""
    assert left is None or names(campaign) == left


def test_a_task_that_cannot_be_read_stops_no_other(tmp_path: Path, digits_dir: Path) -> None:
    campaign = submitted(tmp_path / "c", digits_dir, RUNS, [spec(repeat=7, epochs=1)])
    first, second = campaign.tasks(1).read_text().splitlines(keepends=True)
    campaign.tasks(1).write_text(first.replace('"p":', '"p":0') + second)
    with pytest.raises(SystemExit) as ended:
        worker(campaign)()
    assert ended.value.code == 1
    assert len(recorded(campaign)) == 1
    assert names(campaign) == ["00000.0.left", "00001.done"]


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
    assert said.count(r".txt: must list run_ids, but has b'\xff', which is ignored") == 1


def test_a_log_that_cannot_be_written_stops_no_task(campaign: Campaign) -> None:
    before = os.dup(1)
    with open("/dev/full", "w") as full:
        os.dup2(full.fileno(), 1)
        with pytest.raises(OSError, match="No space left"):
            os.write(1, b"a log")
        try:
            execute_or_exit(task_places(campaign, 1)[0], 0)
        finally:
            os.dup2(before, 1)
            os.close(before)
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
