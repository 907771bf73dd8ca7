"""Job arrays through submitit: submitted, rehearsed, and cared for when their submitting process died.

All that this suite knows of submitit's insides is here: a test fails, and says so, when another version has changed them.
"""

import math
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import FailedJobError, FailedSubmissionError

from hpc.execution.slurm import programs
from hpc.execution.slurm.options import Options, for_script
from hpc.state import submissions
from hpc.state.scheduler import SchedulerError
from hpc.state.submissions import Array, Submission
from jobs.campaign import Campaign
from jobs.provenance import PROJECT_ROOT
from jobs.taskfile import task_places
from jobs.worker import SlurmWorker

WARNING_S = 60  # before the time limit: the run that is training is dropped and the task requeued
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_NO_LIMIT = 10**6  # requeues at the time limit: a task that makes no progress stops itself (jobs/worker.py)
LOOK_AGAIN_S = (0.5, 1, 2, 4, 8, 15, 30)


def input_of(folder: Path, job: str) -> Path:
    """submitit's input of a job, JOB_INDEX or JOB."""
    return folder / f"{job}_submitted.pkl"


def output_of(folder: Path, job: str) -> Path:
    """Where submitit puts what a job prints."""
    return folder / f"{job}_0_log.out"


def submit_arrays(campaign: Campaign, submission: Submission, after: Sequence[int | None], options: Options) -> Submission:
    """Submit array after array, each id on disk before the next; gives back the record.

    Args:
        after: for each array the place of the one that has to end first, if any; else it waits for its `waits_for`.
        options: the user's.

    Raises:
        SchedulerError: sbatch refuses an array; the ids of those before it are written.
    """
    arrays, places = list(submission.arrays), task_places(campaign, submission.number)
    for i, predecessor in enumerate(after):
        if predecessor is not None:
            arrays[i] = replace(arrays[i], waits_for=arrays[predecessor].job_id)
        executor = _executor(campaign, submission.number, arrays[i], options)
        try:
            with executor.batch():
                limit_min = arrays[i].resources.time_limit_min
                members = [executor.submit(SlurmWorker(places[task], limit_min)) for task in arrays[i].tasks]
        except (FailedJobError, FailedSubmissionError, OSError) as error:
            raise SchedulerError(f"sbatch refused array {arrays[i].name}: {_last_words(error)}") from error
        arrays[i] = replace(arrays[i], job_id=members[0].job_id.split("_")[0])
        submission = replace(submission, arrays=tuple(arrays))
        submissions.write(campaign, submission)
    return submission


def adopt_orphans(campaign: Campaign, pauses_s: Sequence[float] = LOOK_AGAIN_S) -> None:
    """Care for arrays whose submitting process died before it wrote down their id: they are found by their name.

    submitit completes the inputs of an array after sbatch. If it came to that, the id is written down. If not, the array is
    cancelled, since each of its tasks would wait for its input for a minute and then fail.

    Args:
        pauses_s: between the questions whether what was cancelled has gone.

    Raises:
        SchedulerError: Slurm does not answer, or does not end what was cancelled.
    """
    for submission in submissions.read_all(campaign):
        orphans = {array.name: i for i, array in enumerate(submission.arrays) if array.job_id is None}
        if submission.ended or not orphans or submission.process.is_alive() is not False:
            continue
        found = {element.name: element.job_id for element in programs.queue() if element.name in orphans}
        arrays, cancelled = list(submission.arrays), list[str]()
        for name, job_id in found.items():
            array = arrays[orphans[name]] = replace(arrays[orphans[name]], job_id=job_id)
            logs = campaign.submission(submission.number) / "logs"
            if not all(input_of(logs, array.job_of(task)).exists() for task in array.tasks):
                cancelled.append(job_id)
        programs.cancel(cancelled)
        submissions.write(campaign, replace(submission, arrays=tuple(arrays)))
        _wait_for_end(cancelled, pauses_s)


def _wait_for_end(job_ids: Sequence[str], pauses_s: Sequence[float]) -> None:
    if not job_ids:
        return
    for pause_s in pauses_s:
        if not any(element.job_id in job_ids for element in programs.queue()):
            return
        time.sleep(pause_s)
    waited_s = f"{sum(pauses_s):.0f} s"
    raise SchedulerError(f"jobs {', '.join(job_ids)} were cancelled {waited_s} ago and are still in the queue; try again later")


def rehearse(campaign: Campaign, arrays: Sequence[Array], options: Options) -> list[tuple[Array, str, bool]]:
    """Ask Slurm, array by array, whether it would accept it and when it would start: (array, its answer, accepted)."""
    answers = []
    for array in arrays:
        script = script_of(_executor(campaign, 0, array, options), array.n_tasks)
        done = programs.call("sbatch", "--test-only", text=script)
        answers.append((array, done.stderr.strip() or done.stdout.strip(), done.returncode == 0))
    return answers


def script_of(executor: submitit.SlurmExecutor, n_tasks: int) -> str:
    """The batch script that submitit would hand to sbatch for an array."""
    executor.parameters["map_count"] = n_tasks
    return executor._make_submission_file_text("true", "rehearsal")


def _executor(campaign: Campaign, number: int, array: Array, options: Options) -> submitit.SlurmExecutor:
    folder = campaign.submission(number).resolve() / "logs"
    if folder.is_dir():  # (a rehearsal has none)
        folder.chmod(0o700)  # only the owner may write the pickles; `claim` made it so, and it may have been changed
    executor = submitit.SlurmExecutor(folder, max_num_timeout=_NO_LIMIT, python="exec " + shlex.quote(sys.executable))
    executor.update_parameters(**_parameters(folder, array, options))
    return executor


def _parameters(folder: Path, array: Array, options: Options) -> Mapping[str, Any]:
    asked = array.resources
    return {
        "job_name": array.name,
        "time": asked.time_limit_min,
        "cpus_per_task": asked.cpus,
        "mem": f"{math.ceil(asked.mem_mb * 1e6 / 2**20)}M",  # sbatch's M is 2**20 bytes
        "gres": f"gpu:{asked.gpus}" if asked.gpus else None,
        "array_parallelism": array.parallel,
        "use_srun": False,  # srun's step would turn an OUT_OF_MEMORY into a FAILED
        "stderr_to_stdout": True,
        "setup": [_only_if_own(folder), *(f"export {name}=${{SLURM_CPUS_PER_TASK:-1}}" for name in _THREAD_VARIABLES)],
        "additional_parameters": {
            "chdir": str(PROJECT_ROOT),
            "requeue": True,
            "signal": f"B:USR2@{WARNING_S}",  # to the batch step: it is python itself, see `exec` above
            **for_script(options, array.waits_for),
        },
    }


def _only_if_own(folder: Path) -> str:
    """A line of shell: no pickle is executed from a folder that another user put in the place of ours."""
    return f"[ -O {shlex.quote(str(folder))} ] || {{ echo 'error: the folder of the inputs is not yours' >&2; exit 77; }}"


def _last_words(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if "error" in line.lower()]
    return (lines or str(error).splitlines() or [type(error).__name__])[-1].strip()
