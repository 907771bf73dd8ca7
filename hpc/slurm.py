"""Handing a submission to Slurm: one submitit array after the other, each id written down the moment it is known."""

import math
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import submitit
from submitit.core.utils import FailedJobError, FailedSubmissionError

from hpc import submissions
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
) -> Submission:
    """Submit array after array, each id on disk before the next; gives back the record.

    Args:
        options: sbatch options of the user, which replace ours of the same name.

    Raises:
        SchedulerError: sbatch refuses an array; the ids of those before it are written.
    """
    for i, (array, plan) in enumerate(zip(submission.arrays, planned, strict=True)):
        after = submission.arrays[plan.after].job_id if plan.after is not None else None
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


def _executor(
    campaign: Campaign, number: int, array: Array, options: Mapping[str, Any], after: str | None
) -> submitit.SlurmExecutor:
    folder = campaign.submission(number).resolve() / "logs"
    if folder.is_dir():  # (a rehearsal has none)
        folder.chmod(0o700)  # the pickles in it are executed: nobody else may write them
    executor = submitit.SlurmExecutor(folder, max_num_timeout=_MANY, python="exec " + shlex.quote(sys.executable))
    asked = array.resources
    wanted = {
        "job_name": array.name,
        "time": asked.time_limit_min,
        "cpus_per_task": asked.cpus,
        "mem": f"{math.ceil(asked.mem_mb * 1e6 / 2**20)}M",  # sbatch's M is 2**20 bytes
        "gres": f"gpu:{asked.gpus}" if asked.gpus else None,
        "dependency": f"afterany:{after}" if after else None,
        "chdir": str(PROJECT_ROOT),
        "requeue": True,
        "signal": f"B:USR2@{WARNING_S}",  # to the batch step: it is python itself, see `exec` above
        **{key.replace("-", "_"): value for key, value in options.items()},
    }
    known = executor._valid_parameters()
    executor.update_parameters(
        array_parallelism=array.parallel,
        use_srun=False,  # srun's step would turn an OUT_OF_MEMORY into a FAILED
        stderr_to_stdout=True,
        setup=[f"export {name}=${{SLURM_CPUS_PER_TASK:-1}}" for name in _THREAD_VARIABLES],
        **{key: value for key, value in wanted.items() if key in known},
        additional_parameters={key.replace("_", "-"): value for key, value in wanted.items() if key not in known},
    )
    return executor


def _last_words(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if "error" in line.lower()]
    return (lines or str(error).splitlines() or [type(error).__name__])[-1].strip()
