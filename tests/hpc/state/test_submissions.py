"""Submissions: claimed by one, and known to be at work or not, or unknown."""

import dataclasses
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hpc.execution.local import Local
from hpc.planning.tasks import Plan, plan
from hpc.planning.workers import PlannedArray, Resources
from hpc.state import submissions
from hpc.state.arrays import Array, arrays_of
from hpc.state.submissions import Submission, SubmissionTaken
from jobs.campaign import Campaign
from jobs.manifest import ManifestError
from jobs.process import Process, start_ticks
from jobs.taskfile import Task, read_task, task_places
from noisy.spec import Execution
from tests.rights import like_any_user
from tests.specs import runs, spec

TASKS = [Task(i, "c0ffee", "abc", "/data", Execution(), runs(spec(repeat=i), spec(repeat=i + 10))) for i in range(3)]


PLAN = Plan(plan(runs(*(spec(repeat=i) for i in range(6))), 2, Execution()).tasks * 3, 2, Execution())


def local() -> Submission:
    return Submission.by_this_process(1, "c0ffee", "local", PLAN)


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    made = Campaign(tmp_path / "campaign")
    made.submissions.mkdir(parents=True)
    return made


def test_a_claim_publishes_everything_that_a_task_needs(campaign: Campaign) -> None:
    submissions.claim(campaign, local(), TASKS)
    payloads = task_places(campaign, 1)
    for payload, task in zip(payloads, TASKS, strict=True):
        assert read_task(campaign.tasks(payload.submission), payload.index, payload.offset_bytes) == task
    assert submissions.numbers(campaign) == [1]
    assert submissions.read(campaign, 1).n_runs == 18


def test_of_many_claims_at_once_one_wins(campaign: Campaign) -> None:
    outcomes = []

    def claim() -> None:
        try:
            submissions.claim(campaign, local(), TASKS)
            outcomes.append("won")
        except SubmissionTaken:
            outcomes.append("lost")

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["lost"] * 7 + ["won"]
    assert os.listdir(campaign.submissions) == ["0001"]


def test_a_submission_is_at_work_until_it_ends(campaign: Campaign) -> None:
    submission = local()
    submissions.claim(campaign, submission, TASKS)
    assert list(Local().at_work([submission])[submission].tasks) == [0, 1, 2]
    submissions.end(campaign, submission)
    assert submissions.read(campaign, 1).ended


def test_a_process_is_alive_dead_or_unknown() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = dataclasses.replace(Process.current(), pid=child.pid, start_ticks=start_ticks(child.pid))
    assert process.is_alive() is True
    assert dataclasses.replace(process, start_ticks=1).is_alive() is False  # its pid was given to another
    assert dataclasses.replace(process, boot_id="another").is_alive() is False  # this host was started again
    assert dataclasses.replace(process, boot_id="another", host="elsewhere").is_alive() is None
    assert dataclasses.replace(process, boot_id="another", machine="of the same name").is_alive() is None
    assert dataclasses.replace(process, boot_id="another", machine="").is_alive() is False  # recorded by an earlier version
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # until it is dead, without reaping it
    assert process.is_alive() is False  # a zombie
    child.communicate()
    assert process.is_alive() is False


def test_an_unreadable_record_is_named(campaign: Campaign) -> None:
    submissions.claim(campaign, local(), TASKS)
    (campaign.submission(1) / "submission.json").write_text("{}")
    with pytest.raises(ManifestError, match=r"submission.json: not the record of a submission"):
        submissions.read(campaign, 1)
    assert submissions.read_all(campaign) == []


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("number",), 2),
        (("n_tasks",), True),
        (("created",), "yesterday"),
        (("created",), "0001-01-01T00:00:00"),
        (("executor",), None),
        (("ended",), 0),
        (("process",), []),
        (("process", "pid"), "1"),
        (("arrays",), [{}]),
        (("code_commit",), "\ud800"),
    ],
)
def test_a_record_of_another_kind_is_refused(campaign: Campaign, place: tuple[str, ...], value: object) -> None:
    submissions.claim(campaign, local(), TASKS)
    path = campaign.submission(1) / "submission.json"
    record = json.loads(path.read_text())
    holder = record if len(place) == 1 else record[place[0]]
    holder[place[-1]] = value
    path.write_text(json.dumps(record))
    with pytest.raises(ManifestError, match=r"submission.json: not the record of a submission \("):
        submissions.read(campaign, 1)


