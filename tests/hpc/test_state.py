"""The state of every run of a Slurm submission, from shards and from what small programs on PATH say of the queue."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hpc import submissions
from hpc.plan import PlannedArray, Resources
from hpc.prepare import campaign_id
from hpc.slurm import share_left
from hpc.state import State, state
from jobs.campaign import Campaign
from jobs.manifest import write_manifest
from jobs.shard import ShardWriter
from jobs.taskfile import Task
from noisy.spec import Execution, spec_of
from tests import commands
from tests.programs import programs
from tests.records import ATTRIBUTES, failure, record
from tests.specs import spec, texts

RUNS = [spec(repeat=repeat) for repeat in range(8)]
IDS = [run.run_id for run in RUNS]
TASKS = [Task(i, "c0ffee", "abc", "/data", Execution(), texts(*RUNS[2 * i : 2 * i + 2])) for i in range(4)]
ASKED = Resources(1, 0, 1000, 10)


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    """Eight runs in four tasks, submitted as job 17 by a process that has ended."""
    made = Campaign(tmp_path / "campaign")
    made.submissions.mkdir(parents=True)
    made.shards.mkdir()
    write_manifest(made.manifest, {run.run_id: run.canonical_json() for run in RUNS}, "abc", campaign="c0ffee")
    submission = submissions.slurm(1, "c0ffee", 8, 4, (PlannedArray(0, 4, ASKED, 4),))
    submissions.claim(made, submission, TASKS)
    arrays = (replace(submission.arrays[0], job_id="17"),)
    submissions.write(made, replace(submission, arrays=arrays, process=replace(submission.process, start_ticks=1)))
    return made


def begin(campaign: Campaign, task: int, records: list, at_hand: str = "") -> None:
    writer = ShardWriter(campaign.shards, 1, task, 0, ATTRIBUTES)
    writer.start(at_hand)
    for item in records:
        writer.append(item, at_hand)


def found(campaign: Campaign, tmp_path: Path, queue: str = "", sacct: str = "exit 1", write: bool = False) -> State:
    """The state with these rows in the queue (`0 RUNNING`) and this program for accounting."""
    rows = "".join(f"17|{row.split()[0]}|{row.split()[1]}|None|c0ffee-0001-00\\n" for row in queue.split(", ") if row)
    with programs(tmp_path / "bin", squeue=f"printf '{rows}'", sacct=sacct):
        return state(campaign, campaign_id(campaign), IDS, write=write)


def test_running_and_queued(campaign: Campaign, tmp_path: Path) -> None:
    begin(campaign, 0, [record(RUNS[0])], at_hand=IDS[1])
    begin(campaign, 1, [], at_hand=IDS[2])
    seen = found(campaign, tmp_path, "0 RUNNING, 1 RUNNING, 2 PENDING, 3 PENDING")
    assert list(seen.runs.values()) == ["done", "running", "running", "queued", "queued", "queued", "queued", "queued"]
    assert seen.to_submit(retry_failed=False) == []


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
    seen = found(campaign, tmp_path, "1 PENDING, 2 PENDING, 3 PENDING", f"echo '17_0|{how}|n1'")
    assert list(seen.runs.values()) == [at_hand_is, other_is] + ["queued"] * 6
    assert seen.to_submit(retry_failed=False) == IDS[:2]


def test_a_full_disk_is_no_try_of_a_run_and_status_says_so(campaign: Campaign, tmp_path: Path) -> None:
    for task in range(4):
        begin(campaign, task, [], at_hand=IDS[2 * task])
    rows = "\n".join(f"17_{task}|FAILED|74:0|n1" for task in range(4))
    for _ in range(3):
        seen = found(campaign, tmp_path, sacct=f"echo '{rows}'")
    assert seen.given_up == set()
    assert seen.to_submit(retry_failed=False) == IDS
    with programs(tmp_path / "bin", squeue="true", sacct=f"echo '{rows}'"):
        shown = commands.run("hpc.status", "--output-dir", campaign.folder)
    assert "4 tasks could not keep results (disk full or quota): make room, and submit again" in shown.stdout


def test_a_task_that_accounting_has_forgotten_is_lost(campaign: Campaign, tmp_path: Path) -> None:
    seen = found(campaign, tmp_path, "1 PENDING, 2 PENDING, 3 PENDING", "true")
    assert list(seen.runs.values())[:2] == ["lost", "lost"]


def test_outcomes_are_asked_for_once(campaign: Campaign, tmp_path: Path) -> None:
    begin(campaign, 0, [], at_hand=IDS[0])
    queue = "1 PENDING, 2 PENDING, 3 PENDING"
    found(campaign, tmp_path, queue, "echo '17_0|TIMEOUT|0:0|n1'", write=True)
    again = found(campaign, tmp_path, queue, "exit 1")  # sacct is down; nothing new to ask
    assert again.unreachable == ""
    assert again.runs[IDS[0]] == "failed"
    (outcome,) = again.outcomes
    assert (outcome.run_id, outcome.state, outcome.job, outcome.time_limit_min) == (IDS[0], "TIMEOUT", "17_0", 10)


def test_what_accounting_does_not_know_yet_is_asked_again(campaign: Campaign, tmp_path: Path) -> None:
    begin(campaign, 0, [], at_hand=IDS[0])
    queue = "1 PENDING, 2 PENDING, 3 PENDING"
    early = found(campaign, tmp_path, queue, "echo '17_0|RUNNING|0:0|n1'", write=True)
    assert early.runs[IDS[0]] == "lost"
    assert found(campaign, tmp_path, queue, "echo '17_0|TIMEOUT|0:0|n1'").runs[IDS[0]] == "failed"


def test_silence_is_unknown(campaign: Campaign, tmp_path: Path) -> None:
    begin(campaign, 0, [record(RUNS[0]), failure(RUNS[1])])
    with programs(tmp_path / "bin", squeue="exit 1", sacct="exit 1"):
        seen = state(campaign, campaign_id(campaign), IDS)
    assert list(seen.runs.values()) == ["done"] + ["unknown"] * 7
    assert seen.to_submit(retry_failed=True) == []
    assert seen.unreachable.startswith("squeue exited with 1")


def test_silent_accounting_leaves_what_it_would_explain_unknown(campaign: Campaign, tmp_path: Path) -> None:
    seen = found(campaign, tmp_path, "1 PENDING, 2 PENDING, 3 PENDING", "exit 1")
    assert list(seen.runs.values()) == ["unknown", "unknown"] + ["queued"] * 6


def test_a_new_submission_gets_the_workers_that_are_left(campaign: Campaign, tmp_path: Path) -> None:
    busy = found(campaign, tmp_path, "0 RUNNING, 1 RUNNING, 2 PENDING, 3 PENDING")  # an array of 4 at a time, job 17
    assert share_left(busy, max_workers=10) == (6, None)
    assert share_left(busy, max_workers=4) == (4, "17")  # none left: in its place, after it
    for i in range(4):
        begin(campaign, i, [record(spec_of(text)) for text in TASKS[i].runs.values()])
    assert share_left(found(campaign, tmp_path), max_workers=4) == (4, None)


def test_what_is_done_needs_no_scheduler(campaign: Campaign, tmp_path: Path) -> None:
    for i in range(4):
        begin(campaign, i, [record(spec_of(text)) for text in TASKS[i].runs.values()])
    with programs(tmp_path / "bin", squeue="exit 1", sacct="exit 1"):
        seen = state(campaign, campaign_id(campaign), IDS)
    assert set(seen.runs.values()) == {"done"}
    assert seen.unreachable == ""


def test_an_array_whose_id_was_never_written_is_found_by_its_name(campaign: Campaign, tmp_path: Path) -> None:
    submission = submissions.read(campaign, 1)
    submissions.write(campaign, replace(submission, arrays=(replace(submission.arrays[0], job_id=None),)))
    seen = found(campaign, tmp_path, "0 PENDING, 1 PENDING, 2 PENDING, 3 PENDING")
    assert set(seen.runs.values()) == {"queued"}
    gone = found(campaign, tmp_path, "", "exit 1")
    assert set(gone.runs.values()) == {"lost"}  # never submitted: nothing to ask accounting about


def test_status_says_it_all(campaign: Campaign, tmp_path: Path) -> None:
    begin(campaign, 0, [record(RUNS[0]), failure(RUNS[1], "ValueError: no such thing")])
    begin(campaign, 1, [], at_hand=IDS[2])
    rows = "17|1|RUNNING|None|c0ffee-0001-00\\n17|2|PENDING|None|c0ffee-0001-00\\n"
    scripts = {"squeue": f"printf '{rows}'", "sacct": "echo '17_3|OUT_OF_MEMORY|0:125|n1'"}
    with programs(tmp_path / "bin", **scripts):
        shown = commands.run("hpc.status", "--output-dir", campaign.folder, "--cells")
        as_json = json.loads(commands.run("hpc.status", "--output-dir", campaign.folder, "--json").stdout)
        logs = commands.run("hpc.logs", "--failed", "--output-dir", campaign.folder)
        one_log = commands.run("hpc.logs", IDS[0][:10], "--output-dir", campaign.folder)
        no_log = commands.run("hpc.logs", "xyz", "--output-dir", campaign.folder)
    counts = {"done": 1, "running": 1, "queued": 3, "failed": 1, "lost": 2, "cancelled": 0, "missing": 0, "unknown": 0}
    assert {name: as_json[name] for name in counts} == counts
    assert shown.returncode == 1
    assert "mlp 32 relu p=0.3 epochs=2 learning_rate=0.001: 1 done, 1 running, 3 queued, 1 failed, 2 lost" in shown.stdout
    assert shown.stdout.splitlines()[-1] == f"Next: python -m hpc.logs --failed --output-dir {campaign.folder}"
    assert f"== {IDS[1]} mlp relu p=0.3 repeat 1: failed" in logs.stdout
    assert "ValueError: no such thing" in logs.stdout
    assert f"-- {campaign.folder}/submissions/0001/logs/17_0_0_log.out" in one_log.stdout
    assert no_log.returncode == 2
    assert "'xyz' fits 0 runs" in no_log.stderr


def test_cancelling_passes_over_runs_and_cancels_tasks_with_nothing_left(campaign: Campaign, tmp_path: Path) -> None:
    begin(campaign, 0, [record(RUNS[0])], at_hand=IDS[1])
    rows = "".join(f"17|{i}|PENDING|None|c0ffee-0001-00\\n" for i in range(4))
    with programs(tmp_path / "bin", squeue=f"printf '{rows}'", sacct="true", scancel=f'echo "$@" >> {tmp_path}/cancelled'):
        unasked = commands.run("hpc.cancel", "--filter", "repeat=3", "--output-dir", campaign.folder)
        cancelled = commands.run("hpc.cancel", "--filter", "repeat=3", "--output-dir", campaign.folder, "--yes")
        wrong = commands.run("hpc.cancel", "--filter", "colour=3", "--output-dir", campaign.folder, "--yes")
        rest = commands.run("hpc.cancel", "--output-dir", campaign.folder, "--yes")
    assert unasked.returncode == 1
    assert "Cancelled 1 run, and 0 tasks of Slurm" in cancelled.stdout
    assert wrong.returncode == 2
    assert "allowed: FIELD=VALUE with FIELD one of dataset, activation" in wrong.stderr
    assert "Cancelled 6 runs, and 4 tasks of Slurm" in rest.stdout
    assert (tmp_path / "cancelled").read_text().split() == ["17_0", "17_1", "17_2", "17_3"]
