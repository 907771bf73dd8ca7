"""The state of every run where workers claim tasks: from shards, claims, and what small programs on PATH say of the queue."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from hpc.execution.choice import EXECUTORS
from hpc.execution.slurm.executor import Slurm, busy_arrays
from hpc.planning.retrying import Reason
from hpc.planning.waiting import BusyArray
from hpc.planning.workers import PlannedArray, Resources
from hpc.state import submissions
from hpc.state.arrays import arrays_of
from hpc.state.nodes import suspects
from hpc.state.runs import State, state
from hpc.state.submissions import Submission
from jobs.campaign import Campaign
from jobs.claims import CLOCK_SKEW_S, Claim, Claims
from jobs.manifest import write_manifest
from jobs.process import Process
from jobs.shard import ShardWriter
from jobs.standings import BACK, DONE, FAILED, LEFT
from jobs.taskfile import Task
from noisy.spec import Execution
from tests import commands
from tests.campaigns import GRID
from tests.programs import prints, programs, sacct, squeue
from tests.records import ATTRIBUTES, failure, record
from tests.specs import runs, spec

RUNS = [spec(repeat=repeat) for repeat in range(8)]
IDS = [run.run_id for run in RUNS]
TASKS = [Task(i, "c0ffee", "abc", "/data", Execution(), runs(*RUNS[2 * i : 2 * i + 2])) for i in range(4)]
HASTY = EXECUTORS | {"slurm": Slurm(lag_s=())}
ARRAYS = [
    PlannedArray(3, Resources(1, 0, 1000, 60), 2),
    PlannedArray(2, Resources(1, 0, 1500, 60), 2, (0,), is_sweep=True),
]
MAIN, SWEEP = "c0ffee-0001-00", "c0ffee-0001-01"
ELSEWHERE = Process("node7", "boot", 4711, 1, "pid")
PENDING_SWEEP = ("18|0|PENDING|Dependency", "18|1|PENDING|Dependency")
ALL_WAIT = ("17|0|PENDING|Priority", "17|1|PENDING|Priority", "17|2|PENDING|Priority", *PENDING_SWEEP)


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    """Eight runs in four tasks, submitted as job 17 (three workers) and 18 (a sweep of two) by a process that has ended."""
    made = Campaign(tmp_path / "campaign")
    made.submissions.mkdir(parents=True)
    made.shards.mkdir()
    write_manifest(made.manifest, runs(*RUNS), "abc", campaign="c0ffee")
    main, sweep = arrays_of("c0ffee", 1, 4, ARRAYS, None)
    arrays = replace(main, job_id="17"), replace(sweep, job_id="18", waits_for=("17",))
    gone = replace(Process.current(), start_ticks=1)
    submission = Submission(1, "c0ffee", submissions.now(), "slurm", 4, 8, 2, gone, arrays, code_commit="abc", is_claimed=True)
    submissions.claim(made, submission, TASKS)
    return made


def claim(
    campaign: Campaign,
    task: int,
    job: str,
    word: str = "",
    generation: int = 0,
    restart: int = 0,
    process: Process = ELSEWHERE,
    lease_s: float = 3600,
) -> None:
    """A worker takes a task, and what became of it."""
    claims = Claims(campaign.submission(1), 3600)
    assert claims.take(task, generation, Claim.lasting(lease_s, process, job, restart, 1000, time.time()))
    if word:
        claims.mark(task, generation, word)


def begin(
    campaign: Campaign, task: int, job: str, records: list = (), at_hand: str = "", attempt: int = 0, restart: int = 0
) -> None:
    """What a worker wrote."""
    more = {"job": job, "job_restart": restart, "host": f"node{job[-1:]}"}
    writer = ShardWriter(campaign.shards, 1, task, attempt, ATTRIBUTES | more)
    writer.begin(at_hand)
    for item in records:
        writer.append(item, at_hand)


def found(campaign: Campaign, *rows: str, accounts: str = "exit 1", write: bool = False, abandoned: tuple = ()) -> State:
    """The state with these rows in the queue, `JOB|INDEX|STATE|REASON`, and this program for accounting."""
    named = [f"{row}|{MAIN if row.startswith('17') else SWEEP}" for row in rows]
    with programs(campaign.folder / "bin", squeue=squeue(*named), sacct=accounts):
        return state(campaign, "c0ffee", runs(*RUNS), HASTY, abandoned, write=write)


def states(seen: State) -> list[str]:
    return [seen.of(place) for place in range(len(seen.runs))]


def to_submit(seen: State) -> list[str]:
    return seen.runs.take(seen.to_submit(False)).ids()


def test_before_a_worker_begins_all_is_queued(campaign: Campaign) -> None:
    seen = found(campaign, *ALL_WAIT)
    assert states(seen) == ["queued"] * 8
    assert to_submit(seen) == []
    assert busy_arrays(seen) == (BusyArray("17", 2), BusyArray("18", 2, ("17",)))


def test_what_a_worker_trains_is_running_and_what_it_did_not_take_is_queued(campaign: Campaign) -> None:
    claim(campaign, 0, "17_0")
    begin(campaign, 0, "17_0", [record(RUNS[0])], at_hand=IDS[1])
    claim(campaign, 1, "17_1", DONE)
    begin(campaign, 1, "17_1", [record(RUNS[2]), failure(RUNS[3])])
    claim(campaign, 2, "17_1")
    begin(campaign, 2, "17_1", at_hand=IDS[4])
    seen = found(campaign, "17|0|RUNNING|None", "17|1|RUNNING|None", *PENDING_SWEEP)
    assert states(seen) == ["done", "running", "done", "failed", "running", "queued", "queued", "queued"]
    assert {task for activity in seen.activities.values() for task in activity.tasks} == {0, 2, 3}
    assert to_submit(seen) == [IDS[3]]


def test_a_preempted_worker_waits_and_so_do_its_runs(campaign: Campaign) -> None:
    claim(campaign, 0, "17_0", BACK)
    begin(campaign, 0, "17_0", at_hand=IDS[0])
    assert states(found(campaign, "17|0|PENDING|BeginTime", *PENDING_SWEEP))[:2] == ["queued", "queued"]
    claim(campaign, 1, "17_1")  # its node failed, and it waits in the queue
    begin(campaign, 1, "17_1", at_hand=IDS[2])
    assert states(found(campaign, "17|1|PENDING|BeginTime", *PENDING_SWEEP)) == ["queued"] * 8


@pytest.mark.parametrize(
    ("how", "reason"),
    [("OUT_OF_MEMORY|0:125", Reason.MEMORY), ("NODE_FAIL|0:0", Reason.CLUSTER), ("FAILED|75:0", Reason.TIME)],
)
def test_how_a_worker_ended_is_kept_while_the_sweep_waits_for_its_runs(campaign: Campaign, how: str, reason: Reason) -> None:
    claim(campaign, 0, "17_0")
    begin(campaign, 0, "17_0", at_hand=IDS[0])
    rows = ("17|1|RUNNING|None", *PENDING_SWEEP)
    seen = found(campaign, *rows, accounts=sacct(f"17_0|{how}|n1"), write=True)
    assert states(seen) == ["queued"] * 8
    (outcome,) = seen.outcomes
    assert (outcome.task, outcome.run_id, outcome.reason, outcome.job, outcome.mem_mb) == (0, IDS[0], reason, "17_0", 1000)
    again = found(campaign, *rows, accounts="exit 1")  # nothing new to ask
    assert (again.outcomes, again.unreachable) == ([outcome], "")
    claim(campaign, 0, "18_0", generation=1)
    begin(campaign, 0, "18_0", at_hand=IDS[0], attempt=1)
    assert states(found(campaign, "18|0|RUNNING|None"))[0] == "running"


def test_a_run_that_killed_two_workers_was_tried_twice(campaign: Campaign) -> None:
    claim(campaign, 0, "17_0")
    begin(campaign, 0, "17_0", at_hand=IDS[0])
    claim(campaign, 0, "18_0", generation=1)
    begin(campaign, 0, "18_0", at_hand=IDS[0], attempt=1)
    claim(campaign, 1, "17_1", DONE)
    killed = [f"{job}|OUT_OF_MEMORY|0:125|n1" for job in ("17_0", "18_0")]
    ends = sacct(*killed, *(f"{job}|COMPLETED|0:0|n1" for job in ("17_1", "17_2", "18_1")))
    seen = found(campaign, accounts=ends)
    assert [(outcome.run_id, outcome.mem_mb, outcome.job) for outcome in seen.outcomes] == [
        (IDS[0], 1000, "17_0"),
        (IDS[0], 1500, "18_0"),
    ]
    assert states(seen) == ["failed"] + ["lost"] * 7
    assert to_submit(seen) == IDS


def test_a_run_that_the_sweep_did_is_done_whatever_it_did_before(campaign: Campaign) -> None:
    claim(campaign, 0, "17_0")
    begin(campaign, 0, "17_0", at_hand=IDS[0])
    claim(campaign, 0, "18_0", DONE, generation=1)
    begin(campaign, 0, "18_0", [record(RUNS[0]), record(RUNS[1])], attempt=1)
    for task in (1, 2, 3):
        claim(campaign, task, "17_1", DONE)
        begin(campaign, task, "17_1", [record(run) for run in RUNS[2 * task : 2 * task + 2]])
    seen = found(campaign)  # nothing has to be asked: sacct is down
    assert (states(seen), seen.unreachable) == (["done"] * 8, "")


def test_a_job_that_was_started_again_is_to_blame_only_for_its_last_end(campaign: Campaign) -> None:
    claim(campaign, 0, "17_0")
    begin(campaign, 0, "17_0", at_hand=IDS[0])
    claim(campaign, 0, "17_0", LEFT, generation=1, restart=1)
    claim(campaign, 1, "17_0", restart=1)
    begin(campaign, 1, "17_0", at_hand=IDS[2], restart=1)
    seen = found(campaign, *PENDING_SWEEP, accounts=sacct("17_0|OUT_OF_MEMORY|0:125|n1"))
    assert [(outcome.task, outcome.run_id) for outcome in seen.outcomes] == [(1, IDS[2])]


def test_what_nobody_took_is_lost_once_all_workers_have_ended(campaign: Campaign) -> None:
    claim(campaign, 0, "17_0", BACK)
    begin(campaign, 0, "17_0", [record(RUNS[0])])
    ended = sacct(*(f"{job}|COMPLETED|0:0|n1" for job in ("17_0", "17_1", "17_2", "18_0", "18_1")))
    seen = found(campaign, accounts=ended, write=True)
    assert states(seen) == ["done"] + ["lost"] * 7
    assert seen.outcomes == []
    assert to_submit(seen) == IDS[1:]
    assert submissions.read(campaign, 1).ended
    assert found(campaign).unreachable == ""  # it has ended: nobody is asked again


def test_what_nobody_took_was_cancelled_if_a_person_ended_the_workers(campaign: Campaign) -> None:
    claim(campaign, 0, "17_0")
    begin(campaign, 0, "17_0", at_hand=IDS[0])
    for names in (("17_0", "17_1", "17_2", "18_0", "18_1"), ("17_0", "18_[0-1%2]")):  # those that never began are one row
        seen = found(campaign, accounts=sacct(*(f"{job}|CANCELLED by 0|0:15|n1" for job in names)))
        assert states(seen) == ["cancelled"] * 8
        assert to_submit(seen) == IDS


def test_workers_that_ended_before_they_took_a_task_make_a_node_suspect(campaign: Campaign) -> None:
    claim(campaign, 0, "17_0", DONE)
    begin(campaign, 0, "17_0", [record(run) for run in RUNS[:2]])
    claim(campaign, 1, "17_1", FAILED)
    ends = [f"{job}|FAILED|1:0|n3" for job in ("17_1", "17_2")]
    swept = [f"18_{i}|COMPLETED|0:0|n1" for i in range(2)]
    seen = found(campaign, accounts=sacct("17_0|COMPLETED|0:0|n1", *ends, *swept))
    assert states(seen) == ["done"] * 2 + ["lost"] * 6
    assert {outcome.task for outcome in seen.outcomes} == {-1}
    assert list(suspects(seen.known, submissions.datetime.now(submissions.timezone.utc))) == ["n3"]


def test_silence_is_unknown_and_silent_accounting_leaves_what_nobody_holds_unknown(campaign: Campaign) -> None:
    claim(campaign, 0, "17_0")
    begin(campaign, 0, "17_0", [record(RUNS[0])], at_hand=IDS[1])
    with programs(campaign.folder / "bin", squeue="exit 1", sacct="exit 1"):
        seen = state(campaign, "c0ffee", runs(*RUNS), HASTY, write=True)
    assert states(seen) == ["done"] + ["unknown"] * 7
    seen = found(campaign, accounts="exit 1", write=True)
    assert states(seen) == ["done"] + ["unknown"] * 7
    assert submissions.read(campaign, 1).ended is None
    abandoned = found(campaign, accounts=sacct(), abandoned=(1,))
    assert (set(states(abandoned)), abandoned.unreachable) == ({"done", "lost"}, "")


def test_a_queue_with_a_complaint_needs_the_accounting(campaign: Campaign) -> None:
    complains = squeue(f"18|0|RUNNING|None|{SWEEP}") + "echo 'one of two controllers did not answer' >&2"
    claim(campaign, 0, "17_0")
    begin(campaign, 0, "17_0", at_hand=IDS[0])
    with programs(campaign.folder / "bin", squeue=complains, sacct=sacct()):
        seen = state(campaign, "c0ffee", runs(*RUNS), HASTY)
    assert set(states(seen)) == {"queued"}
    assert "submission 0001: 1 of its workers may or may not have ended (squeue said: one of two" in seen.unreachable


# Processes without a job: this machine, or another on the same file system


def test_a_local_process_that_helps_is_at_work(campaign: Campaign) -> None:
    claim(campaign, 0, "", process=Process.current())
    begin(campaign, 0, "", at_hand=IDS[0])
    seen = found(campaign, accounts=sacct())
    assert states(seen) == ["running"] + ["queued"] * 7  # it may take the others too
    claim(campaign, 1, "", process=replace(Process.current(), start_ticks=1))  # killed
    assert states(found(campaign, accounts=sacct())) == ["running"] + ["queued"] * 7


def test_a_helper_that_cannot_be_seen_is_at_work_until_its_lease_ends(campaign: Campaign) -> None:
    claim(campaign, 0, "")
    assert set(states(found(campaign, accounts=sacct()))) == {"queued"}
    claim(campaign, 0, "", LEFT, generation=1)
    claim(campaign, 0, "", generation=2, lease_s=-CLOCK_SKEW_S - 1)
    assert set(states(found(campaign, accounts=sacct()))) == {"lost"}


def test_a_claim_of_a_copied_campaign_is_nobodys(campaign: Campaign) -> None:
    """Its jobs are those of the original, which was submitted again since."""
    claim(campaign, 0, "17_0")
    with programs(campaign.folder / "bin", squeue=squeue(f"99|0|RUNNING|None|{MAIN}"), sacct=sacct()):
        assert set(states(state(campaign, "c0ffee", runs(*RUNS), HASTY))) == {"lost"}


# Commands


@pytest.mark.slow
def test_logs_of_a_run_are_those_of_the_workers_that_took_its_task(campaign: Campaign) -> None:
    claim(campaign, 0, "17_0")
    begin(campaign, 0, "17_0", at_hand=IDS[0])
    claim(campaign, 0, "18_0", generation=1)
    claim(campaign, 1, "", DONE)
    begin(campaign, 1, "", [record(run) for run in RUNS[2:4]])
    logs = campaign.submission(1) / "logs"
    with programs(campaign.folder / "bin", squeue=squeue(), sacct=sacct("17_0|OUT_OF_MEMORY|0:125|n1")):
        first = commands.call("hpc.logs", IDS[0], "--output-dir", campaign.folder).stdout
        second = commands.call("hpc.logs", IDS[2], "--output-dir", campaign.folder).stdout
    assert [line for line in first.splitlines() if line.startswith("-- ")] == [
        f"-- {logs}/{job}_0_log.out" for job in ("17_0", "18_0")
    ]
    assert "job 17_0 on n1: OUT_OF_MEMORY (asked for 1000 MB, 60 min)" in first
    assert f"-- {logs}/00001.log" in second


@pytest.mark.slow
def test_workers_are_cancelled_once_no_wanted_run_is_left(campaign: Campaign, tmp_path: Path) -> None:
    claim(campaign, 0, "17_0")
    begin(campaign, 0, "17_0", [record(RUNS[0])], at_hand=IDS[1])
    rows = [f"17|0|RUNNING|None|{MAIN}", f"17|1|PENDING|Priority|{MAIN}", *(f"{row}|{SWEEP}" for row in PENDING_SWEEP)]
    scancel = f'echo "$@" >> {tmp_path}/cancelled'
    with programs(tmp_path / "bin", squeue=squeue(*rows), sacct=sacct(), scancel=scancel):
        one = commands.call("hpc.cancel", "--filter", "repeat=3", "--output-dir", campaign.folder, "--yes")
        assert "Cancelled 1 run, and 0 workers with nothing left to do." in one.stdout
        assert not (tmp_path / "cancelled").exists()
        rest = commands.call("hpc.cancel", "--output-dir", campaign.folder, "--yes")
        assert "Cancelled 6 runs, and 4 workers with nothing left to do." in rest.stdout
    assert (tmp_path / "cancelled").read_text().split() == ["17_0", "17_1", "18_0", "18_1"]


@pytest.mark.slow
def test_status_says_why_workers_wait(campaign: Campaign) -> None:
    rows = [f"17|{i}|PENDING|Priority|{MAIN}" for i in range(3)]
    with programs(campaign.folder / "bin", squeue=squeue(*rows), sacct=sacct()):
        shown = commands.call("hpc.status", "--output-dir", campaign.folder).stdout
    assert "submission 0001: 4 tasks at work or waiting" in shown
    assert "3 workers waiting: Priority: its turn has not come" in shown


@pytest.mark.slow
def test_this_machine_helps_with_a_submission_on_a_cluster(tmp_path: Path, digits_dir: Path) -> None:
    """Its workers wait in the queue, and find nothing left when they begin."""
    grid, out = tmp_path / "grid.yaml", tmp_path / "campaign"
    grid.write_text(GRID)
    sinfo = prints("PARTITION|AVAIL|MEMORY|TIMELIMIT", "main*|up|32000|60")
    config = prints("MaxJobCount = 100", "MaxArraySize = 100", "AccountingStorageType = none")
    scripts = {"sbatch": "echo Submitted batch job 17", "srun": "true", "sinfo": sinfo, "scontrol": config, "squeue": squeue()}
    common = ("--grid", grid, "--output-dir", out, "--data-dir", digits_dir, "--executor")
    with programs(tmp_path / "bin", **scripts, sacct=sacct()):
        assert commands.call("hpc.submit", *common, "slurm").returncode == 0
    helped = commands.call("hpc.submit", *common, "local", "--join", 1)
    assert helped.returncode == 0, helped.stderr
    assert "submission 0001: 8 of 8 runs done." in helped.stdout
    assert (out / "submissions/0001/finished").exists()
    for options, answer in (("slurm", "--join: only with --executor local"), ("local", "--join 1: not possible: it has ended")):
        with programs(tmp_path / "bin", **scripts, sacct=sacct()):
            commands.call("hpc.submit", *common, "slurm")  # notes that all is done
            refused = commands.call("hpc.submit", *common, options, "--join", 1)
        assert refused.returncode == 2 and answer in refused.stderr, refused.stderr