def test_what_is_no_submission_is_told_from_what_may_be_one(campaign: Campaign) -> None:
    submissions.claim(campaign, local(), TASKS)
    for name in ("0002", "note.txt", "12", "00013", "٠٠٠٤", "9" * 40):
        (campaign.submissions / name).touch()
    (campaign.submissions / "0005").mkdir()
    os.mkfifo(campaign.submissions / "0006")
    (campaign.submissions / ".0007.abcd").mkdir()  # of a claim that was killed
    (campaign.submissions / "0008").symlink_to("nowhere")
    (campaign.submissions / "0009").mkdir()
    (campaign.submissions / "0009" / "logs").mkdir()
    assert submissions.numbers(campaign) == [1, 8, 9]
    others = {path.name for path in submissions.foreign(campaign)}
    assert others == {"0002", "note.txt", "12", "00013", "٠٠٠٤", "9" * 40, "0005", "0006"}
    assert submissions.next_number(campaign) == 10
    with like_any_user():
        (campaign.submission(9)).chmod(0)
        assert submissions.numbers(campaign) == [1, 8, 9]
        campaign.submissions.chmod(0)
        with pytest.raises(ManifestError, match="submissions: Permission denied; allowed: a folder that you may read"):
            submissions.numbers(campaign)
        campaign.submissions.chmod(0o755)


def test_an_array_knows_its_tasks_by_element() -> None:
    asked = Resources(1, 0, 1000, 10)
    several, one = Array("a", 3, 2, 1, asked, job_id="17"), Array("b", 5, 1, 1, asked, job_id="18")
    assert [several.job_of(task) for task in several.tasks] == several.jobs == ["17_0", "17_1"]
    assert one.job_of(5) == "18"
    assert [several.task_of(0), several.task_of(1), one.task_of(None)] == [3, 4, 5]
    both = dataclasses.replace(local(), arrays=(several, one))
    assert [both.array_of(task) for task in (3, 4, 5, 6)] == [several, several, one, None]


def test_an_array_knows_its_workers() -> None:
    asked = Resources(1, 0, 1000, 10)
    main, sweep = Array("a", 0, 9, 2, asked, 3, "17"), Array("b", 0, 9, 1, asked, 1, "18", ("17",), True)
    assert (main.jobs, sweep.jobs) == (["17_0", "17_1", "17_2"], ["18"])
    both = dataclasses.replace(local(), arrays=(main, sweep))
    assert [both.array_with(job) for job in ("17_2", "18", "17", "171_0", "", "None")] == [main, sweep, main, None, None, None]
    assert dataclasses.replace(both, arrays=(dataclasses.replace(main, job_id=None),)).array_with("None_0") is None


def test_a_new_submission_is_above_all_of_which_anything_is_left(campaign: Campaign) -> None:
    assert submissions.next_number(campaign) == 1
    submissions.claim(campaign, local(), TASKS)
    assert submissions.next_number(campaign) == 2
    campaign.shards.mkdir()
    (campaign.shards / "0007-00099-0-abcdef-p00.h5").touch()
    (campaign.shards / "copy-of-a-shard.h5").touch()
    assert submissions.next_number(campaign) == 8


def test_arrays_wait_for_the_job_only_where_they_wait_for_none_of_their_own() -> None:
    planned = [PlannedArray(4, Resources(1, 0, 1000, 10), 2), PlannedArray(1, Resources(1, 0, 900, 9), 1, (0,), True)]
    first, second = arrays_of("c0ffee", 3, 5, planned, "17")
    assert (first.name, list(first.tasks), first.n_workers, first.parallel) == ("c0ffee-0003-00", [0, 1, 2, 3, 4], 4, 2)
    assert (second.name, list(second.tasks), second.n_workers, second.parallel) == ("c0ffee-0003-01", [0, 1, 2, 3, 4], 1, 1)
    assert [(array.waits_for, array.is_sweep) for array in (first, second)] == [(("17",), False), ((), True)]
    assert second.resources == planned[1].resources
    with pytest.raises(ManifestError, match="not an id"):
        arrays_of("c0ffee; touch owned", 3, 5, planned, None)
