"""What Slurm's words for the state of a job mean for its task: whether it may still be executed, and how it ended."""

from collections.abc import Mapping

from hpc.execution.slurm import programs
from hpc.execution.slurm.reasons import in_words
from hpc.planning.retrying import Outcome, Reason
from hpc.state.scheduler import Activity, TaskActivity
from hpc.state.submissions import Array, Submission
from jobs.worker import NO_PROGRESS_STATUS, NOT_KEPT_STATUS

_NOT_YET = (*programs.WAITING, "RUNNING", "COMPLETING", "CONFIGURING", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED")
REASONS = {  # states that are not listed, such as NODE_FAIL or PREEMPTED, are the cluster's doing
    **dict.fromkeys(_NOT_YET, Reason.NOT_ENDED),
    "UNKNOWN": Reason.UNKNOWN,
    "OUT_OF_MEMORY": Reason.MEMORY,
    "TIMEOUT": Reason.TIME,
    "FAILED": Reason.RAISED,
    "CANCELLED": Reason.CANCELLED,
    "NOT_KEPT": Reason.STORAGE,  # version 1 of outcomes.jsonl wrote it for a failure with NOT_KEPT_STATUS
}
_FAILURES = {f"{NO_PROGRESS_STATUS}:0": Reason.TIME, f"{NOT_KEPT_STATUS}:0": Reason.STORAGE}  # exit code -> reason


def activity(submission: Submission, queue: programs.Queue, is_alive: bool | None) -> Activity:
    """The tasks of a submission that may still be executed.

    Args:
        is_alive: whether its submitting process still runs; None if that cannot be known.
    """
    by_name = {array.name: array for array in submission.arrays}
    tasks = {
        by_name[element.name].task_of(element.index): TaskActivity(
            element.is_running, element.job, "" if element.is_running else in_words(element.reason)
        )
        for element in queue.elements
        if element.name in by_name and by_name[element.name].job_id in (None, element.job_id)  # else of a copy of the campaign
    }
    for array in submission.arrays:
        if array.job_id is None and is_alive is not False:  # it may be about to be submitted
            tasks = {**dict.fromkeys(array.tasks, TaskActivity(is_begun=True)), **tasks}
    return Activity(tasks, is_alive is not None or all(array.job_id for array in submission.arrays), queue.doubt)


def outcome(array: Array, task: int, run_id: str, answers: Mapping[str, programs.Ended]) -> Outcome:
    """How a task ended. run_id: the run that was training, empty if none was."""
    job, asked = array.job_of(task), array.resources
    ended = answers.get(job, programs.Ended("UNKNOWN", "", ""))
    reason = REASONS.get(ended.state, Reason.CLUSTER)
    said = ended.state
    if ended.state == "FAILED":
        reason, said = _FAILURES.get(ended.exit_code, reason), f"FAILED {ended.exit_code}"
    return Outcome(task, run_id, reason, said, ended.node, job, asked.mem_mb, asked.time_limit_min)
