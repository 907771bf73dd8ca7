"""The state of every run of a Slurm submission, from shards and from what small programs on PATH say of the queue.

Each element of an array has a task of its own here, as in submissions of earlier versions (tests/hpc/state/test_claimed.py has
those whose workers claim tasks).
"""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from hpc.execution.choice import EXECUTORS
from hpc.execution.slurm.executor import Slurm, busy_arrays
from hpc.planning.retrying import Reason
from hpc.planning.tasks import Plan, plan
from hpc.planning.waiting import BusyArray
from hpc.planning.workers import Resources
from hpc.request.prepare import campaign_id
from hpc.state import submissions
from hpc.state.arrays import Array
from hpc.state.runs import State, state
from hpc.state.submissions import Submission
from jobs.campaign import Campaign
from jobs.manifest import write_manifest
from jobs.shard import ShardWriter
from jobs.taskfile import Task
from noisy.spec import Execution
from tests import commands
from tests.programs import programs, sacct, squeue
from tests.records import ATTRIBUTES, failure, record
from tests.specs import runs, spec

RUNS = [spec(repeat=repeat) for repeat in range(8)]
IDS = [run.run_id for run in RUNS]
TASKS = [Task(i, "c0ffee", "abc", "/data", Execution(), runs(*RUNS[2 * i : 2 * i + 2])) for i in range(4)]
PLAN = Plan(plan(runs(*RUNS), 4, Execution(), runs_per_task=2).tasks, 4, Execution())
HASTY = EXECUTORS | {"slurm": Slurm(lag_s=())}
ASKED = Resources(1, 0, 1000, 10)


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    """Eight runs in four tasks, submitted as job 17 by a process that has ended."""
    made = Campaign(tmp_path / "campaign")
    made.submissions.mkdir(parents=True)
    made.shards.mkdir()
    write_manifest(made.manifest, runs(*RUNS), "abc", campaign="c0ffee")
    hand_over(made, 1, TASKS, "17")
    return made


def hand_over(campaign: Campaign, number: int, tasks: list[Task], job_id: str | None, resources: Resources = ASKED) -> None:
    """A submission by a process that has ended, as an array with this id."""
    array = Array(f"c0ffee-{number:04d}-00", 0, len(tasks), len(tasks), resources, job_id=job_id)
    submission = Submission.by_this_process(number, "c0ffee", "slurm", PLAN, arrays=(array,), code_commit="abc")
    owner = replace(submission.process, start_ticks=1)
    before = replace(submission, process=owner, n_tasks=len(tasks), is_claimed=False)
    submissions.claim(campaign, before, tasks)


def begin(campaign: Campaign, task: int, records: list, at_hand: str = "", submission: int = 1, attempt: int = 0) -> None:
    writer = ShardWriter(campaign.shards, submission, task, attempt, ATTRIBUTES)
    writer.begin(at_hand)
    for item in records:
        writer.append(item, at_hand)


def found(campaign: Campaign, tmp_path: Path, queue: str = "", accounts: str = "exit 1", write: bool = False) -> State:
    """The state with these rows in the queue (`0 RUNNING`) and this program for accounting."""
    rows = [f"17|{row.split()[0]}|{row.split()[1]}|None|c0ffee-0001-00" for row in queue.split(", ") if row]
    with programs(tmp_path / "bin", squeue=squeue(*rows), sacct=accounts):
        return look(campaign, write)


def look(campaign: Campaign, write: bool = False) -> State:
    return state(campaign, campaign_id(campaign), runs(*RUNS), HASTY, write=write)


def states(seen: State) -> list[str]:
    return [seen.of(place) for place in range(len(seen.runs))]


def ids_to_submit(seen: State, retry_failed: bool = False) -> list[str]:
    return seen.runs.take(seen.to_submit(retry_failed)).ids()


def test_running_and_queued(campaign: Campaign, tmp_path: Path) -> None:
    begin(campaign, 0, [record(RUNS[0])], at_hand=IDS[1])
    begin(campaign, 1, [], at_hand=IDS[2])
    seen = found(campaign, tmp_path, "0 RUNNING, 1 RUNNING, 2 PENDING, 3 PENDING")
    assert states(seen) == ["done", "running", "running", "queued", "queued", "queued", "queued", "queued"]
    assert ids_to_submit(seen) == []


