"""All that is known of a campaign: what is on disk, and what the schedulers say of it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from hpc.planning.retrying import Outcome, Reason
from hpc.state import outcomes, submissions
from hpc.state.scheduler import Scheduler, SchedulerError
from hpc.state.submissions import Activity, Submission
from jobs.campaign import Campaign
from jobs.manifest import noting
from jobs.recorded import Recorded, read_recorded
from jobs.taskfile import TaskRuns, read_cancelled, read_task_runs


@dataclass(frozen=True, eq=False)
class Submitted:
    """One submission, with all that is known of it.

    activity: None if it cannot be known; ended: how tasks ended, as far as known; cancelled: run_ids; is_whole: whether the
    runs of its tasks are known.
    """

    submission: Submission
    tasks: TaskRuns
    cancelled: Collection[str]
    activity: Activity | None = None
    ended: list[Outcome] = field(default_factory=list)
    is_whole: bool = True

    @property
    def may_be_at_work(self) -> bool:
        """Whether some of its tasks may still be executed."""
        return self.activity is None or bool(self.activity.tasks) or not self.activity.is_known


@dataclass(frozen=True, eq=False)
class Known:
    """All that is known of a campaign.

    unreachable: why a scheduler could not be asked, empty if all could; problems: what of the submissions cannot be read, a
    line each.
    """

    recorded: Recorded
    submitted: list[Submitted]
    unreachable: str = ""
    problems: list[str] = field(default_factory=list)


def on_disk(campaign: Campaign, campaign_id: str, schedulers: Mapping[str, Scheduler]) -> Known:
    """What files say; no scheduler has been asked. What cannot be read of a submission is named, and left out.

    Raises:
        ManifestError: the folder of submissions or of shards cannot be read.
        NewerError: a newer version of the code wrote a submission's files.
    """
    problems = [f"{path}: not a submission; it is left out" for path in submissions.foreign(campaign)]
    found = [_on_disk(campaign, number, schedulers, problems) for number in submissions.numbers(campaign)]
    return Known(read_recorded(campaign, campaign_id), found, problems=problems)


def _on_disk(campaign: Campaign, number: int, schedulers: Mapping[str, Scheduler], problems: list[str]) -> Submitted:
    """What files say of one submission; what cannot be read goes into `problems`."""
    submission, tasks, wrong = Submission.unreadable(number), TaskRuns.none(), list[str]()
    ended, unread = list[Outcome](), list[str]()
    with noting(wrong):
        submission = submissions.read(campaign, number, schedulers)
        ended, unread = outcomes.read(campaign, number, schedulers[submission.executor].reason_of)
    with noting(wrong):
        tasks = read_task_runs(campaign.tasks(number), submission.n_tasks if submission.executor else None)
    cancelled, unlisted = read_cancelled(campaign, number)
    left = f"if nothing of it is executed any more, remove {campaign.submission(number)}, or submit with --abandon {number}"
    problems += [*(f"{line}; {left}" for line in wrong), *unread, *unlisted]
    return Submitted(submission, tasks, cancelled, ended=ended, is_whole=tasks.n_tasks > 0)


def asked(known: Known, schedulers: Mapping[str, Scheduler], abandoned: Collection[int]) -> Known:
    """The same with what the schedulers say: what is at work, and how the other tasks ended."""
    finished = finished_by(known.recorded)
    submitted, problem = [_if_over(each, finished, abandoned) for each in known.submitted], ""
    for name, scheduler in schedulers.items():
        places = [i for i, each in enumerate(submitted) if each.submission.executor == name]
        asked_for = [i for i in places if submitted[i].activity is None]
        try:
            activities = scheduler.at_work([submitted[i].submission for i in asked_for])
        except SchedulerError as error:
            activities, problem = {}, str(error)
        for i in asked_for:
            submitted[i] = replace(submitted[i], activity=activities.get(submitted[i].submission))
        unexplained = {submitted[i].submission: unexplained_tasks(submitted[i], known.recorded, finished) for i in places}
        try:
            explained = scheduler.explain({submission: tasks for submission, tasks in unexplained.items() if tasks})
        except SchedulerError as error:
            explained, problem = {}, str(error)
        for i in places:
            submitted[i] = replace(submitted[i], ended=[*submitted[i].ended, *explained.get(submitted[i].submission, ())])
    return replace(known, submitted=submitted, unreachable=problem)


def _if_over(submitted: Submitted, finished: np.ndarray, abandoned: Collection[int]) -> Submitted:
    """A submission without tasks at work, if no question is needed: it ended, was abandoned, or all its runs are done."""
    is_done = submitted.is_whole and bool(among(submitted.tasks.run_id, finished).all())
    is_over = is_done or submitted.submission.ended or submitted.submission.number in abandoned
    return replace(submitted, activity=Activity({})) if is_over else submitted


def unexplained_tasks(submitted: Submitted, recorded: Recorded, finished: np.ndarray) -> dict[int, str]:
    """Tasks that are no longer executed, of whose end nothing is known, and that have runs without a record of this submission.

    Returns:
        task -> the run that was training, empty if none was.
    """
    if submitted.activity is None:
        return {}
    tasks, number = submitted.tasks, submitted.submission.number
    is_undone = ~among(tasks.run_id, finished) & ~among(tasks.run_id, recorded_by(recorded, number))
    undone = set(tasks.task[is_undone].tolist()) - set(submitted.activity.tasks) - {each.task for each in submitted.ended}
    return {task: recorded.at_hand.get((number, task), "") for task in sorted(undone)}


def keep(campaign: Campaign, before: Known, known: Known, abandoned: Collection[int]) -> None:
    """Write how tasks ended where that is new and final, and which submissions have ended."""
    for old, new in zip(before.submitted, known.submitted, strict=True):
        final = [outcome for outcome in new.ended if outcome.reason is not Reason.UNKNOWN]
        if len(final) > len(old.ended):
            outcomes.write(campaign, new.submission.number, final)
        is_over = new.activity is not None and not new.activity.tasks
        if new.submission.executor and is_over and not new.submission.ended and new.submission.number not in abandoned:
            submissions.end(campaign, new.submission, new.submission.is_cut_short)


def finished_by(recorded: Recorded) -> np.ndarray:
    """S16, ascending: the run_ids of all that is done."""
    return np.unique(recorded.records["run_id"][recorded.is_finished])


def recorded_by(recorded: Recorded, submission: int) -> np.ndarray:
    """S16, ascending: the run_ids of all records that a submission's tasks wrote."""
    return np.unique(recorded.records["run_id"][recorded.task[:, 0] == submission])


def among(run_ids: np.ndarray, known: np.ndarray) -> np.ndarray:
    """bool (n,): whether each of `run_ids`, S16 (n,), is among `known`, S16, ascending."""
    if not len(known):
        return np.zeros(len(run_ids), bool)
    return known[np.searchsorted(known, run_ids).clip(max=len(known) - 1)] == run_ids
