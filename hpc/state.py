"""The state of every run. It is done only when a readable shard says so; the scheduler explains what is not done."""

from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import lru_cache

from hpc import cluster, outcomes, submissions
from hpc.cluster import SchedulerError
from hpc.outcomes import Outcome
from hpc.submissions import Activity, Submission
from jobs.campaign import Campaign
from jobs.image import FINISHED
from jobs.shard import read_shards
from jobs.taskfile import read_cancelled, read_task_run_ids

STATES = ("done", "running", "queued", "failed", "cancelled", "lost", "missing", "unknown")


@dataclass
class Recorded:
    """What the shards say. done: run_id -> when it finished (s since 1970); failures: run_id -> message of each time that it
    raised; at_hand: (submission, task) -> the run that its last attempt began and has not recorded; cpu_s: of all records."""

    done: dict[str, float] = field(default_factory=dict)
    failures: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    at_hand: dict[tuple[int, ...], str] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    cpu_s: float = 0.0


def recorded(campaign: Campaign, campaign_id: str = "") -> Recorded:
    """Read all shards of the campaign with this id (empty: of any)."""
    found = Recorded()
    last: dict[tuple[int, ...], tuple[tuple[int, ...], str]] = {}
    for shard in read_shards(campaign.shard_paths(), campaign_id):
        if isinstance(shard, str):
            found.unreadable.append(shard)
            continue
        columns = (shard.runs[name].tolist() for name in ("run_id", "status", "message", "finished_at_s"))
        for run_id, status, message, finished_at_s in zip(*columns, strict=True):
            if status.decode() in FINISHED:
                found.done.setdefault(run_id.decode(), finished_at_s)
            else:
                found.failures[run_id.decode()].append(message.decode(errors="replace"))
        found.cpu_s += float(shard.runs["cpu_s"][shard.runs["cpu_s"] > 0].sum())
        place = tuple(int(shard.attributes[name]) for name in ("submission", "task", "attempt", "part"))
        last[place[:2]] = max(last.get(place[:2], ((), "")), (place, shard.attributes["current_run"]))
    found.at_hand = {place: run_id for place, (_, run_id) in last.items()}
    return found


@dataclass(frozen=True)
class State:
    """runs: run_id -> one of STATES, in the grid's order. given_up: failed so often that they are no longer submitted.

    activities: what may still be executed, by submission; outcomes: how tasks ended that left runs undone; unreachable:
    why the scheduler could not be asked, empty if it could.
    """

    runs: dict[str, str]
    given_up: set[str]
    recorded: Recorded
    activities: dict[Submission, Activity]
    outcomes: list[Outcome]
    unreachable: str

    def count(self, state: str) -> int:
        """Runs in a state."""
        return Counter(self.runs.values())[state]

    def to_submit(self, retry_failed: bool) -> list[str]:
        """Runs that are neither done nor with a scheduler, in the grid's order."""
        wanted = ("missing", "lost", "failed", "cancelled")
        return [run for run, state in self.runs.items() if state in wanted and (retry_failed or run not in self.given_up)]


def state(
    campaign: Campaign, campaign_id: str, run_ids: Collection[str], abandoned: Collection[int] = (), write: bool = False
) -> State:
    """The state of the runs `run_ids`, with at most one call of squeue and one of sacct.

    Args:
        campaign_id: as in the manifest's header; shards of others do not count.
        abandoned: submissions that are to be taken as ended, whatever their processes say.
        write: keep what was learnt of submissions that ended.

    Raises:
        ManifestError: a submission's files cannot be read.
    """
    all_submissions = submissions.read_all(campaign)
    tasks = {submission: read_task_run_ids(campaign.tasks(submission.number)) for submission in all_submissions}
    found = recorded(campaign, campaign_id)
    over = {
        s for s, its_tasks in tasks.items() if s.number in abandoned or all(run in found.done for t in its_tasks for run in t)
    }
    activities, problem = _activities(all_submissions, over)
    left = {s: _left_undone(s, tasks[s], activity, found) for s, activity in activities.items() if s.executor == "slurm"}
    try:
        known = outcomes.conclude(campaign, {s: undone for s, undone in left.items() if undone}, write)
    except SchedulerError as error:
        problem, known = str(error), {s.number: outcomes.read(campaign, s.number) for s in left}
    if write and not problem:
        for submission, activity in activities.items():
            if not activity.tasks and not submission.ended and submission.number not in abandoned:
                submissions.end(campaign, submission)
    runs = {run_id: "done" if run_id in found.done else "missing" for run_id in run_ids}
    for submission, its_tasks in tasks.items():
        cancelled = read_cancelled(campaign, submission.number)
        by_task = {outcome.task: outcome for outcome in known.get(submission.number, ())}
        for index, task_runs in enumerate(its_tasks):
            its_state = _StateOfTask(
                activities.get(submission),
                index,
                by_task.get(index),
                found.at_hand.get((submission.number, index)),
                bool(problem),
            )
            runs |= {run_id: its_state.of(run_id, found, cancelled) for run_id in task_runs if run_id in runs}
    every = [outcome for number in sorted(known) for outcome in known[number]]
    n_tries = outcomes.tries(every, [run_id for run_id, messages in found.failures.items() for _ in messages])
    given_up = {run_id for run_id, n in n_tries.items() if n >= outcomes.MAX_TRIES and runs.get(run_id) == "failed"}
    return State(runs, given_up, found, {s: a for s, a in activities.items() if a.tasks}, every, problem)


def _activities(all_submissions: list[Submission], over: Collection[Submission]) -> tuple[dict[Submission, Activity], str]:
    """What may still be executed of each; a submission is left out if Slurm cannot be asked, which the text then says."""
    ask_queue = lru_cache(maxsize=1)(cluster.queue)
    found, problem = {}, ""
    for submission in all_submissions:
        try:
            found[submission] = Activity({}) if submission in over else submissions.activity(submission, ask_queue)
        except SchedulerError as error:
            problem = str(error)
    return found, problem


def _left_undone(submission: Submission, tasks: list[list[str]], activity: Activity, found: Recorded) -> dict[int, str]:
    """Tasks that are no longer executed though runs of theirs have no record, and the run at hand of each."""
    ended = (index for index in range(len(tasks)) if index not in activity.tasks)
    undone = (index for index in ended if any(run not in found.done and run not in found.failures for run in tasks[index]))
    return {index: found.at_hand.get((submission.number, index), "") for index in undone}


@dataclass(frozen=True)
class _StateOfTask:
    """What decides the state of a task's runs. activity: None if Slurm could not be asked."""

    activity: Activity | None
    index: int
    outcome: Outcome | None
    at_hand: str | None
    is_scheduler_silent: bool

    def of(self, run_id: str, found: Recorded, cancelled: Collection[str]) -> str:
        """One of STATES."""
        if run_id in found.done:
            return "done"
        is_at_work = self.activity is not None and self.index in self.activity.tasks
        if run_id in cancelled and not (is_at_work and run_id == self.at_hand):
            return "cancelled"
        if self.activity is None or not self.activity.is_known:
            return "unknown"
        if self.index in self.activity.tasks:
            element = self.activity.tasks[self.index]
            begun = element is None or element.is_running
            return "running" if begun and run_id == self.at_hand else "queued"
        if run_id in found.failures:
            return "failed"
        if self.outcome is None:
            return "unknown" if self.is_scheduler_silent else "lost"
        if self.outcome.run_id == run_id and self.outcome.is_blamed_on_run:
            return "failed"
        return "cancelled" if self.outcome.state == "CANCELLED" else "lost"