@pytest.mark.parametrize(
    ("how", "at_hand_is", "other_is"),
    [
        ("OUT_OF_MEMORY|0:125", "failed", "lost"),
        ("TIMEOUT|0:0", "failed", "lost"),
        ("FAILED|75:0", "failed", "lost"),
        ("FAILED|74:0", "lost", "lost"),
        ("NODE_FAIL|0:0", "lost", "lost"),
        ("CANCELLED by 0|0:15", "cancelled", "cancelled"),
    ],
)
def test_how_a_task_ended_explains_its_runs(
    campaign: Campaign, tmp_path: Path, how: str, at_hand_is: str, other_is: str
) -> None:
    begin(campaign, 0, [], at_hand=IDS[0])
    seen = found(campaign, tmp_path, "1 PENDING, 2 PENDING, 3 PENDING", sacct(f"17_0|{how}|n1"))
    assert states(seen) == [at_hand_is, other_is] + ["queued"] * 6
    assert ids_to_submit(seen) == IDS[:2]


@pytest.mark.slow
def test_a_full_disk_is_no_try_of_a_run_and_status_says_so(campaign: Campaign, tmp_path: Path) -> None:
    for task in range(4):
        begin(campaign, task, [], at_hand=IDS[2 * task])
    accounts = sacct(*(f"17_{task}|FAILED|74:0|n1" for task in range(4)))
    for _ in range(3):
        seen = found(campaign, tmp_path, accounts=accounts)
    assert not seen.is_given_up.any()
    assert ids_to_submit(seen) == IDS
    with programs(tmp_path / "bin", squeue=squeue(), sacct=accounts):
        shown = commands.call("hpc.status", "--output-dir", campaign.folder)
    assert (
        "4 workers could not keep results (disk full, no permission, share down): noisy logs --failed says why" in shown.stdout
    )


def test_a_task_that_accounting_has_forgotten_is_lost(campaign: Campaign, tmp_path: Path) -> None:
    seen = found(campaign, tmp_path, "1 PENDING, 2 PENDING, 3 PENDING", sacct())
    assert states(seen)[:2] == ["lost", "lost"]


def test_outcomes_are_asked_for_once(campaign: Campaign, tmp_path: Path) -> None:
    begin(campaign, 0, [], at_hand=IDS[0])
    queue = "1 PENDING, 2 PENDING, 3 PENDING"
    found(campaign, tmp_path, queue, sacct("17_0|TIMEOUT|0:0|n1"), write=True)
    again = found(campaign, tmp_path, queue, "exit 1")  # sacct is down; nothing new to ask
    assert again.unreachable == ""
    assert states(again)[0] == "failed"
    (outcome,) = again.outcomes
    assert (outcome.run_id, outcome.reason, outcome.said, outcome.job) == (IDS[0], Reason.TIME, "TIMEOUT", "17_0")
    assert (outcome.mem_mb, outcome.time_limit_min) == (1000, 10)


def test_a_task_that_by_the_accounting_has_not_ended_is_unknown(campaign: Campaign, tmp_path: Path) -> None:
    begin(campaign, 0, [], at_hand=IDS[0])
    running = sacct(*(f"17_{task}|RUNNING|0:0|n1" for task in range(4)))
    early = found(campaign, tmp_path, "", running, write=True)
    assert set(states(early)) == {"unknown"}
    assert "4 of its tasks are not in the queue, but accounting says that they have not ended" in early.unreachable
    assert submissions.read(campaign, 1).ended is None
    assert found(campaign, tmp_path, "1 PENDING, 2 PENDING, 3 PENDING", sacct("17_0|TIMEOUT|0:0|n1")).of(0) == "failed"
    with programs(tmp_path / "bin", squeue="exit 1", sacct=running):
        abandoned = state(campaign, "c0ffee", runs(*RUNS), HASTY, abandoned=[1])
    assert (set(states(abandoned)), abandoned.unreachable) == ({"lost"}, "")


@pytest.mark.parametrize("said", ["echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2", "true", "echo hello"])
def test_an_answer_that_is_none_is_unknown(campaign: Campaign, tmp_path: Path, said: str) -> None:
    """squeue exits with 0, and does not list what runs."""
    with programs(tmp_path / "bin", squeue=said, sacct=sacct()):
        seen = look(campaign, write=True)
    assert (set(states(seen)), seen.unreachable.split(" did not")[0]) == ({"unknown"}, "squeue")
    assert submissions.read(campaign, 1).ended is None


