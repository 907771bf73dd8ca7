"""What the claims of a submission say: which tasks workers hold, and which attempts ended before they were finished."""

import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from hpc.state.scheduler import Activity, EndedAttempt, TaskActivity
from hpc.state.submissions import Submission
from jobs.campaign import Campaign
from jobs.claims import LONGEST_S, Claim, Claims
from jobs.recorded import Attempt
from jobs.standings import DONE, HELD, Standing, given_back, held, standings


@dataclass(frozen=True)
class Claimed:
    """The claims of one submission.

    standings: task -> its standing; claims: (task, generation) -> the worker that holds it, or held it when the worker ended;
    given_back: (task, generation) of claims that workers gave back when they ended normally; is_finished: whether a worker saw
    that all tasks are done.
    """

    standings: Mapping[int, Standing] = field(default_factory=dict)
    claims: Mapping[tuple[int, int], Claim] = field(default_factory=dict)
    given_back: Collection[tuple[int, int]] = ()
    is_finished: bool = False

    def holder(self, task: int) -> Claim | None:
        """The worker that holds a task or held it last; None if there is none, or if the task was given back."""
        here = self.standings.get(task, Standing())
        return self.claims.get((task, here.generation)) if here.word == HELD else None

    def is_done(self, task: int) -> bool:
        """Whether all runs of a task are done."""
        return self.is_finished or self.standings.get(task, Standing()).word == DONE


def read(campaign: Campaign, submission: Submission) -> Claimed:
    """The claims of a submission as they are now. Claims that cannot be read are left out: they only save work."""
    if not submission.is_claimed:
        return Claimed()
    longest_s = max((60.0 * array.resources.time_limit_min for array in submission.arrays), default=LONGEST_S)
    claims = Claims(campaign.submission(submission.number), longest_s)
    names = claims.names()
    found = {place: claim for place in held(names) if (claim := claims.holder(*place))}
    return Claimed(standings(names), found, given_back(names), claims.is_finished)


def with_claims(submission: Submission, activity: Activity, claimed: Claimed, now_s: float | None = None) -> Activity:
    """The activity of a submission, with its tasks: workers execute those that they hold; the others wait.

    Args:
        now_s: time in seconds since the epoch; None: now.
    """
    if not submission.is_claimed or not activity.is_known:
        return activity
    jobs = {worker.job: worker for worker in activity.workers if worker.job}
    tasks: dict[int, TaskActivity] = {}
    for task, here in claimed.standings.items():
        claim = claimed.holder(task) if task < submission.n_tasks else None
        if claim and claim.job in jobs:
            tasks[task] = TaskActivity(jobs[claim.job].is_begun, claim.job)
        elif here.word == HELD and claim and not submission.array_with(claim.job) and _may_live(claim, now_s):
            tasks[task] = TaskActivity(is_begun=True)
    if activity.workers or tasks:
        waiting = range(max((array.n_tasks for array in submission.arrays), default=submission.n_tasks))
        tasks = {**{task: TaskActivity(is_begun=False) for task in waiting if not claimed.is_done(task)}, **tasks}
    return replace(activity, tasks=tasks)


def _may_live(claim: Claim, now_s: float | None) -> bool:
    """Whether a worker outside of any queue may be at work. If its process cannot be checked from here, its lease decides."""
    is_alive = claim.process.is_alive()
    return not claim.is_over(time.time() if now_s is None else now_s) if is_alive is None else is_alive


def ended_attempts(
    submission: Submission, activity: Activity, claimed: Claimed, attempts: Collection[Attempt], undone: Collection[int]
) -> list[EndedAttempt]:
    """Attempts whose worker ended before it finished them. If a job was started several times, only the last start counts.

    If no worker is at work on tasks that are not done, workers that took no task are included.

    Args:
        attempts: those of this submission, from its shards.
        undone: tasks with runs that have no record.
    """
    at_work = {worker.job for worker in activity.workers}
    found = [one for one in _unfinished(claimed, attempts) if submission.array_with(one.job) and one.job not in at_work]
    last: dict[str, int] = {}
    for one in attempts:
        last[one.job] = max(one.restart, last.get(one.job, 0))
    of_last = (one for one in found if one.task in undone and one.restart >= last.get(one.job, 0))
    ended = [EndedAttempt(one.task, one.run_id, one.job) for one in of_last]
    if not submission.ended and set(undone) - set(activity.tasks):
        took = {one.job for one in attempts} | {claim.job for claim in claimed.claims.values()} | at_work
        jobs = (job for array in submission.arrays if array.job_id for job in array.jobs)
        ended += [EndedAttempt(-1, "", job) for job in jobs if job not in took]
    return ended


def _unfinished(claimed: Claimed, attempts: Collection[Attempt]) -> Iterator[Attempt]:
    """Attempts whose shards name a run in training, and claims without such a shard whose task is not given back or done."""
    by_shards = {(one.task, one.attempt, one.job) for one in attempts if one.run_id}
    yield from (one for one in attempts if one.run_id and (one.task, one.attempt) not in claimed.given_back)
    for (task, generation), claim in claimed.claims.items():
        if (task, generation, claim.job) not in by_shards:
            yield Attempt(task, generation, claim.job, claim.restart, "")
