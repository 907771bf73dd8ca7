"""Handing a submission to Slurm: one submitit array after the other, each id written down the moment it is known."""

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

from hpc import cluster, display, outcomes, submissions
from hpc.cluster import SchedulerError
from hpc.plan import PlannedArray, arrays, plan
from hpc.request import Refused, Request, consented, end_of_dry_run, nothing_to_submit, state_of, tasks_of
from hpc.submissions import Array, Submission
from jobs.campaign import Campaign
from jobs.manifest import spec_of
from jobs.provenance import PROJECT_ROOT
from jobs.task import ArrayTask

_DEFAULT_WORKERS = 80  # where the grid names no max_workers
_FEED_EVERY_S = 30
WARNING_S = 60  # before the time limit: the run at hand is dropped and the task requeued
_WHAT_TO_CHANGE = {  # part of a reason of sbatch -> the option behind it
    "account": "account",
    "qos": "qos",
    "node configuration": "mem, cpus_per_task or gres",
    "time limit": "time",
    "partition": "partition",  # last: sbatch speaks of "account/partition combinations"
}
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_MANY = 10**6  # times that a task may reach its limit: it stops of itself when an attempt finishes no run (jobs/task.py)


def submit_to_slurm(request: Request) -> int:
    """Plan what is missing and hand it to Slurm; returns the exit status.

    Raises:
        SchedulerError: Slurm does not answer, or refuses.
    """
    if not (request.options.dry_run or request.options.test_only):
        adopt_orphans(request.campaign)
    partition = request.sbatch.get("partition")
    limits = cluster.limits(str(partition) if partition else None)
    while True:
        number = submissions.next_number(request.campaign)
        found = state_of(request)
        if found.unreachable:
            raise SchedulerError(found.unreachable)
        missing = found.to_submit(request.options.retry_failed)
        if not missing:
            return nothing_to_submit(request, found)
        runs = [spec_of(request.runs[run_id]) for run_id in missing[: request.options.limit]]
        workers, retries = request.grid.max_workers or _DEFAULT_WORKERS, outcomes.retries(found.outcomes, limits)
        whole = plan(runs, workers, request.grid.execution, retries, request.options.runs_per_task)
        planned = whole.first(max(0, limits.max_submitted - len(cluster.queue())))
        if planned.tasks:
            cut = tuple(_as_asked(array, request.sbatch) for array in arrays(planned, limits.max_array_size))
            _check(cut, limits, request.sbatch)
            display.show_plan(planned, found, request.campaign, "on Slurm")
            display.show_arrays(planned, cut)
            if request.options.test_only:
                return _rehearse(request, submissions.slurm(number, "rehearsal", planned.n_runs, planned.workers, cut))
            if request.options.dry_run:
                return end_of_dry_run(request)
            header = consented(request, planned)
            submission = submissions.slurm(number, header.campaign, planned.n_runs, planned.workers, cut)
            try:
                payloads = submissions.claim(request.campaign, submission, tasks_of(request, header, planned))
            except submissions.SubmissionTaken:
                continue
            submission = submit_arrays(request.campaign, submission, cut, payloads, request.sbatch)
            ids = " ".join(array.job_id or "" for array in submission.arrays)
            print(f"submission {number:04d}: {display.count(len(planned.tasks), 'task')} submitted as {ids}")
        held_back = len(whole.tasks) - len(planned.tasks)
        if not held_back:
            print(f"Next: python -m hpc.status --output-dir {display.quoted(request.campaign.folder)}")
            return 0
        print(f"{display.count(held_back, 'task')} held back: Slurm takes {limits.max_submitted} of yours at a time.", end=" ")
        if not request.options.keep_feeding:
            print("The same command submits the rest when there is room; --keep-feeding waits for it.")
            return 0
        print(f"Looking again in {_FEED_EVERY_S} s.", flush=True)
        time.sleep(_FEED_EVERY_S)


def _as_asked(array: PlannedArray, options: Mapping[str, Any]) -> PlannedArray:
    """The array with the time limit and memory that the user's own sbatch options ask for.

    Raises:
        Refused: they cannot be read.
    """
    asked = array.resources
    try:
        if "time" in options:
            asked = replace(asked, time_limit_min=math.ceil(cluster.minutes(str(options["time"]))))
        if "mem" in options:
            asked = replace(asked, mem_mb=math.floor(cluster.megabytes(str(options["mem"]))))
    except (ValueError, OverflowError) as error:
        wanted = "time as MINUTES or HOURS:MINUTES:SECONDS, mem as 900M or 4G"
        raise Refused(f"slurm: {dict(options)}: {error}; allowed: {wanted}") from error
    return replace(array, resources=asked)


def _check(cut: Sequence[PlannedArray], limits: cluster.Limits, options: Mapping[str, Any]) -> None:
    """Refuse what the partition could never start: Slurm itself may accept it, and let it wait for ever."""
    time_limit_min, mem_mb = (max(getattr(array.resources, name) for array in cut) for name in ("time_limit_min", "mem_mb"))
    if "time" not in options and time_limit_min > limits.time_limit_min:
        allowed = f"allowed by the partition: {limits.time_limit_min:.0f} min; choose another, or --sbatch time=MINUTES"
        raise Refused(f"a task would ask for {time_limit_min} min; {allowed}, or --runs-per-task N")
    if "mem" not in options and mem_mb > limits.mem_mb:
        allowed = f"the partition's largest node has {limits.mem_mb:.0f} MB; choose another, or --sbatch mem=MEGABYTES"
        raise Refused(f"a task would ask for {mem_mb} MB; {allowed}")


def _rehearse(request: Request, submission: Submission) -> int:
    """Say, array by array, what Slurm would answer and what to change; returns the exit status."""
    status = 0
    for array, answer, is_accepted in rehearse(request.campaign, submission, request.sbatch):
        print(f"{'accepted' if is_accepted else 'refused '}   {display.count(array.n_tasks, 'task')}: {answer}")
        if not is_accepted:
            option = next((option for reason, option in _WHAT_TO_CHANGE.items() if reason in answer), "an option")
            print(f"           change {option} in slurm: of the grid, or with --sbatch KEY=VALUE (sinfo shows what there is)")
            status = 2
    print("Nothing was submitted.")
    return status


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
    for i, (array, its_plan) in enumerate(zip(submission.arrays, planned, strict=True)):
        after = submission.arrays[its_plan.after].job_id if its_plan.after is not None else None
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
        folder.chmod(0o700)  # the pickles in it are executed: nobody else may write them
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
        setup=[f"export {name}=${{SLURM_CPUS_PER_TASK:-1}}" for name in _THREAD_VARIABLES],
        additional_parameters={
            "chdir": str(PROJECT_ROOT),
            "requeue": True,
            "signal": f"B:USR2@{WARNING_S}",  # to the batch step: it is python itself, see `exec` above
            **{key.replace("-", "_"): value for key, value in options.items()},  # submitit names its own so
        },
    )
    return executor


def _last_words(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if "error" in line.lower()]
    return (lines or str(error).splitlines() or [type(error).__name__])[-1].strip()