@pytest.mark.parametrize(
    ("controller", "expected"),
    [
        ("JobId=18 ArrayJobId=17 ArrayTaskId=0 JobState=OUT_OF_MEMORY Reason=x ExitCode=0:125 NodeList=n1", "failed"),
        ("JobId=18 ArrayJobId=17 ArrayTaskId=0 JobState=NODE_FAIL Reason=x ExitCode=0:0 NodeList=n1", "lost"),
        ("slurm_load_jobs error: Invalid job id specified", "lost"),  # it has forgotten the job
    ],
)
def test_a_site_without_accounting(campaign: Campaign, tmp_path: Path, controller: str, expected: str) -> None:
    """The controller is asked while it remembers. After that, runs are tried again."""
    begin(campaign, 0, [], at_hand=IDS[0])
    disabled = "echo 'Slurm accounting storage is disabled' >&2; exit 1"
    asked = f"echo '{controller}'\n" + ("exit 1" if "error" in controller else "")
    with programs(tmp_path / "bin", scontrol=asked):
        seen = found(campaign, tmp_path, "1 PENDING, 2 PENDING, 3 PENDING", disabled)
    assert (states(seen)[:2], seen.unreachable) == ([expected, "lost"], "")
    assert ids_to_submit(seen) == IDS[:2]


def test_a_database_that_is_down_leaves_out_only_what_it_has_to_explain(campaign: Campaign, tmp_path: Path) -> None:
    begin(campaign, 0, [failure(RUNS[0]), record(RUNS[1])])
    begin(campaign, 1, [], at_hand=IDS[2])
    down = "echo 'sacct: error: Problem talking to the database: Connection refused' >&2; exit 1"
    seen = found(campaign, tmp_path, "2 PENDING, 3 PENDING", down)
    assert states(seen)[:4] == ["failed", "done", "unknown", "unknown"]
    assert seen.known.is_queue_known
    assert ids_to_submit(seen) == IDS[:1]


def test_a_queue_with_a_complaint_needs_the_accounting(campaign: Campaign, tmp_path: Path) -> None:
    """What it lists is at work. What it does not list has ended only if the accounting says so."""
    complains = squeue("17|0|RUNNING|None|c0ffee-0001-00") + "echo 'one of two controllers did not answer' >&2"
    ended = [f"17_{task}|NODE_FAIL|1:0|n1" for task in (1, 2)]
    with programs(tmp_path / "bin", squeue=complains, sacct=sacct(*ended)):
        seen = look(campaign)
    assert states(seen) == ["queued"] * 2 + ["lost"] * 4 + ["unknown"] * 2
    assert "submission 0001: 1 of its tasks may or may not have ended (squeue said: one of two" in seen.unreachable
    with programs(tmp_path / "bin", squeue=complains, sacct=sacct(*ended, "17_3|NODE_FAIL|1:0|n1")):
        assert look(campaign).unreachable == ""


def test_jobs_of_another_user_that_the_site_hides_have_ended_only_if_the_accounting_says_so(
    campaign: Campaign, tmp_path: Path
) -> None:
    submission = submissions.read(campaign, 1)
    submissions.write(campaign, replace(submission, process=replace(submission.process, user=os.getuid() + 1)))
    for private, expected in (("accounts,jobs", "unknown"), ("none", "lost")):
        hides = f"echo 'PrivateData             = {private}'"
        with programs(tmp_path / "bin", squeue=squeue(), sacct=sacct("17_3|NODE_FAIL|1:0|n1"), scontrol=hides):
            seen = look(campaign)
        assert states(seen) == [expected] * 6 + ["lost"] * 2
        assert ("this site hides the jobs of others" in seen.unreachable) == (expected == "unknown")


def test_an_array_without_an_id_may_be_there_if_the_queue_is_in_doubt(campaign: Campaign, tmp_path: Path) -> None:
    submission = submissions.read(campaign, 1)
    submissions.write(campaign, replace(submission, arrays=(replace(submission.arrays[0], job_id=None),)))
    with programs(tmp_path / "bin", squeue=squeue() + "echo 'one of two controllers did not answer' >&2", sacct=sacct()):
        seen = look(campaign)
    assert (set(states(seen)), ids_to_submit(seen)) == ({"unknown"}, [])


