"""Job arrays through submitit: submitted, rehearsed, and cared for when their submitting process died."""

import math
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import FailedJobError, FailedSubmissionError

from hpc import cluster, submissions
from hpc.cluster import SchedulerError
from hpc.plan import PlannedArray
from hpc.submissions import Array, Submission
from jobs.campaign import Campaign
from jobs.provenance import PROJECT_ROOT
from jobs.task import ArrayTask

WARNING_S = 60  # before the time limit: the run at hand is dropped and the task requeued
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_MANY = 10**6  # times that a task may reach its limit: it stops of itself when an attempt finishes no run (jobs/task.py)


def submit_arrays(
    campaign: Campaign,
    submission: Submission,
    planned: Sequence[PlannedArray],
    payloads: Sequence[ArrayTask],
    options: Mapping[str, Any],
    waits_for: str | None = None,
) -> Submission:
    """Submit array after array, each id on disk before the next; gives back the record.

    Args:
        options: sbatch options of the user, which replace ours of the same name.
        waits_for: id of an earlier job that has to end first.

    Raises:
        SchedulerError: sbatch refuses an array; the ids of those before it are written.
    """
    for i, (array, its_plan) in enumerate(zip(submission.arrays, planned, strict=True)):
        after = submission.arrays[its_plan.after].job_id if its_plan.after is not None else waits_for
        executor = _executor(campaign, submission.number, array, options, after)
        try:
            with executor.batch():
                its_tasks = payloads[array.first_task : array.first_task + array.n_tasks]
                members = [executor.submit(replace(task, time_limit_min=array.resources.time_limit_min)) for task in its_tasks]
            job_id = members[0].job_id.split("_")[0]
        except (FailedJobError, FailedSubmissionError, OSError) as error:
            raise SchedulerError(f"sbatch refused array {array.name}: {_last_words(error)}") from error
        arrays = (*submission.arrays[:i], replace(array, job_id=job_id), *submission.arrays[i + 1 :])
        submission = replace(submission, arrays=arrays)
        submissions.write(campaign, submission)
    return submission


def adopt_orphans(campaign: Campaign) -> None:
    """Care for arrays whose submitting process died before it wrote down their id: they are found by their name.

    submitit completes the inputs of an array after sbatch. If it came to that, the id is written down; if not, the array is
    cancelled, since each of its tasks would wait for its input for a minute, in vain.

    Raises:
        SchedulerError: Slurm does not answer.
    """
    for submission in submissions.read_all(campaign):
        orphans = {array.name: i for i, array in enumerate(submission.arrays) if array.job_id is None}
        if submission.ended or not orphans or submission.process.is_alive() is not False:
            continue
        found = {element.name: element.job_id for element in cluster.queue() if element.name in orphans}
        arrays, cancelled = list(submission.arrays), list[str]()
        for name, job_id in found.items():
            array = arrays[orphans[name]] = replace(arrays[orphans[name]], job_id=job_id)
            if not all(path.exists() for path in _inputs(campaign, submission.number, array)):
                cancelled.append(job_id)
        cluster.cancel(cancelled)
        submissions.write(campaign, replace(submission, arrays=tuple(arrays)))
        while any(element.job_id in cancelled for element in cluster.queue()):
            time.sleep(0.5)


def rehearse(campaign: Campaign, submission: Submission, options: Mapping[str, Any]) -> list[tuple[Array, str, bool]]:
    """Ask Slurm, array by array, whether it would accept it and when it would start: (array, its answer, accepted)."""
    answers = []
    for array in submission.arrays:
        executor = _executor(campaign, submission.number, array, options, after=None)
        executor.parameters["map_count"] = array.n_tasks
        script = executor._make_submission_file_text("true", "rehearsal")
        done = subprocess.run(["sbatch", "--test-only"], input=script, capture_output=True, text=True, timeout=60)
        answers.append((array, done.stderr.strip() or done.stdout.strip(), done.returncode == 0))
    return answers


def _inputs(campaign: Campaign, number: int, array: Array) -> list[Path]:
    """The pickles that submitit makes for the tasks of an array."""
    indices = [f"_{index}" for index in range(array.n_tasks)] if array.n_tasks > 1 else [""]
    return [campaign.submission(number) / "logs" / f"{array.job_id}{index}_submitted.pkl" for index in indices]


def _executor(
    campaign: Campaign, number: int, array: Array, options: Mapping[str, Any], after: str | None
) -> submitit.SlurmExecutor:
    folder = campaign.submission(number).resolve() / "logs"
    if folder.is_dir():  # (a rehearsal has none)
        folder.chmod(0o700)  # the pickles in it are executed: nobody else may write them (as claimed; made sure of)
    executor = submitit.SlurmExecutor(folder, max_num_timeout=_MANY, python="exec " + shlex.quote(sys.executable))
    asked = array.resources
    executor.update_parameters(
        job_name=array.name,
        time=math.ceil(asked.time_limit_min),
        cpus_per_task=asked.cpus,
        mem=f"{math.ceil(asked.mem_mb * 1e6 / 2**20)}M",  # sbatch's M is 2**20 bytes
        gres=f"gpu:{asked.gpus}" if asked.gpus else None,
        dependency=f"afterany:{after}" if after else None,
        array_parallelism=array.parallel,
        use_srun=False,  # srun's step would turn an OUT_OF_MEMORY into a FAILED
        stderr_to_stdout=True,
        setup=[_only_if_own(folder), *(f"export {name}=${{SLURM_CPUS_PER_TASK:-1}}" for name in _THREAD_VARIABLES)],
        additional_parameters={
            "chdir": str(PROJECT_ROOT),
            "requeue": True,
            "signal": f"B:USR2@{WARNING_S}",  # to the batch step: it is python itself, see `exec` above
            **{key.replace("-", "_"): value for key, value in options.items()},  # submitit names its own so
        },
    )
    return executor


def _only_if_own(folder: Path) -> str:
    """A line of shell: no pickle is executed from a folder that another user put in the place of ours."""
    return f"[ -O {shlex.quote(str(folder))} ] || {{ echo 'error: the folder of the inputs is not yours' >&2; exit 77; }}"


def _last_words(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if "error" in line.lower()]
    return (lines or str(error).splitlines() or [type(error).__name__])[-1].strip()
