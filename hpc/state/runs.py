"""The state of every run. A run is done only if a readable shard says so; the scheduler explains the others."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from hpc.planning.retrying import MAX_TRIES, Outcome, Reason, tries
from hpc.state import claimed
from hpc.state.known import Known, Submitted, among, asked, finished_by, keep, on_disk, recorded_by
from hpc.state.scheduler import Activity, Scheduler
from hpc.state.submissions import Submission
from jobs.campaign import Campaign
from jobs.recorded import Recorded
from noisy.runs import ID, Runs

STATES = ("done", "running", "queued", "failed", "cancelled", "lost", "missing", "unknown")
_CODE = {name: code for code, name in enumerate(STATES)}


@dataclass(frozen=True, eq=False)
class State:
    """The state of runs.

    code: int8 (n,): the index in STATES of each run; is_given_up: bool (n,): whether a run failed so often that it is no longer
    submitted.
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
    def problems(self) -> list[str]:
        """One line for each thing that cannot be read."""
        return [*self.known.problems, *self.recorded.problems]

    @property
    def activities(self) -> dict[Submission, Activity]:
        """For each submission, what may still be executed."""
        return {s.submission: s.activity for s in self.known.submitted if s.activity and s.activity.tasks}

    @property
    def outcomes(self) -> list[Outcome]:
        """How tasks ended that left runs without a record, by submission."""
        return [outcome for submitted in self.known.submitted for outcome in submitted.ended]

    @property
    def empty_attempts(self) -> Counter[str]:
        """run_id -> number of attempts that began with this run and recorded nothing."""
        first_parts = (source for source in self.recorded.sources if source.attributes.get("part") == 0)
        return Counter(source.attributes["current_run"] for source in first_parts if not len(source.records))

    def part(self, places: np.ndarray) -> "State":
        """The same of some of the runs: int64 (k,), their places."""
        return replace(self, runs=self.runs.take(places), code=self.code[places], is_given_up=self.is_given_up[places])

    def of(self, place: int) -> str:
        """The state of the run at `place`."""
        return STATES[self.code[place]]

    @property
    def under_redo(self) -> np.ndarray:
        """int64 (k,), ascending: the runs that redos at work have still to train again."""
        redos = {submission.redo for submission in self.activities} - {0}
        states = [state_of_redo(self, redo, self.runs).places("queued", "running") for redo in redos]
        return np.unique(np.concatenate([np.empty(0, int), *states]))

    def places(self, *names: str) -> np.ndarray:
        """int64 (k,), ascending: the places of the runs in one of these states."""
        return np.flatnonzero(np.isin(self.code, [_CODE[name] for name in names]))

    def count(self, name: str) -> int:
        """How many runs are in a state."""
        return len(self.places(name))

    def to_submit(self, retry_failed: bool) -> np.ndarray:
        """int64 (k,), ascending: runs that are not done and not queued; given-up runs only with `retry_failed`."""
        wanted = self.places("missing", "lost", "failed", "cancelled")
        return wanted if retry_failed else wanted[~self.is_given_up[wanted]]


def state(
    campaign: Campaign,
    campaign_id: str,
    runs: Runs,
    schedulers: Mapping[str, Scheduler],
    abandoned: Collection[int] = (),
    write: bool = False,
    seen: Recorded | None = None,
) -> State:
    """The state of these runs. Each scheduler is asked at most once what is queued, and once how tasks ended.

    Args:
        campaign_id: as in the manifest's header; shards of other campaigns do not count.
        schedulers: name of an executor, as in submission.json -> the executor.
        abandoned: submissions to be treated as ended, whether or not their processes run.
        write: write to disk what was learnt about submissions that ended.
        seen: what an earlier look read of the shards; only shards that have changed since are read.

    Raises:
        ManifestError: as `hpc.state.known.on_disk`.
    """
    before = on_disk(campaign, campaign_id, schedulers, seen)
    known = asked(
        before,
        schedulers,
        abandoned,
        lambda submission: claimed.read(campaign, submission),
        lambda: before.recorded.updated(campaign.shard_paths(is_renewed=True)),
    )
    if write and not known.unreachable:
        keep(campaign, before, known, abandoned)
    return classify(runs, known)


def state_of_redo(found: State, redo: int, runs: Runs) -> State:
    """The state of runs that are trained again: as if the submissions of this redo (0: there is none yet) were a campaign."""
    own = classify(runs, found.known.of_redo(redo or -1))
    return State(runs, own.code, own.is_given_up, found.known)


