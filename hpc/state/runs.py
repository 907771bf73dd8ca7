"""The state of every run. It is done only when a readable shard says so; the scheduler explains what is not done."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from hpc.planning.retrying import MAX_TRIES, Outcome, Reason, tries
from hpc.state import outcomes, submissions
from hpc.state.scheduler import Scheduler, SchedulerError
from hpc.state.submissions import Activity, Submission
from jobs.campaign import Campaign
from jobs.manifest import ManifestError
from jobs.recorded import Recorded, read_recorded
from jobs.taskfile import TaskRuns, read_cancelled, read_task_runs
from noisy.runs import ID, Runs

STATES = ("done", "running", "queued", "failed", "cancelled", "lost", "missing", "unknown")
_CODE = {name: code for code, name in enumerate(STATES)}


@dataclass(frozen=True, eq=False)
class Submitted:
    """One submission, with all that is known of it.

    activity: None if the scheduler could not be asked; ended: how tasks ended, as far as known; cancelled: run_ids.
    """

    submission: Submission
    tasks: TaskRuns
    cancelled: Collection[str]
    activity: Activity | None = None
    ended: list[Outcome] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Known:
    """All that is known of a campaign. unreachable: why a scheduler could not be asked, empty if all could."""

    recorded: Recorded
    submitted: list[Submitted]
    unreachable: str = ""


@dataclass(frozen=True, eq=False)
class State:
    """The state of runs.

    code: int8 (n,), the place in STATES of each run; is_given_up: bool (n,), failed so often that it is no longer submitted.
    """

    runs: Runs
    code: np.ndarray
    is_given_up: np.ndarray
    known: Known

    @property
    def recorded(self) -> Recorded:
        """What the shards say."""
        return self.known.recorded

    @property
    def unreachable(self) -> str:
        """Why a scheduler could not be asked; empty if all could."""
        return self.known.unreachable

    @property
    def activities(self) -> dict[Submission, Activity]:
        """What may still be executed."""
        return {s.submission: s.activity for s in self.known.submitted if s.activity and s.activity.tasks}

    @property
    def outcomes(self) -> list[Outcome]:
        """How tasks ended that left runs without a record, by submission."""
        return [outcome for submitted in self.known.submitted for outcome in submitted.ended]

    @property
    def empty_attempts(self) -> Counter[str]:
        """run_id -> attempts of tasks that began with it and recorded nothing."""
        first_parts = (source for source in self.recorded.sources if source.attributes.get("part") == 0)
        return Counter(source.attributes["current_run"] for source in first_parts if not len(source.records))

    def of(self, place: int) -> str:
        """The state of one run."""
        return STATES[self.code[place]]

    def places(self, *names: str) -> np.ndarray:
        """int64 (k,), ascending: the runs in one of these states."""
        return np.flatnonzero(np.isin(self.code, [_CODE[name] for name in names]))

    def count(self, name: str) -> int:
        """How many runs are in a state."""
        return len(self.places(name))

    def to_submit(self, retry_failed: bool) -> np.ndarray:
        """int64 (k,), ascending: runs that are neither done nor with a scheduler."""
        wanted = self.places("missing", "lost", "failed", "cancelled")
        return wanted if retry_failed else wanted[~self.is_given_up[wanted]]


def state(
    campaign: Campaign,
    campaign_id: str,
    runs: Runs,
    schedulers: Mapping[str, Scheduler],
    abandoned: Collection[int] = (),
    write: bool = False,
) -> State:
    """The state of these runs; each scheduler is asked at most once what is queued, and once how tasks ended.

    Args:
        campaign_id: as in the manifest's header; shards of others do not count.
        schedulers: by the name of an executor in submission.json.
        abandoned: submissions that are to be taken as ended, whatever their processes say.
        write: keep what was learnt of submissions that ended.

    Raises:
        ManifestError: a submission's files cannot be read.
    """
    before = _on_disk(campaign, campaign_id, schedulers)
    known = _asked(before, schedulers, abandoned)
    if write and not known.unreachable:
        _keep(campaign, before, known, abandoned)
    return classify(runs, known)


def _on_disk(campaign: Campaign, campaign_id: str, schedulers: Mapping[str, Scheduler]) -> Known:
    found = []
    for each in submissions.read_all(campaign):
        if each.executor not in schedulers:
            allowed = ", ".join(schedulers)
            raise ManifestError(f"{campaign.submission(each.number)}: executor {each.executor!r}; known: {allowed}")
        ended = outcomes.read(campaign, each.number, schedulers[each.executor].reason_of)
        tasks = read_task_runs(campaign.tasks(each.number))
        found.append(Submitted(each, tasks, read_cancelled(campaign, each.number), ended=ended))
    return Known(read_recorded(campaign, campaign_id), found)


def _asked(known: Known, schedulers: Mapping[str, Scheduler], abandoned: Collection[int]) -> Known:
    """The same with what the schedulers say: what is at work, and how the other tasks ended."""
    finished = _finished(known.recorded)
    submitted, problem = list(known.submitted), ""
    for name, scheduler in schedulers.items():
        places = [i for i, each in enumerate(submitted) if each.submission.executor == name]
        over = {i for i in places if _is_over(submitted[i], finished, abandoned)}
        try:
            activities = scheduler.at_work([submitted[i].submission for i in places if i not in over])
        except SchedulerError as error:
            activities, problem = {}, str(error)
        for i in places:
            activity = Activity({}) if i in over else activities.get(submitted[i].submission)
            submitted[i] = replace(submitted[i], activity=activity)
        unexplained = {submitted[i].submission: unexplained_tasks(submitted[i], known.recorded, finished) for i in places}
        try:
            explained = scheduler.explain({submission: tasks for submission, tasks in unexplained.items() if tasks})
        except SchedulerError as error:
            explained, problem = {}, str(error)
        for i in places:
            submitted[i] = replace(submitted[i], ended=[*submitted[i].ended, *explained.get(submitted[i].submission, ())])
    return Known(known.recorded, submitted, problem)


def _is_over(submitted: Submitted, finished: np.ndarray, abandoned: Collection[int]) -> bool:
    """Whether nothing of a submission matters any more."""
    number, run_ids = submitted.submission.number, submitted.tasks.run_id
    return bool(submitted.submission.ended) or number in abandoned or bool(_among(run_ids, finished).all())


def unexplained_tasks(submitted: Submitted, recorded: Recorded, finished: np.ndarray) -> dict[int, str]:
    """Tasks that are no longer executed, of whose end nothing is known, and that have runs without a record of this submission.

    Returns:
        task -> the run that was training, empty if none was.
    """
    if submitted.activity is None:
        return {}
    tasks, number = submitted.tasks, submitted.submission.number
    is_undone = ~_among(tasks.run_id, finished) & ~_among(tasks.run_id, recorded_by(recorded, number))
    undone = set(tasks.task[is_undone].tolist()) - set(submitted.activity.tasks) - {each.task for each in submitted.ended}
    return {task: recorded.at_hand.get((number, task), "") for task in sorted(undone)}


def _keep(campaign: Campaign, before: Known, known: Known, abandoned: Collection[int]) -> None:
    """Write how tasks ended where that is new and final, and which submissions have ended."""
    for old, new in zip(before.submitted, known.submitted, strict=True):
        final = [outcome for outcome in new.ended if outcome.reason is not Reason.UNKNOWN]
        if len(final) > len(old.ended):
            outcomes.write(campaign, new.submission.number, final)
        is_over = new.activity is not None and not new.activity.tasks
        if is_over and not new.submission.ended and new.submission.number not in abandoned:
            submissions.end(campaign, new.submission)


def classify(runs: Runs, known: Known) -> State:
    """The state of each run from all that is known; later submissions have the last word."""
    finished, failed = _finished(known.recorded), known.recorded.records["run_id"][~known.recorded.is_finished]
    code = np.where(_among(runs.run_id, finished), _CODE["done"], _CODE["missing"]).astype(np.int8)
    for submitted in known.submitted:
        places = runs.places_of(submitted.tasks.run_id)
        of_tasks = states_of(submitted, known.recorded, finished, np.unique(failed), bool(known.unreachable))
        code[places[places >= 0]] = of_tasks[places >= 0]
    every = [outcome for submitted in known.submitted for outcome in submitted.ended]
    n_tries = tries(every, failed.astype(str).tolist())
    too_often = np.array(sorted(run_id for run_id, n in n_tries.items() if n >= MAX_TRIES), ID)
    return State(runs, code, _among(runs.run_id, too_often) & (code == _CODE["failed"]), known)


def states_of(
    submitted: Submitted, recorded: Recorded, finished: np.ndarray, failed: np.ndarray, is_silent: bool
) -> np.ndarray:
    """int8 (n,): the state, as a place in STATES, of each run of a submission's tasks.

    Args:
        finished, failed: S16, ascending: run_ids with a record that says so, of any submission.
        is_silent: a scheduler could not be asked.
    """
    run_id, task, number = submitted.tasks.run_id, submitted.tasks.task, submitted.submission.number
    activity, n_tasks = submitted.activity, submitted.tasks.n_tasks
    training, blamed = np.zeros(n_tasks, ID), np.zeros(n_tasks, ID)
    is_at_work, is_begun, has_ended, was_cancelled = (np.zeros(n_tasks, bool) for _ in range(4))
    for index in range(n_tasks):
        training[index] = recorded.at_hand.get((number, index), "")
    for index, element in (activity.tasks if activity else {}).items():
        is_at_work[index], is_begun[index] = True, element.is_begun
    for outcome in submitted.ended:
        has_ended[outcome.task], was_cancelled[outcome.task] = True, outcome.reason is Reason.CANCELLED
        blamed[outcome.task] = outcome.run_id if outcome.is_blamed_on_run else ""
    is_training = training[task] == run_id
    rules = {  # the first that holds decides
        "done": _among(run_id, finished),
        "cancelled": np.isin(run_id, np.array(sorted(submitted.cancelled), ID)) & ~(is_at_work[task] & is_training),
        "unknown": np.full(len(run_id), activity is None or not activity.is_known),
        "running": is_at_work[task] & is_begun[task] & is_training,
        "failed here": is_at_work[task] & _among(run_id, recorded_by(recorded, number)),
        "queued": is_at_work[task],
        "failed": _among(run_id, failed) | (blamed[task] == run_id),
        "not explained": ~has_ended[task],
        "task cancelled": was_cancelled[task],
    }
    means = {"failed here": "failed", "not explained": "unknown" if is_silent else "lost", "task cancelled": "cancelled"}
    codes = [_CODE[means.get(rule, rule)] for rule in rules]
    return np.select(list(rules.values()), codes, _CODE["lost"]).astype(np.int8)


def _finished(recorded: Recorded) -> np.ndarray:
    """S16, ascending: the run_ids of all that is done."""
    return np.unique(recorded.records["run_id"][recorded.is_finished])


def recorded_by(recorded: Recorded, submission: int) -> np.ndarray:
    """S16, ascending: the run_ids of all records that a submission's tasks wrote."""
    return np.unique(recorded.records["run_id"][recorded.task[:, 0] == submission])


def _among(run_ids: np.ndarray, known: np.ndarray) -> np.ndarray:
    """bool (n,): whether each of `run_ids`, S16 (n,), is among `known`, S16, ascending."""
    if not len(known):
        return np.zeros(len(run_ids), bool)
    return known[np.searchsorted(known, run_ids).clip(max=len(known) - 1)] == run_ids