def test_a_copy_of_a_campaign_does_not_own_the_jobs_of_the_original(campaign: Campaign, tmp_path: Path) -> None:
    """A folder that was copied has the same names; the original was submitted again since, under another job."""
    rows = [f"99|{task}|RUNNING|None|c0ffee-0001-00" for task in range(4)]
    with programs(tmp_path / "bin", squeue=squeue(*rows), sacct=sacct()):
        assert set(states(look(campaign))) == {"lost"}


def test_a_task_that_ends_after_the_shards_were_read_is_not_lost(campaign: Campaign, tmp_path: Path) -> None:
    """The last record of each task appears while squeue is asked."""
    for task in range(4):
        begin(campaign, task, [record(run) for run in RUNS[2 * task : 2 * task + 2]])
    hidden = campaign.folder / "not yet"
    campaign.shards.rename(hidden)
    campaign.shards.mkdir()
    with programs(tmp_path / "bin", squeue=f"mv '{hidden}'/* '{campaign.shards}'\n{squeue()}", sacct=sacct()):
        assert set(states(look(campaign))) == {"done"}


def test_silence_is_unknown(campaign: Campaign, tmp_path: Path) -> None:
    begin(campaign, 0, [record(RUNS[0]), failure(RUNS[1])])
    with programs(tmp_path / "bin", squeue="exit 1", sacct="exit 1"):
        seen = look(campaign)
    assert states(seen) == ["done"] + ["unknown"] * 7
    assert ids_to_submit(seen, retry_failed=True) == []
    assert seen.unreachable.startswith("squeue exited with 1")


def test_silent_accounting_leaves_what_it_would_explain_unknown(campaign: Campaign, tmp_path: Path) -> None:
    seen = found(campaign, tmp_path, "1 PENDING, 2 PENDING, 3 PENDING", "exit 1")
    assert states(seen) == ["unknown", "unknown"] + ["queued"] * 6


def test_arrays_are_busy_as_long_as_tasks_may_be_executed(campaign: Campaign, tmp_path: Path) -> None:
    busy = found(campaign, tmp_path, "0 RUNNING, 1 RUNNING, 2 PENDING, 3 PENDING")  # an array of 4 at a time, job 17
    assert busy_arrays(busy) == (BusyArray("17", 4),)
    for i in range(4):
        begin(campaign, i, [record(run) for run in TASKS[i].runs])
    assert busy_arrays(found(campaign, tmp_path)) == ()


def test_what_is_done_needs_no_scheduler(campaign: Campaign, tmp_path: Path) -> None:
    for i in range(4):
        begin(campaign, i, [record(run) for run in TASKS[i].runs])
    with programs(tmp_path / "bin", squeue="exit 1", sacct="exit 1"):
        seen = look(campaign)
    assert set(states(seen)) == {"done"}
    assert seen.unreachable == ""


def test_an_array_whose_id_was_never_written_is_found_by_its_name(campaign: Campaign, tmp_path: Path) -> None:
    submission = submissions.read(campaign, 1)
    submissions.write(campaign, replace(submission, arrays=(replace(submission.arrays[0], job_id=None),)))
    seen = found(campaign, tmp_path, "0 PENDING, 1 PENDING, 2 PENDING, 3 PENDING")
    assert set(states(seen)) == {"queued"}
    gone = found(campaign, tmp_path, "", "exit 1")
    assert set(states(gone)) == {"missing"}  # never submitted: nothing to ask accounting about


@pytest.mark.slow
def test_status_says_it_all(campaign: Campaign, tmp_path: Path) -> None:
    begin(campaign, 0, [record(RUNS[0]), failure(RUNS[1], "ValueError: no such thing")])
    begin(campaign, 1, [], at_hand=IDS[2])
    rows = ("17|1|RUNNING|None|c0ffee-0001-00", "17|2|PENDING|None|c0ffee-0001-00")
    scripts = {"squeue": squeue(*rows), "sacct": sacct("17_3|OUT_OF_MEMORY|0:125|n1")}
    with programs(tmp_path / "bin", **scripts):
        shown = commands.call("hpc.status", "--output-dir", campaign.folder, "--cells")
        as_json = json.loads(commands.call("hpc.status", "--output-dir", campaign.folder, "--json").stdout)
        logs = commands.call("hpc.logs", "--failed", "--output-dir", campaign.folder)
        one_log = commands.call("hpc.logs", IDS[0][:10], "--output-dir", campaign.folder)
        no_log = commands.call("hpc.logs", "xyz", "--output-dir", campaign.folder)
    counts = {"done": 1, "running": 1, "queued": 3, "failed": 1, "lost": 2, "cancelled": 0, "missing": 0, "unknown": 0}
    assert {name: as_json[name] for name in counts} == counts
    assert shown.returncode == 1
    assert "mlp 32 relu p=0.3 epochs=2 learning_rate=0.001: 1 done, 1 running, 3 queued, 1 failed, 2 lost" in shown.stdout
    assert shown.stdout.splitlines()[-1] == f"Next: noisy logs --failed --output-dir {campaign.folder}"
    assert f"== {IDS[1]} mlp relu p=0.3 repeat 1: failed" in logs.stdout
    assert "ValueError: no such thing" in logs.stdout
    assert f"-- {campaign.folder}/submissions/0001/logs/17_0_0_log.out" in one_log.stdout
    assert no_log.returncode == 2
    assert "'xyz' matches no run" in no_log.stderr


