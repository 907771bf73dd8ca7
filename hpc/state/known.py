"""Everything known about a campaign: what is on disk, and what the schedulers say."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from hpc.planning.retrying import Outcome, Reason
from hpc.state import outcomes, submissions
from hpc.state.claimed import Claimed, ended_attempts, with_claims
from hpc.state.scheduler import Activity, EndedAttempt, Scheduler, SchedulerError
from hpc.state.submissions import Submission
from jobs.campaign import Campaign
from jobs.manifest import noting
from jobs.recorded import Recorded, read_recorded
from jobs.taskfile import TaskRuns, read_cancelled, read_task_runs
from jobs.typed import typed


@dataclass(frozen=True, eq=False)
class Submitted:
    """One submission, with everything known about it.

    activity: None if unknown; ended: how attempts ended, as far as known; cancelled: run_ids of cancelled runs; is_whole:
    whether the runs of its tasks are known; claimed: what its claims say.
    """

    submission: Submission
    tasks: TaskRuns
    cancelled: Collection[str]
    activity: Activity | None = None
    ended: list[Outcome] = field(default_factory=list)
    is_whole: bool = True
    claimed: Claimed = field(default_factory=Claimed)

    def jobs_of(self, task: int, recorded: Recorded) -> list[str]:
        """The jobs that executed a task, as far as known, in the order of attempts; "" for a process without a job."""
        if not self.submission.is_claimed:
            return [""]
        by_shards = {(a.attempt, a.job) for a in recorded.attempts.get(self.submission.number, []) if a.task == task}
        by_claims = {(place[1], claim.job) for place, claim in self.claimed.claims.items() if place[0] == task}
        jobs = (job if self.submission.array_with(job) else "" for _, job in sorted(by_shards | by_claims))
        return list(dict.fromkeys(jobs))

    @property
    def may_be_at_work(self) -> bool:
        """Whether some of its tasks may still be executed."""
        return self.activity is None or bool(self.activity.tasks) or not self.activity.is_known


@dataclass(frozen=True, eq=False)
class Known:
    """Everything known about a campaign.

    unreachable: what a scheduler could not be asked, and why; empty if everything is known. is_queue_known: whether all
    schedulers said what is at work; if not, nothing may be submitted. problems: one line for each thing that cannot be read.
    """

    recorded: Recorded
    submitted: list[Submitted]
    unreachable: str = ""
    is_queue_known: bool = True
    problems: list[str] = field(default_factory=list)

    def of_redo(self, redo: int) -> "Known":
        """What is known of the submissions of one redo, which are as those of a campaign of its own."""
        submitted = [each for each in self.submitted if each.submission.redo == redo]
        return replace(self, recorded=self.recorded.only({each.submission.number for each in submitted}), submitted=submitted)


def on_disk(campaign: Campaign, campaign_id: str, schedulers: Mapping[str, Scheduler], seen: Recorded | None = None) -> Known:
    """What the files say, without asking a scheduler. Files of a submission that cannot be read are named and left out.

    Args:
        seen: what was read of the shards before, if it is at hand.

    Raises:
        ManifestError: the folder of submissions or of shards cannot be read.
        NewerError: a newer version of the code wrote a submission's files.
    """
    problems = [f"{path}: not a submission; it is ignored" for path in submissions.foreign(campaign)]
    found = [_on_disk(campaign, number, schedulers, problems) for number in submissions.numbers(campaign)]
    recorded = seen.updated(campaign.shard_paths()) if seen else read_recorded(campaign, campaign_id)
    return Known(recorded, found, problems=problems)


def _on_disk(campaign: Campaign, number: int, schedulers: Mapping[str, Scheduler], problems: list[str]) -> Submitted:
    """What the files say about one submission. Adds a line to `problems` for each file that cannot be read."""
    submission, tasks, wrong = Submission.unreadable(number), TaskRuns.none(), list[str]()
    ended, unread = list[Outcome](), list[str]()
    with noting(wrong):
        submission = submissions.read(campaign, number, schedulers)
        ended, unread = outcomes.read(campaign, number, schedulers[submission.executor].reason_of)
    with noting(wrong):
        tasks = read_task_runs(campaign.tasks(number), submission.n_tasks if submission.executor else None)
    cancelled, unlisted = read_cancelled(campaign, number)
    left = f"if no worker of it is at work any more, remove {campaign.submission(number)}, or submit with --abandon {number}"
    problems += [*(f"{line}; {left}" for line in wrong), *unread, *unlisted]
    return Submitted(submission, tasks, cancelled, ended=ended, is_whole=tasks.n_tasks > 0)


def asked(
    known: Known,
    schedulers: Mapping[str, Scheduler],
    abandoned: Collection[int],
    read_claims: Callable[[Submission], Claimed],
    read_again: Callable[[], Recorded],
) -> Known:
    """`known` with the answers of the schedulers: what is at work, and how the other attempts ended.

    Args:
        read_claims: reads the claims of a submission. It is called after the schedulers said which workers there are.
        read_again: reads the shards again, because a task that has ended meanwhile may have written more.
    """
    finished = done_for(known)
    is_over = [_is_over(each, finished[each.submission.redo], abandoned) for each in known.submitted]
    at_work = {each.submission: Activity({}) for each, over in zip(known.submitted, is_over, strict=True) if over}
    problems, is_queue_known = list[str](), True
    for name, scheduler in schedulers.items():
        open_ones = [s.submission for s in known.submitted if s.submission.executor == name and s.submission not in at_work]
        try:
            at_work |= scheduler.at_work(open_ones)
        except SchedulerError as error:
            problems.append(str(error))
            is_queue_known = False
    submitted = [
        replace(each, activity=at_work.get(each.submission))
        if over
        else _with_activity(each, at_work.get(each.submission), read_claims)
        for each, over in zip(known.submitted, is_over, strict=True)
    ]
    recorded = known.recorded

    def open_ends_of(each: Submitted) -> list[EndedAttempt]:
        return unexplained(each, recorded, finished[each.submission.redo])

    if any(not over and open_ends_of(each) for each, over in zip(submitted, is_over, strict=True)):
        recorded = read_again()
        finished = done_for(replace(known, recorded=recorded))
    open_ends = {each.submission: open_ends_of(each) for each in submitted}
    explained: dict[Submission, list[Outcome]] = {}
    for name, scheduler in schedulers.items():
        try:
            explained |= scheduler.explain({s: ends for s, ends in open_ends.items() if ends and s.executor == name})
        except SchedulerError as error:
            problems.append(str(error))
    for i, each in enumerate(submitted):
        new = explained.get(each.submission, [])
        ends = [outcome for outcome in new if outcome.reason is not Reason.NOT_ENDED]
        submitted[i] = replace(each, ended=[*each.ended, *ends])
        if each.activity and not is_over[i]:
            final = {(outcome.task, outcome.job) for outcome in ends if outcome.reason is not Reason.UNKNOWN}
            n_open = sum((end.task, end.job) not in final for end in open_ends[each.submission])
            problems += _doubts(each, n_open, len(new) - len(ends))
    unreachable = "; ".join(dict.fromkeys(problems))
    return replace(known, recorded=recorded, submitted=submitted, unreachable=unreachable, is_queue_known=is_queue_known)


def _with_activity(submitted: Submitted, activity: Activity | None, read_claims: Callable[[Submission], Claimed]) -> Submitted:
    """The submission with what is at work, as the scheduler and the claims say it."""
    if activity is None or not submitted.submission.is_claimed:
        return replace(submitted, activity=activity)
    found = read_claims(submitted.submission)
    return replace(submitted, claimed=found, activity=with_claims(submitted.submission, activity, found))


def _doubts(submitted: Submitted, n_open: int, n_not_ended: int) -> list[str]:
    """Why workers that a scheduler does not list may still be at work."""
    place = f"submission {submitted.submission.number:04d}"
    what = "workers" if submitted.submission.is_claimed else "tasks"
    abandon = f"if you know that they are gone: {typed('submit')} --abandon {submitted.submission.number}"
    if n_not_ended:
        doubt = "are not in the queue, but accounting says that they have not ended"
        return [f"{place}: {n_not_ended} of its {what} {doubt}; {abandon}"]
    if n_open and submitted.activity and submitted.activity.doubt:
        return [f"{place}: {n_open} of its {what} may or may not have ended ({submitted.activity.doubt}); {abandon}"]
    return []


def _is_over(submitted: Submitted, finished: np.ndarray, abandoned: Collection[int]) -> bool:
    """Whether no scheduler has to be asked about a submission: it ended, was abandoned, or all its runs are done."""
    is_done = submitted.is_whole and bool(among(submitted.tasks.run_id, finished).all())
    return is_done or bool(submitted.submission.ended) or submitted.submission.number in abandoned


def unexplained(submitted: Submitted, recorded: Recorded, finished: np.ndarray) -> list[EndedAttempt]:
    """Attempts that are not at work, ended in an unknown way, and left runs without a record from this submission."""
    if submitted.activity is None:
        return []
    tasks, submission, number = submitted.tasks, submitted.submission, submitted.submission.number
    is_undone = ~among(tasks.run_id, finished) & ~among(tasks.run_id, recorded_by(recorded, number))
    undone = set(tasks.task[is_undone].tolist())
    if submission.is_claimed:
        attempts = recorded.attempts.get(number, [])
        found = ended_attempts(submission, submitted.activity, submitted.claimed, attempts, undone)
        done = set(finished.astype(str).tolist()) if found else ()
        found = [end for end in found if end.run_id not in done]
    else:
        at_hand = {task: recorded.at_hand.get((number, task), "") for task in sorted(undone - set(submitted.activity.tasks))}
        arrays = ((task, run_id, submission.array_of(task)) for task, run_id in at_hand.items())
        found = [EndedAttempt(task, run_id, array.job_of(task) if array else "") for task, run_id, array in arrays]
    explained = {(outcome.task, outcome.job) for outcome in submitted.ended}
    return [end for end in found if (end.task, end.job) not in explained]


def keep(campaign: Campaign, before: Known, known: Known, abandoned: Collection[int]) -> None:
    """Write to disk what is new and final: how tasks ended, and which submissions have ended."""
    for old, new in zip(before.submitted, known.submitted, strict=True):
        final = [outcome for outcome in new.ended if outcome.reason is not Reason.UNKNOWN]
        if len(final) > len(old.ended):
            outcomes.write(campaign, new.submission.number, final)
        is_over = new.activity is not None and not new.activity.tasks
        if new.submission.executor and is_over and not new.submission.ended and new.submission.number not in abandoned:
            current = submissions.read(campaign, new.submission.number)  # its own process may have written to it meanwhile
            submissions.end(campaign, current, current.is_cut_short)


def finished_by(recorded: Recorded) -> np.ndarray:
    """S16, ascending: the run_ids of all done runs."""
    return np.unique(recorded.records["run_id"][recorded.is_finished])


def done_for(known: Known) -> dict[int, np.ndarray]:
    """Submission.redo -> S16, ascending: the run_ids that are done for it. For a redo, only its own records count."""
    redos = {each.submission.redo for each in known.submitted} - {0}
    return {0: finished_by(known.recorded)} | {redo: finished_by(known.of_redo(redo).recorded) for redo in redos}


def recorded_by(recorded: Recorded, submission: int) -> np.ndarray:
    """S16, ascending: the run_ids of all records that a submission's tasks wrote."""
    return np.unique(recorded.records["run_id"][recorded.task[:, 0] == submission])


def among(run_ids: np.ndarray, known: np.ndarray) -> np.ndarray:
    """bool (n,): whether each of `run_ids`, S16 (n,), is among `known`, S16, ascending."""
    if not len(known):
        return np.zeros(len(run_ids), bool)
    return known[np.searchsorted(known, run_ids).clip(max=len(known) - 1)] == run_ids
