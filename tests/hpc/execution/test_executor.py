"""The way from a grid to an executor, with a small third one: what is shown, asked and handed over, round after round."""

import argparse
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from hpc.console import Refused
from hpc.execution.executor import Executor, Request
from hpc.execution.next import next_command
from hpc.execution.submitting import submit
from hpc.planning.decision import Decision, Room, decide
from hpc.planning.workers import FirstRequest, Limits
from hpc.request.grid import parse_grid
from hpc.request.prepare import campaign_id
from hpc.state import submissions
from hpc.state.runs import State, state
from hpc.state.scheduler import Activity, EndedAttempt, SchedulerError
from hpc.state.submissions import Submission
from jobs.campaign import Campaign
from jobs.shard import ShardWriter
from jobs.taskfile import read_task, task_places
from noisy.runs import Runs
from tests.campaigns import GRID
from tests.records import ATTRIBUTES, failure, record


class Cluster(Executor):
    """A cluster of two places, at which a run is done the moment it is handed over, or what `work` makes of it."""

    name, where, is_asked = "cluster", "on a small cluster", True

    def __init__(self, work: Callable[[ShardWriter, object], None] | None = None, n_queued: int = 0) -> None:
        self.work, self.n_queued, self.rounds = work, n_queued, list[list[str]]()

    def check(self, request: Request) -> None:
        pass

    def decide(self, request: Request, runs: Runs, found: State) -> Decision:
        room = Room(Limits(1000, 1000), 0, (), 2)
        decision = decide(runs, request.grid.execution, room, FirstRequest(), found.outcomes, runs_per_task=1)
        n_now = max(0, 2 - self.n_queued)
        return replace(decision, now=decision.whole.first(n_now), arrays=decision.arrays[: min(n_now, 1)])

    def execute(self, request: Request, submission: Submission, decision: Decision) -> int:
        self.rounds.append([])
        job = str(16 + submission.number)
        arrays = tuple(replace(array, job_id=job) for array in submission.arrays)
        submissions.write(request.campaign, replace(submission, arrays=arrays))
        for place in task_places(request.campaign, submission.number):
            task = read_task(place.campaign.tasks(place.submission), place.index, place.offset_bytes)
            writer = ShardWriter(
                place.campaign.shards, place.submission, place.index, 0, ATTRIBUTES | {"campaign": task.campaign, "job": job}
            )
            for run in task.runs:
                self.rounds[-1].append(run.run_id)
                (self.work or (lambda writer, run: writer.append(record(run))))(writer, run)
        return 0

    def pause_s(self, request: Request, decision: Decision) -> float | None:
        return 0.0 if request.options.keep_feeding else None

    def at_work(self, asked: Sequence[Submission]) -> dict[Submission, Activity]:
        return {submission: Activity({}) for submission in asked}

    def log_of(self, campaign: Campaign, submission: Submission, task: int, job: str = "") -> Path:
        return campaign.log(submission.number, task)


def request(folder: Path, data_dir: Path, feeds: bool = False, text: str = GRID, **options: object) -> Request:
    grid = parse_grid(text)
    return Request(
        grid, Campaign(folder / "campaign"), data_dir, grid.runs(), argparse.Namespace(keep_feeding=feeds), **options
    )


def run(cluster: Cluster, asked: Request) -> int:
    return submit(asked, cluster, {"cluster": cluster})


def test_what_is_held_back_is_left_to_the_next_command(tmp_path: Path, digits_dir: Path) -> None:
    cluster = Cluster()
    for n_done in (2, 4, 6, 8):
        assert run(cluster, request(tmp_path, digits_dir)) == 0
        assert sum(map(len, cluster.rounds)) == n_done
    assert len(cluster.rounds) == 4