@pytest.mark.slow
def test_cancelling_passes_over_runs_and_cancels_tasks_with_nothing_left(campaign: Campaign, tmp_path: Path) -> None:
    begin(campaign, 0, [record(RUNS[0])], at_hand=IDS[1])
    rows = [f"17|{i}|PENDING|None|c0ffee-0001-00" for i in range(4)]
    with programs(tmp_path / "bin", squeue=squeue(*rows), sacct=sacct(), scancel=f'echo "$@" >> {tmp_path}/cancelled'):
        unasked = commands.call("hpc.cancel", "--filter", "repeat=3", "--output-dir", campaign.folder)
        cancelled = commands.call("hpc.cancel", "--filter", "repeat=3", "--output-dir", campaign.folder, "--yes")
        wrong = commands.call("hpc.cancel", "--filter", "colour=3", "--output-dir", campaign.folder, "--yes")
        rest = commands.call("hpc.cancel", "--output-dir", campaign.folder, "--yes")
    assert unasked.returncode == 1
    assert "Cancelled 1 run, and 0 workers" in cancelled.stdout
    assert wrong.returncode == 2
    assert "'colour=3': no column 'colour'; allowed: run_id, dataset, activation" in wrong.stderr
    assert "Cancelled 6 runs, and 4 workers" in rest.stdout
    assert (tmp_path / "cancelled").read_text().split() == ["17_0", "17_1", "17_2", "17_3"]


# Rules of what happens to a run


def test_what_nobody_is_to_blame_for_is_no_try(campaign: Campaign, tmp_path: Path) -> None:
    """Three node failures: a healthy run is submitted again."""
    for number in (2, 3):
        hand_over(campaign, number, TASKS[:1], str(15 + number))
    for number in (1, 2, 3):
        begin(campaign, 0, [], at_hand=IDS[0], submission=number)
    queue = "1 PENDING, 2 PENDING, 3 PENDING"
    node_fail = sacct(*(f"{job}|NODE_FAIL|1:0|n1" for job in ("17_0", "17", "18")))
    seen = found(campaign, tmp_path, queue, node_fail)
    assert [outcome.reason for outcome in seen.outcomes] == [Reason.CLUSTER] * 3
    assert ids_to_submit(seen) == IDS[:2]
    blamed = found(campaign, tmp_path, queue, node_fail.replace("NODE_FAIL", "OUT_OF_MEMORY"))
    assert ids_to_submit(blamed) == [IDS[1]]  # given up
    assert ids_to_submit(blamed, retry_failed=True) == IDS[:2]


def test_a_run_that_raised_before_is_blamed_for_killing_its_task_now(campaign: Campaign, tmp_path: Path) -> None:
    begin(campaign, 0, [failure(RUNS[0]), record(RUNS[1])])
    hand_over(campaign, 2, [replace(TASKS[0], runs=runs(RUNS[0]))], "18")
    begin(campaign, 0, [], at_hand=IDS[0], submission=2)
    seen = found(campaign, tmp_path, "1 PENDING, 2 PENDING, 3 PENDING", sacct("18|OUT_OF_MEMORY|0:125|n1"))
    (outcome,) = seen.outcomes
    assert (outcome.run_id, outcome.reason, outcome.job) == (IDS[0], Reason.MEMORY, "18")


