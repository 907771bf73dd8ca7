"""What Slurm's job states mean for a task: whether it may still be executed, and how it ended."""

from collections.abc import Mapping

from hpc.execution.slurm import programs
from hpc.execution.slurm.reasons import in_words
from hpc.planning.retrying import Outcome, Reason
from hpc.state.arrays import Array
from hpc.state.scheduler import Activity, EndedAttempt, TaskActivity, WorkerActivity
from hpc.state.submissions import Submission
from jobs.worker import NO_PROGRESS_STATUS, NOT_KEPT_STATUS

_NOT_YET = (*programs.WAITING, "RUNNING", "COMPLETING", "CONFIGURING", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED")
REASONS = {  # all other states, such as NODE_FAIL or PREEMPTED, are caused by the cluster
    **dict.fromkeys(_NOT_YET, Reason.NOT_ENDED),
    "UNKNOWN": Reason.UNKNOWN,
    "OUT_OF_MEMORY": Reason.MEMORY,
    "TIMEOUT": Reason.TIME,
    "FAILED": Reason.RAISED,
    "CANCELLED": Reason.CANCELLED,
    "NOT_KEPT": Reason.STORAGE,  # in version 1 of outcomes.jsonl: a failure with NOT_KEPT_STATUS
}
_FAILURES = {f"{NO_PROGRESS_STATUS}:0": Reason.TIME, f"{NOT_KEPT_STATUS}:0": Reason.STORAGE}  # exit code -> reason


def activity(submission: Submission, queue: programs.Queue, is_alive: bool | None) -> Activity:
    """The workers of a submission that may be at work, and their tasks if each has one of its own.

    Args:
        is_alive: whether its submitting process still runs; None if that cannot be known.
    """
    by_name = {array.name: array for array in submission.arrays}
    workers, tasks = list[WorkerActivity](), dict[int, TaskActivity]()
    for array in submission.arrays:
        if array.job_id is None and is_alive is not False:  # the array may be about to be submitted
            workers.append(WorkerActivity(array.name, is_begun=True))
            tasks |= {} if submission.is_claimed else dict.fromkeys(array.tasks, TaskActivity(is_begun=True))
    for element in queue.elements:
        if element.name in by_name and by_name[element.name].job_id in (None, element.job_id):  # else of a copied campaign
            why = "" if element.is_running else in_words(element.reason)
            workers.append(WorkerActivity(element.name, element.is_running, element.job, why))
            if not submission.is_claimed:
                task = by_name[element.name].task_of(element.index)
                tasks[task] = TaskActivity(element.is_running, element.job, why)
    is_known = is_alive is not None or all(array.job_id for array in submission.arrays)
    return Activity(tasks, is_known, queue.doubt, tuple(workers))


def outcome(array: Array, ended: EndedAttempt, answers: Mapping[str, programs.Ended]) -> Outcome | None:
    """How an attempt ended; None for a worker that found nothing to do."""
    asked, answer = array.resources, answers.get(ended.job, programs.Ended("UNKNOWN", "", ""))
    if ended.task < 0 and answer.state == "COMPLETED":
        return None
    reason, said = REASONS.get(answer.state, Reason.CLUSTER), answer.state
    if answer.state == "FAILED":
        reason, said = _FAILURES.get(answer.exit_code, reason), f"FAILED {answer.exit_code}"
    return Outcome(ended.task, ended.run_id, reason, said, answer.node, ended.job, asked.mem_mb, asked.time_limit_min)