def test_feeding_shows_the_whole_plan_once_and_hands_over_each_run_once(
    tmp_path: Path, digits_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = Cluster()
    assert run(cluster, request(tmp_path, digits_dir, feeds=True)) == 0
    ids = [run_id for round_ids in cluster.rounds for run_id in round_ids]
    assert [len(round_ids) for round_ids in cluster.rounds] == [2, 2, 2, 2]
    assert sorted(ids) == sorted(parse_grid(GRID).runs().ids())
    shown = capsys.readouterr().out
    assert shown.count("CPU time") == 1 and "8 to run; 0 of the grid's 8 are done" in shown


def test_feeding_waits_while_the_scheduler_is_silent(
    tmp_path: Path, digits_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Silent(Cluster):
        n_asked = 0

        def at_work(self, submissions: Sequence[Submission]) -> dict[Submission, Activity]:
            self.n_asked += 1
            if self.n_asked % 2 == 0:
                raise SchedulerError("squeue: no answer")
            return super().at_work(submissions)

    cluster = Silent()
    assert run(cluster, request(tmp_path, digits_dir, feeds=True)) == 0
    assert [len(round_ids) for round_ids in cluster.rounds] == [2, 2, 2, 2]
    assert capsys.readouterr().out.count("squeue: no answer; looking again in 0 s") == cluster.n_asked // 2
    with pytest.raises(SchedulerError):  # a command that does not feed
        for _ in range(2):
            run(cluster, request(tmp_path, digits_dir, feeds=False))


def test_a_limit_holds_for_all_rounds_together(tmp_path: Path, digits_dir: Path) -> None:
    cluster = Cluster()
    assert run(cluster, request(tmp_path, digits_dir, feeds=True, limit=5)) == 0
    assert [len(round_ids) for round_ids in cluster.rounds] == [2, 2, 1]


@pytest.mark.parametrize("end", ["cancelled", "failed"])
def test_feeding_does_not_hand_over_again_what_ended_meanwhile(end: str, tmp_path: Path, digits_dir: Path) -> None:
    def work(writer: ShardWriter, run: object) -> None:
        if end == "failed":
            writer.append(failure(run))
        else:
            campaign.new_cancelled(len(cluster.rounds)).write_text(f"{run.run_id}\n")

    campaign, cluster = Campaign(tmp_path / "campaign"), Cluster(work)
    assert run(cluster, request(tmp_path, digits_dir, feeds=True)) == 0
    ids = [run_id for round_ids in cluster.rounds for run_id in round_ids]
    assert len(ids) == len(set(ids)) == 8


def test_a_dry_run_with_a_full_queue_shows_the_cost(
    tmp_path: Path, digits_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(Cluster(n_queued=2), request(tmp_path, digits_dir, feeds=True, dry_run=True)) == 0
    shown = capsys.readouterr().out
    assert "8 to run" in shown and "CPU s expected" in shown and "Dry run: nothing was written." in shown
    assert not (tmp_path / "campaign").exists()


CHANGED = {  # a new grid for a campaign of 8 done runs -> what is said, done runs that are left out
    "another seed": (GRID + "seed: 2", ["all 8 runs are new; 8 done runs are no longer part", "seed: 1234 -> 2"], 8),
    "other epochs": (GRID.replace("epochs: 1", "epochs: 2"), ["all 8 runs are new; 8 done", "epochs: 1 -> 2"], 8),
    "an unrelated grid": (
        "{dataset: digits, model_types: [cnn], ps: [0.9], repeats: 1}",
        ["all 3 runs are new; 8 done", "model_types: mlp -> cnn"],
        8,
    ),
    "another value": (GRID.replace("0.5]", "0.25]"), ["4 runs are new; 4 done", "ps: [0.0, 0.5] -> [0.0, 0.25]"], 4),
    "a value less": (GRID.replace(", 0.5]", "]"), ["changed    4 done runs are no longer part", "ps: [0.0, 0.5] -> 0.0"], 4),
    "a repeat less": (GRID.replace("repeats: 2", "repeats: 1"), ["changed    4 done runs", "repeats: 2 -> 1"], 4),
    "more values": (GRID.replace("0.5]", "0.5, 1]"), ["changed    4 runs are new\n", "ps: [0.0, 0.5] -> [0.0, 0.5, 1.0]"], 0),
    "more repeats": (GRID.replace("repeats: 2", "repeats: 3"), ["changed    4 runs are new\n", "repeats: 2 -> 3"], 0),
}


@pytest.fixture(scope="module")
def all_done(tmp_path_factory: pytest.TempPathFactory, digits_dir: Path) -> Path:
    """A folder with a campaign of 8 done runs, which tests copy."""
    folder = tmp_path_factory.mktemp("done")
    run(Cluster(), request(folder, digits_dir, feeds=True))
    return folder


@pytest.mark.parametrize("change", CHANGED)
def test_a_grid_that_leaves_out_done_runs_needs_a_yes(
    change: str, all_done: Path, tmp_path: Path, digits_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster, (text, said, n_left_out) = Cluster(), CHANGED[change]
    shutil.copytree(all_done, tmp_path, dirs_exist_ok=True)
    before = (tmp_path / "campaign/manifest.jsonl").read_bytes(), (tmp_path / "campaign/grid.yaml").read_bytes()
    assert run(cluster, request(tmp_path, digits_dir, text=text, dry_run=True)) == 0
    shown = capsys.readouterr().out
    assert all(part in shown for part in said), shown
    if n_left_out:
        answer = f"not submitted: {n_left_out} done runs are no longer part of this grid (kept, .*; --yes submits"
        with pytest.raises(Refused, match=answer.replace("(", r"\(")):
            run(cluster, request(tmp_path, digits_dir, text=text))
    assert ((tmp_path / "campaign/manifest.jsonl").read_bytes(), (tmp_path / "campaign/grid.yaml").read_bytes()) == before
    assert run(cluster, request(tmp_path, digits_dir, feeds=True, text=text, yes=bool(n_left_out))) == 0
    new = set(parse_grid(text).runs().ids()) - set(parse_grid(GRID).runs().ids())
    assert sum(map(len, cluster.rounds)) == len(new)
    capsys.readouterr()
    assert run(cluster, request(tmp_path, digits_dir, text=text)) == 0
    assert capsys.readouterr().out.startswith("Nothing to submit: ")


def test_a_grid_may_change_as_long_as_nothing_of_it_is_done(
    tmp_path: Path, digits_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = Cluster(lambda writer, run: writer.begin(run.run_id))
    run(cluster, request(tmp_path, digits_dir, limit=1))
    capsys.readouterr()
    assert run(cluster, request(tmp_path, digits_dir, text=GRID + "seed: 2")) == 0
    assert "all 8 runs are new; 8 other runs are no longer part of this grid\n" in capsys.readouterr().out


def test_the_next_command_submits_as_the_last_time(tmp_path: Path, digits_dir: Path) -> None:
    cluster, asked = Cluster(), request(tmp_path, digits_dir)
    campaign = asked.campaign
    for n_left in (6, 4, 2, 0):
        run(cluster, asked)
        found = state(campaign, campaign_id(campaign), asked.runs, {"cluster": cluster})
        again = f"noisy submit --grid {campaign.grid} --output-dir {campaign.folder} --data-dir {digits_dir}"
        expected = f"{again} --executor cluster" if n_left else f"noisy report --output-dir {campaign.folder}"
        assert next_command(campaign, found) == expected
        assert next_command(campaign, found, "as typed") == ("as typed" if n_left else expected)


def test_a_run_of_more_than_a_week_needs_a_yes(tmp_path: Path, digits_dir: Path) -> None:
    cluster, long = Cluster(lambda writer, run: writer.begin(run.run_id)), GRID.replace("epochs: 1", "epochs: 2000000000")
    with pytest.raises(Refused, match=r"not submitted: a single run takes [\d,]+ days; --yes submits without asking"):
        run(cluster, request(tmp_path, digits_dir, text=long))
    assert not (tmp_path / "campaign").exists()
    assert run(cluster, request(tmp_path, digits_dir, text=long, yes=True)) == 0
    assert len(cluster.rounds) == 1


def test_a_silent_scheduler_lets_nothing_be_submitted(tmp_path: Path, digits_dir: Path) -> None:
    class Silent(Cluster):
        def at_work(self, submissions: Sequence[Submission]) -> dict[Submission, Activity]:
            raise SchedulerError("nobody answers")

    assert run(Cluster(), request(tmp_path, digits_dir)) == 0
    with pytest.raises(SchedulerError, match="nobody answers"):
        run(Silent(), request(tmp_path, digits_dir))


def test_ends_are_asked_for_with_the_run_that_was_training(tmp_path: Path, digits_dir: Path) -> None:
    asked = []

    class Asked(Cluster):
        def explain(self, ended: Mapping[Submission, Sequence[EndedAttempt]]) -> dict:
            asked.append({submission.number: ends for submission, ends in ended.items()})
            return {}

    cluster = Asked(lambda writer, run: writer.begin(run.run_id))
    run(cluster, request(tmp_path, digits_dir))
    run(cluster, request(tmp_path, digits_dir))
    at_hand = [EndedAttempt(task, run_id, "17") for task, run_id in enumerate(cluster.rounds[0])]
    others = [EndedAttempt(-1, "", job) for job in ("17_0", "17_1")]
    assert asked == [{}, {1: at_hand + others}]


def test_a_plan_says_which_of_its_runs_were_cancelled(
    tmp_path: Path, digits_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = Cluster(lambda writer, run: None)
    run(cluster, request(tmp_path, digits_dir))
    assert "cancelled" not in capsys.readouterr().out
    Campaign(tmp_path / "campaign").new_cancelled(1).write_text(f"{cluster.rounds[0][1]}\n")
    for options, is_said in (({}, True), ({"limit": 1}, False)):  # the first run alone was not cancelled
        run(cluster, request(tmp_path, digits_dir, dry_run=True, **options))
        said = "cancelled  1 of these were cancelled before, and will run again; remove unwanted ones from the grid"
        assert (said in capsys.readouterr().out) == is_said


def test_a_submit_leaves_alone_what_an_unreadable_submission_may_still_do(
    tmp_path: Path, digits_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = Cluster(lambda writer, run: None)
    run(cluster, request(tmp_path, digits_dir))
    path = Campaign(tmp_path / "campaign").submission(1) / "submission.json"
    path.write_text("torn")
    cluster.work = None
    assert [run(cluster, request(tmp_path, digits_dir)) for _ in range(4)] == [0, 0, 0, 1]
    ids = [run_id for round_ids in cluster.rounds for run_id in round_ids]
    assert len(ids) == len(set(ids)) == 8
    said = capsys.readouterr()
    assert said.out.splitlines()[-1].startswith("Nothing to submit: 6 of 8 runs done")
    assert said.err.count(f"warning: {path}: not the record of a submission (") == 4
    assert run(cluster, request(tmp_path, digits_dir, abandoned=(1,))) == 0
    assert cluster.rounds[-1] == cluster.rounds[0]