def test_a_failed_run_with_a_record_is_not_asked_for(campaign: Campaign, tmp_path: Path) -> None:
    begin(campaign, 0, [failure(RUNS[0]), record(RUNS[1])])
    seen = found(campaign, tmp_path, "1 PENDING, 2 PENDING, 3 PENDING", "exit 1")  # sacct is not called
    assert seen.unreachable == ""
    assert states(seen)[:2] == ["failed", "done"]


def test_a_failed_run_of_a_task_at_work_is_failed(campaign: Campaign, tmp_path: Path) -> None:
    begin(campaign, 0, [failure(RUNS[0])], at_hand=IDS[1])
    seen = found(campaign, tmp_path, "0 RUNNING, 1 PENDING, 2 PENDING, 3 PENDING")
    assert states(seen)[:2] == ["failed", "running"]


def test_a_run_that_failed_elsewhere_is_queued_where_it_is_tried_again(campaign: Campaign, tmp_path: Path) -> None:
    begin(campaign, 0, [failure(RUNS[0]), record(RUNS[1])])
    hand_over(campaign, 2, [replace(TASKS[0], runs=runs(RUNS[0]))], None)
    rows = ("17|1|PENDING|None|c0ffee-0001-00", "18|N/A|PENDING|None|c0ffee-0002-00")
    with programs(tmp_path / "bin", squeue=squeue(*rows), sacct=sacct()):
        assert look(campaign).of(0) == "queued"


def test_a_cancelled_run_that_is_being_trained_is_running(campaign: Campaign, tmp_path: Path) -> None:
    begin(campaign, 0, [], at_hand=IDS[0])
    campaign.new_cancelled(1).write_text(f"{IDS[0]}\n{IDS[1]}\n")
    queue = "1 PENDING, 2 PENDING, 3 PENDING"
    assert states(found(campaign, tmp_path, f"0 RUNNING, {queue}"))[:2] == ["running", "cancelled"]
    assert states(found(campaign, tmp_path, queue, sacct("17_0|NODE_FAIL|1:0|n1")))[:2] == ["cancelled", "cancelled"]


def test_two_cancels_at_once_lose_nothing(campaign: Campaign, tmp_path: Path) -> None:
    for run_id in IDS[:3]:
        campaign.new_cancelled(1).write_text(f"{run_id}\n")
    (campaign.submission(1) / "cancelled.txt").write_text(f"{IDS[3]}\n")  # as earlier versions wrote it
    assert states(found(campaign, tmp_path, "2 PENDING, 3 PENDING", sacct()))[:5] == ["cancelled"] * 4 + ["queued"]


def test_an_element_that_was_requeued_does_not_run(campaign: Campaign, tmp_path: Path) -> None:
    begin(campaign, 0, [], at_hand=IDS[0])
    for waiting in ("PENDING", "REQUEUED", "REQUEUE_HOLD", "SUSPENDED", "SPECIAL_EXIT", "RESV_DEL_HOLD", "EXPEDITING"):
        assert states(found(campaign, tmp_path, f"0 {waiting}, 1 PENDING, 2 PENDING, 3 PENDING"))[:2] == ["queued", "queued"]


def test_the_run_of_the_last_attempt_is_the_one_that_is_trained(campaign: Campaign, tmp_path: Path) -> None:
    begin(campaign, 0, [], at_hand=IDS[0], attempt=2)
    begin(campaign, 0, [], at_hand=IDS[1], attempt=10)  # "10" sorts before "2"
    seen = found(campaign, tmp_path, "1 PENDING, 2 PENDING, 3 PENDING", sacct("17_0|TIMEOUT|0:0|n1"))
    assert states(seen)[:2] == ["lost", "failed"]


def test_a_submit_that_cannot_be_seen_leaves_what_it_may_still_submit_unknown(campaign: Campaign, tmp_path: Path) -> None:
    submission = submissions.read(campaign, 1)
    elsewhere = replace(submission.process, host="elsewhere", boot_id="another")
    submissions.write(campaign, replace(submission, process=elsewhere))
    assert set(states(found(campaign, tmp_path, "0 RUNNING, 1 PENDING, 2 PENDING, 3 PENDING"))) == {"queued"}
    unwritten = (replace(submission.arrays[0], job_id=None),)
    submissions.write(campaign, replace(submission, process=elsewhere, arrays=unwritten))
    assert set(states(found(campaign, tmp_path))) == {"unknown"}


