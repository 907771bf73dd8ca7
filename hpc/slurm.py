"""The way of a plan to Slurm: limits, arrays, what is held back."""

import math
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hpc import cluster, display, outcomes, submissions
from hpc.arrays import adopt_orphans, rehearse, submit_arrays
from hpc.cluster import SchedulerError
from hpc.plan import PlannedArray, arrays, plan
from hpc.request import Refused, Request, consented, end_of_dry_run, nothing_to_submit, state_of, tasks_of
from hpc.state import State
from hpc.submissions import Submission

_DEFAULT_WORKERS = 80  # where the grid names no max_workers
_FEED_EVERY_S = 30
_WHAT_TO_CHANGE = {  # part of a reason of sbatch -> the option behind it
    "account": "account",
    "qos": "qos",
    "node configuration": "mem, cpus_per_task or gres",
    "time limit": "time",
    "partition": "partition",  # last: sbatch speaks of "account/partition combinations"
}


def submit_to_slurm(request: Request) -> int:
    """Plan what is missing and hand it to Slurm; returns the exit status.

    Raises:
        SchedulerError: Slurm does not answer, or refuses.
    """
    place = str(request.campaign.folder.resolve())
    if not place.isprintable() or set(place) & {"%", "\\"}:  # it is the name of a log, in which sbatch replaces %
        raise Refused(f"output_dir: not possible on Slurm: {place!r}; allowed: printable characters but % and \\")
    if not shutil.which("srun"):  # submitit looks for it, though it is not used
        raise SchedulerError("srun is not on PATH: this is no login node of a Slurm cluster; --executor local runs here")
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
        runs = {run_id: request.runs[run_id] for run_id in missing[: request.options.limit]}
        workers, waits_for = share_left(found, request.grid.max_workers or _DEFAULT_WORKERS)
        retries = outcomes.retries(found.outcomes, limits)
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
            submission = submit_arrays(request.campaign, submission, cut, payloads, request.sbatch, waits_for)
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


def share_left(found: State, max_workers: int) -> tuple[int, str | None]:
    """How many workers a new submission may have beside the arrays in the queue, and the job that it has to wait for, if any.

    All arrays of a campaign together never run more than `max_workers` tasks: where none are left, the new ones take the
    place of an array once that has ended.
    """
    at_work = [
        array
        for submission, activity in found.activities.items()
        for array in submission.arrays
        if any(array.first_task <= task < array.first_task + array.n_tasks for task in activity.tasks)
    ]
    left = max_workers - sum(array.parallel for array in at_work)
    if left > 0 or not at_work:
        return max(left, 1), None
    largest = max(at_work, key=lambda array: array.parallel)
    return largest.parallel, largest.job_id


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
