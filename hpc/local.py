"""Running a plan on this machine: its tasks, progress and problems (the workers: jobs/pool.py)."""

import contextlib
import math
import os
import select
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hpc import display, submissions
from hpc.display import count
from hpc.estimate import estimates
from hpc.grid import Grid
from hpc.plan import Plan, plan
from hpc.progress import Progress
from hpc.request import Refused, Request, consented, end_of_dry_run, nothing_to_submit, state_of, tasks_of
from jobs.campaign import Campaign
from jobs.pool import STOP_S, last_line
from jobs.provenance import PROJECT_ROOT
from noisy.processor import this_processor
from noisy.spec import Execution

_POLL_S = 0.25


def submit_locally(request: Request) -> int:
    """Plan what is missing and run it here; returns the exit status."""
    grid, options = request.grid, request.options
    _check_precision(grid)
    while True:
        number = submissions.next_number(request.campaign)  # before the state is read: a claim made since makes ours fail
        found = state_of(request)
        missing = found.to_submit(options.retry_failed)
        if not missing:
            return nothing_to_submit(request, found)
        runs = {run_id: request.runs[run_id] for run_id in missing[: options.limit]}
        planned = plan(runs, _local_workers(grid, runs), grid.execution)
        display.show_plan(planned, found, request.campaign, "on this machine")
        if options.dry_run:
            return end_of_dry_run(request)
        header = consented(request, planned)
        submission = submissions.local(number, header.campaign, len(planned.tasks), planned.n_runs, planned.workers)
        try:
            submissions.claim(request.campaign, submission, tasks_of(request, header, planned))
        except submissions.SubmissionTaken:
            continue
        return _run_locally(request.campaign, submission, planned)


def _check_precision(grid: Grid) -> None:
    refusal = this_processor().bfloat16_refusal
    if refusal and not grid.execution.use_cuda and any("bfloat16" in axes["precision"] for axes in grid.training.values()):
        raise Refused(f"precision: bfloat16: {refusal}; allowed on this machine: float32")


def _local_workers(grid: Grid, runs: dict[str, str]) -> int:
    if grid.execution.use_cuda and (grid.max_workers or 1) > 1:
        raise Refused(f"max_workers: {grid.max_workers} with use_cuda: true; allowed: 1, since local workers share one GPU")
    wanted = 1 if grid.execution.use_cuda else grid.max_workers
    capacity = local_capacity(
        wanted, grid.execution, max(cost.mem_mb.high for cost in estimates(runs.values(), grid.execution))
    )
    if not capacity.workers:
        raise Refused(f"cpu_threads_per_worker + data_workers: {capacity.reason}; allowed: no more than that")
    if capacity.reason:
        print(f"note: {capacity.reason}", file=sys.stderr)
    return capacity.workers


def _run_locally(campaign: Campaign, submission: submissions.Submission, planned: Plan) -> int:
    costs_s = {run_id: task.per_run.cpu_s.middle for task in planned.tasks for run_id in task.runs}
    progress = Progress(campaign, submission.number, costs_s)
    try:
        problems = run_locally(campaign, submission.number, planned.workers, planned.execution, progress.update)
    finally:
        progress.close()
        with contextlib.suppress(OSError):  # no room: that this process has ended tells the same
            submissions.end(campaign, submission)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    done, failed, n_runs = progress.n_done, progress.n_failed, planned.n_runs
    logs = campaign.submission(submission.number) / "logs"
    hint = "" if done == n_runs else f"\nWhy: {logs}. The same command tries again what is not done."
    print(f"{done} of {count(n_runs, 'run')} done, {failed} failed.{hint}\nNext: {display.report_command(campaign)}")
    return 0 if done == n_runs else 1


@dataclass(frozen=True)
class Capacity:
    """Workers that this machine bears (0: not one), and why not more: `reason` is empty if as many as were wanted."""

    workers: int
    reason: str = ""


def local_capacity(wanted: int | None, execution: Execution, mem_mb: float) -> Capacity:
    """How many workers of `mem_mb` each fit here.

    Args:
        wanted: max_workers of the grid; None: as many as fit.
        execution: gives the cores of one worker.
        mem_mb: peak memory of the largest run.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    by_cores = cores // (execution.cpu_threads + execution.data_workers)
    if not by_cores:
        return Capacity(0, f"{execution.cpu_threads + execution.data_workers}, and this machine has {count(cores, 'core')}")
    available_mb = _available_memory_mb()
    by_memory = max(1, int(min(available_mb // mem_mb, by_cores)))
    workers = min(by_cores, by_memory)
    if wanted is None or wanted <= workers:
        return Capacity(wanted or workers)
    memory = f"{available_mb / 1000:.1f} GB of free memory at {mem_mb / 1000:.1f} GB a worker"
    return Capacity(
        workers, f"max_workers is {wanted}; {memory if by_memory < by_cores else count(cores, 'core')} bear {workers}"
    )


def run_locally(
    campaign: Campaign, submission: int, workers: int, execution: Execution, observe: Callable[[], None]
) -> list[str]:
    """Execute all tasks of a submission, at most `workers` at a time, and return what went wrong, a line a task.

    That is done by a process of its own (jobs/pool.py), which ends with this one, also when this is killed. `observe` is
    called several times a second.
    """
    log = campaign.submission(submission) / "logs" / "pool.log"
    pool = _start(campaign, submission, workers, execution, log)
    assert pool.stdout
    printed, said = pool.stdout.fileno(), b""
    try:
        while True:
            if select.select([printed], [], [], _POLL_S)[0]:
                if not (more := os.read(printed, 2**16)):
                    break
                said += more
            observe()
    finally:
        _stop(pool)
    problems = said.decode(errors="replace").splitlines()
    if pool.returncode:
        how = f"was killed by signal {-pool.returncode}" if pool.returncode < 0 else f"ended with status {pool.returncode}"
        problems.append(f"the process that starts the workers {how}: {last_line(log)} (log: {log})")
    return problems


def _start(campaign: Campaign, submission: int, workers: int, execution: Execution, log: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "jobs.pool", str(campaign.folder.resolve()), str(submission), str(workers)]
    threads = {name: str(execution.cpu_threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    alone = {"OPENBLAS_NUM_THREADS": "1"}  # numpy's, unused: it would start threads in the process that forks
    with log.open("ab") as errors:
        return subprocess.Popen(
            command,
            cwd=PROJECT_ROOT,
            env={**os.environ, **threads, **alone, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE,  # held open as long as this process lives
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,  # Ctrl-C reaches this process alone, which then ends the others in order
        )


def _stop(pool: subprocess.Popen) -> None:
    with pool:  # closes what is left of its pipes, and waits
        assert pool.stdin
        pool.stdin.close()
        try:
            pool.wait(2 * STOP_S)  # it stops its workers in half of that
        except subprocess.TimeoutExpired:
            pool.kill()  # its workers notice


def _available_memory_mb() -> float:
    try:
        with open("/proc/meminfo") as lines:
            return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return math.inf  # no Linux: left to the user