def test_what_a_living_submit_has_not_yet_submitted_is_queued(campaign: Campaign, tmp_path: Path) -> None:
    submission = submissions.read(campaign, 1)
    alive = Submission.by_this_process(1, "c0ffee", "slurm", PLAN).process
    submissions.write(campaign, replace(submission, process=alive, arrays=(replace(submission.arrays[0], job_id=None),)))
    assert set(states(found(campaign, tmp_path))) == {"queued"}


def test_later_submissions_have_the_last_word(campaign: Campaign, tmp_path: Path) -> None:
    queue = "1 PENDING, 2 PENDING, 3 PENDING"
    begin(campaign, 0, [], at_hand=IDS[0])
    found(campaign, tmp_path, queue, sacct("17_0|CANCELLED by 0|0:15|n1"), write=True)
    hand_over(campaign, 2, TASKS[:1], None)
    begin(campaign, 0, [], at_hand=IDS[0], submission=2)
    assert states(found(campaign, tmp_path, queue, "exit 1"))[:2] == ["lost", "lost"]  # never submitted: nothing to ask about


def test_nothing_is_written_while_a_scheduler_is_silent(campaign: Campaign, tmp_path: Path) -> None:
    found(campaign, tmp_path, "", "exit 1", write=True)
    assert submissions.read(campaign, 1).ended is None
    found(campaign, tmp_path, "", sacct(), write=True)
    assert submissions.read(campaign, 1).ended


def test_an_abandoned_submission_is_not_looked_for_in_the_queue_and_not_ended(campaign: Campaign, tmp_path: Path) -> None:
    with programs(tmp_path / "bin", squeue="exit 1", sacct=sacct()):
        seen = state(campaign, "c0ffee", runs(*RUNS), EXECUTORS, abandoned=[1], write=True)
    assert (set(states(seen)), seen.unreachable) == ({"lost"}, "")
    assert submissions.read(campaign, 1).ended is None


def test_a_shard_of_another_campaign_does_not_count(campaign: Campaign, tmp_path: Path) -> None:
    writer = ShardWriter(campaign.shards, 1, 0, 0, ATTRIBUTES | {"campaign": "another"})
    writer.append(record(RUNS[0]))
    seen = found(campaign, tmp_path, "0 PENDING, 1 PENDING, 2 PENDING, 3 PENDING")
    assert seen.of(0) == "queued"
    assert "of campaign another, not of c0ffee" in seen.recorded.problems[0]


def test_attempts_that_recorded_nothing_are_counted_by_the_run_they_began_with(campaign: Campaign, tmp_path: Path) -> None:
    begin(campaign, 0, [], at_hand=IDS[0])
    begin(campaign, 0, [], at_hand=IDS[0], attempt=1)
    begin(campaign, 1, [record(RUNS[2])], at_hand=IDS[3])
    assert found(campaign, tmp_path, "0 RUNNING, 1 RUNNING, 2 PENDING, 3 PENDING").empty_attempts == {IDS[0]: 2}


def test_status_tells_of_other_code(campaign: Campaign, tmp_path: Path) -> None:
    writer = ShardWriter(campaign.shards, 1, 0, 0, ATTRIBUTES | {"code_commit": "def"})
    writer.append(record(RUNS[0]))
    begin(campaign, 1, [record(RUNS[2])])  # by abc, as it was submitted
    with programs(tmp_path / "bin", squeue=squeue(), sacct=sacct()):
        shown = commands.call("hpc.status", "--output-dir", campaign.folder)
    assert "note: submission 0001 was submitted with code abc, but executed with def\n" in shown.stdout


def test_status_tells_of_tasks_that_failed_before_a_run(campaign: Campaign, tmp_path: Path) -> None:
    rows = [f"17_{task}|FAILED|1:0|n1" for task in range(4)]
    with programs(tmp_path / "bin", squeue=squeue(), sacct=sacct(*rows)):
        shown = commands.call("hpc.status", "--output-dir", campaign.folder)
    assert "4 workers failed before the first run began: see noisy logs --failed" in shown.stdout


# Submissions that cannot be read


QUEUE = "0 RUNNING, 1 PENDING, 2 PENDING, 3 PENDING"


