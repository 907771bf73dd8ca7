"""What became of tasks that ended without having done all their runs, and what that teaches of the run at hand.

The scheduler says how a task ended; the task's shard says at which run. Both together go into
`submissions/NNNN/outcomes.jsonl`, once, and are read by every later submit.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass

from hpc import cluster
from hpc.plan import Retry
from hpc.submissions import Array, Submission
from jobs.campaign import Campaign
from jobs.files import publish
from jobs.task import NO_PROGRESS_STATUS, NOT_KEPT_STATUS

MAX_TRIES = 3
UNKNOWN = "UNKNOWN"
NOT_KEPT = "NOT_KEPT"  # the task could not keep its results: disk full, quota, ...; no run is to blame
_NOT_YET = ("PENDING", "RUNNING", "COMPLETING", "REQUEUED", "RESIZING", "SUSPENDED")
_BLAMED = ("OUT_OF_MEMORY", "TIMEOUT", "FAILED")  # states that are the doing of the run at hand; the others are the cluster's
_MORE = 1.5  # times the memory or the time that was not enough


@dataclass(frozen=True)
class Outcome:
    """How a task ended. run_id: the run at hand, empty if none was; state: as in sacct, or UNKNOWN, or NOT_KEPT.

    UNKNOWN is what accounting does not know, or not yet: it lags by seconds. It is asked again next time.
    """

    task: int
    run_id: str
    state: str
    node: str
    job: str
    mem_mb: int
    time_limit_min: int

    @property
    def is_blamed_on_run(self) -> bool:
        """Whether the run at hand is to blame."""
        return bool(self.run_id) and self.state in _BLAMED


def read(campaign: Campaign, number: int) -> list[Outcome]:
    """The outcomes written of one submission."""
    path = campaign.submission(number) / "outcomes.jsonl"
    return [Outcome(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


def conclude(campaign: Campaign, ended: dict[Submission, dict[int, str]], write: bool) -> dict[int, list[Outcome]]:
    """Outcomes of tasks, by submission number; asks sacct once for all that is not yet written.

    Args:
        ended: submission -> its tasks that are no longer executed though runs of theirs are missing, each with the run at hand.
        write: keep what was found (False where the campaign cannot be written).

    Raises:
        SchedulerError: sacct does not answer.
    """
    known = {submission.number: read(campaign, submission.number) for submission in ended}
    new = {s: set(tasks) - {outcome.task for outcome in known[s.number]} for s, tasks in ended.items()}
    asked = {array.job_id for s, tasks in new.items() for array in s.arrays if array.job_id and _of(array, tasks)}
    answers = cluster.accounting(sorted(asked))
    for submission, tasks in new.items():
        found = [
            _outcome(array, task, ended[submission][task], answers)
            for array in submission.arrays
            for task in sorted(_of(array, tasks))
            if array.job_id
        ]
        if found:
            known[submission.number] += found
            final = [outcome for outcome in known[submission.number] if outcome.state != UNKNOWN]
            if write and final:
                lines = [json.dumps(asdict(outcome)).encode() + b"\n" for outcome in final]
                publish(campaign.submission(submission.number) / "outcomes.jsonl", lines)
    return known


def tries(outcomes: Iterable[Outcome], failures: Collection[str]) -> dict[str, int]:
    """run_id -> how often it was tried in vain: it raised (`failures`, a run_id for each time), or ended its task."""
    count: dict[str, int] = defaultdict(int)
    for run_id in [*failures, *(outcome.run_id for outcome in outcomes if outcome.is_blamed_on_run)]:
        count[run_id] += 1
    return dict(count)


def retries(outcomes: Iterable[Outcome], limits: cluster.Limits) -> dict[str, Retry]:
    """run_id -> what to ask for it: 1.5 times the memory or time that was not enough, as far as the partition has it."""
    found: dict[str, Retry] = {}
    for outcome in outcomes:
        if outcome.is_blamed_on_run:
            before = found.get(outcome.run_id, Retry())
            mem_mb = outcome.mem_mb * _MORE if outcome.state == "OUT_OF_MEMORY" else 0
            time_min = outcome.time_limit_min * _MORE if outcome.state == "TIMEOUT" else 0
            found[outcome.run_id] = Retry(
                min(max(before.mem_mb, mem_mb), limits.mem_mb), min(max(before.time_limit_min, time_min), limits.time_limit_min)
            )
    return found


def _of(array: Array, tasks: Collection[int]) -> set[int]:
    return {task for task in tasks if array.first_task <= task < array.first_task + array.n_tasks}


def _outcome(array: Array, task: int, run_id: str, answers: dict[tuple[str, int], cluster.Ended]) -> Outcome:
    index, job_id = task - array.first_task, array.job_id or ""
    ended = answers.get((job_id, index), cluster.Ended(UNKNOWN, "", ""))
    state = UNKNOWN if ended.state in _NOT_YET else ended.state
    if ended.state == "FAILED":
        state = {f"{NO_PROGRESS_STATUS}:0": "TIMEOUT", f"{NOT_KEPT_STATUS}:0": NOT_KEPT}.get(ended.exit_code, state)
    job = f"{job_id}_{index}" if array.n_tasks > 1 else job_id
    return Outcome(task, run_id, state, ended.node, job, array.resources.mem_mb, array.resources.time_limit_min)