def classify(runs: Runs, known: Known) -> State:
    """The state of each run from everything that is known. Later submissions override earlier ones.

    A submission may be at work on runs that are not known. Then every run that is not done and not at work elsewhere is
    unknown.
    """
    finished, failed = finished_by(known.recorded), known.recorded.records["run_id"][~known.recorded.is_finished]
    code = np.where(among(runs.run_id, finished), _CODE["done"], _CODE["missing"]).astype(np.int8)
    for submitted in known.submitted:
        places = runs.places_of(submitted.tasks.run_id)
        of_tasks = states_of(submitted, known.recorded, finished, np.unique(failed), bool(known.unreachable))
        code[places[places >= 0]] = of_tasks[places >= 0]
        if not submitted.is_whole and submitted.may_be_at_work:
            code[~np.isin(code, [_CODE[name] for name in ("done", "running", "queued")])] = _CODE["unknown"]
    every = [outcome for submitted in known.submitted for outcome in submitted.ended]
    n_tries = tries(every, failed.astype(str).tolist())
    too_often = np.array(sorted(run_id for run_id, n in n_tries.items() if n >= MAX_TRIES), ID)
    return State(runs, code, among(runs.run_id, too_often) & (code == _CODE["failed"]), known)


def states_of(
    submitted: Submitted, recorded: Recorded, finished: np.ndarray, failed: np.ndarray, is_silent: bool
) -> np.ndarray:
    """int8 (n,): the state of each run of a submission's tasks, as an index in STATES.

    Args:
        finished, failed: S16, ascending: run_ids that have such a record, from any submission.
        is_silent: a scheduler could not be asked.
    """
    run_id, task, number = submitted.tasks.run_id, submitted.tasks.task, submitted.submission.number
    activity, n_tasks, arrays = submitted.activity, submitted.tasks.n_tasks, submitted.submission.arrays
    training = np.zeros(n_tasks, ID)
    is_at_work, is_begun, has_ended, was_cancelled, was_not_submitted = (np.zeros(n_tasks, bool) for _ in range(5))
    for index in range(n_tasks):
        training[index] = recorded.at_hand.get((number, index), "")
        is_theirs = any(index in array.tasks for array in arrays if array.job_id is not None)
        was_not_submitted[index] = bool(arrays) and not is_theirs and (number, index) not in recorded.at_hand
    for index, element in (activity.tasks if activity else {}).items():
        if 0 <= index < n_tasks:  # the files may be damaged
            is_at_work[index], is_begun[index] = True, element.is_begun
    if submitted.submission.is_claimed and any(outcome.reason is Reason.CANCELLED for outcome in submitted.ended):
        has_ended[:], was_cancelled[:] = True, True  # a user cancelled workers that might have taken these tasks
    for outcome in (outcome for outcome in submitted.ended if 0 <= outcome.task < n_tasks):
        has_ended[outcome.task] = outcome.reason is not Reason.UNKNOWN
        was_cancelled[outcome.task] = outcome.reason is Reason.CANCELLED
    blamed = np.array(sorted({outcome.run_id for outcome in submitted.ended if outcome.is_blamed_on_run}), ID)
    is_training = training[task] == run_id
    rules = {  # the first rule that is true decides
        "done": among(run_id, finished),
        "cancelled": np.isin(run_id, np.array(sorted(submitted.cancelled), ID)) & ~(is_at_work[task] & is_training),
        "unknown": np.full(len(run_id), activity is None or not activity.is_known),
        "running": is_at_work[task] & is_begun[task] & is_training,
        "failed here": is_at_work[task] & among(run_id, recorded_by(recorded, number)),
        "queued": is_at_work[task],
        "failed": among(run_id, failed) | among(run_id, blamed),
        "missing": was_not_submitted[task] & (not is_silent),
        "not explained": ~has_ended[task],
        "task cancelled": was_cancelled[task],
    }
    unexplained = "missing" if submitted.submission.is_cut_short else "unknown" if is_silent else "lost"
    means = {"failed here": "failed", "not explained": unexplained, "task cancelled": "cancelled"}
    codes = [_CODE[means.get(rule, rule)] for rule in rules]
    return np.select(list(rules.values()), codes, _CODE["lost"]).astype(np.int8)