def test_runs_of_a_submission_without_a_record_are_unknown_until_it_is_abandoned(campaign: Campaign, tmp_path: Path) -> None:
    hand_over(campaign, 2, TASKS[:2], "18")
    begin(campaign, 0, [record(RUNS[0]), failure(RUNS[1])], at_hand=IDS[2], submission=2)
    (campaign.submission(2) / "submission.json").write_text("{}")
    seen = found(campaign, tmp_path, "2 PENDING, 3 PENDING", sacct(), write=True)
    assert states(seen) == ["done", "unknown", "unknown", "unknown"] + ["queued"] * 4
    assert ids_to_submit(seen, retry_failed=True) == []
    (problem,) = seen.problems
    assert problem.startswith(f"{campaign.submission(2)}/submission.json: not the record of a submission (")
    assert problem.endswith(
        f"if no worker of it is at work any more, remove {campaign.submission(2)}, or submit with --abandon 2"
    )
    with programs(tmp_path / "bin", squeue=squeue(), sacct=sacct()):
        abandoned = state(campaign, "c0ffee", runs(*RUNS), EXECUTORS, abandoned=[2], write=True)
    assert states(abandoned) == ["done", "failed"] + ["lost"] * 6
    assert (campaign.submission(2) / "submission.json").read_text() == "{}"


def test_a_submission_at_work_on_nobody_knows_what_leaves_the_rest_unknown(campaign: Campaign, tmp_path: Path) -> None:
    hand_over(campaign, 2, TASKS[:1], "18")
    begin(campaign, 0, [record(RUNS[0])], submission=1)
    for damage in ("torn", "", '{"task":0,"schema":3,"runs":[]}\n'):
        campaign.tasks(1).write_text(damage)
        seen = found(campaign, tmp_path, QUEUE, sacct())
        assert states(seen) == ["done", "lost"] + ["unknown"] * 6  # submission 2 has the last word on the first two
        ended = found(campaign, tmp_path, "", sacct())  # nothing of it is in the queue any more
        assert states(ended) == ["done", "lost"] + ["missing"] * 6
    with programs(tmp_path / "bin", squeue="exit 1", sacct="exit 1"):
        assert set(states(look(campaign))) == {"done", "unknown"}


def test_results_count_whatever_became_of_the_submissions(campaign: Campaign, tmp_path: Path) -> None:
    for i in range(4):
        begin(campaign, i, [record(run) for run in TASKS[i].runs])
    for name in ("submission.json", "tasks.jsonl"):
        (campaign.submission(1) / name).write_bytes(b"\xff")
        seen = found(campaign, tmp_path, "", "exit 1")
        assert set(states(seen)) == {"done"}
        assert len(seen.problems) == 1
        shutil.rmtree(campaign.submission(1))
        hand_over(campaign, 1, TASKS, "17")


def test_runs_that_may_be_at_work_are_not_cancelled_without_a_word(campaign: Campaign, tmp_path: Path) -> None:
    (campaign.submission(1) / "submission.json").write_text("{}")
    with programs(tmp_path / "bin", squeue=squeue(), sacct=sacct()):
        cancelled = commands.call("hpc.cancel", "--output-dir", campaign.folder, "--yes", "--filter", "repeat=3")
    assert cancelled.returncode == 1
    assert "warning: 1 run may be queued or running, and cannot be cancelled\n" in cancelled.stderr


@pytest.mark.slow
def test_cancel_leaves_tasks_without_a_wanted_run_alone(campaign: Campaign, tmp_path: Path) -> None:
    """Runs that failed in an earlier submission are still to be done in a later one."""
    begin(campaign, 0, [failure(RUNS[0]), failure(RUNS[1])])
    hand_over(campaign, 2, TASKS[:1], "18")
    rows = [*(f"17|{i}|PENDING|None|c0ffee-0001-00" for i in (1, 2, 3)), "18|N/A|PENDING|None|c0ffee-0002-00"]
    scancel = f'echo "$@" >> {tmp_path}/cancelled'
    with programs(tmp_path / "bin", squeue=squeue(*rows), sacct=sacct(), scancel=scancel):
        command = ("hpc.cancel", "--output-dir", campaign.folder, "--yes", "--filter")
        one = commands.call(*command, "repeat=3")
        assert "Cancelled 1 run, and 0 workers" in one.stdout
        assert not (tmp_path / "cancelled").exists()
        assert "Cancelled 1 run, and 1 worker " in commands.call(*command, "repeat=2").stdout
        commands.call(*command, "repeat=0")
        assert "Cancelled 1 run, and 1 worker " in commands.call(*command, "repeat=1").stdout
    assert (tmp_path / "cancelled").read_text().split() == ["17_1", "18"]
