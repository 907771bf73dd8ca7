"""Running a plan on this machine: a bounded pool of fresh worker processes."""

import contextlib
import math
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hpc import display, submissions
from hpc.display import count
from hpc.estimate import estimates
from hpc.grid import Grid
from hpc.plan import Plan, plan
from hpc.progress import Progress
from hpc.request import Refused, Request, consented, end_of_dry_run, nothing_to_submit, state_of, tasks_of
from jobs.campaign import Campaign
from jobs.provenance import PROJECT_ROOT
from jobs.task import NOT_KEPT_STATUS, ArrayTask
from noisy.processor import this_processor
from noisy.spec import Execution

MAX_ATTEMPTS = 3  # of a task whose worker is killed
_POLL_S = 0.25
_STOP_S = 5  # between asking a worker to end and killing it


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
            payloads = submissions.claim(request.campaign, submission, tasks_of(request, header, planned))
        except submissions.SubmissionTaken:
            continue
        return _run_locally(request.campaign, submission, payloads, planned)


def _check_precision(grid: Grid) -> None:
    refusal = this_processor().bfloat16_refusal
    if refusal and not grid.execution.use_cuda and any("bfloat16" in axes["precision"] for axes in grid.training.values()):
        raise Refused(f"precision: bfloat16: {refusal}; allowed on this machine: float32")


def _local_workers(grid: Grid, runs: dict[str, str]) -> int:
    if grid.execution.use_cuda and (grid.max_workers or 1) > 1:
        raise Refused(f"max_workers: {grid.max_workers} with use_cuda: true; allowed: 1, since local workers share one GPU")
    wanted = 1 if grid.execution.use_cuda else grid.max_workers
    capacity = local_capacity(
        wanted, grid.execution, max(cost.mem_mb.high for cost in estimates(runs.values(), grid.execution.use_cuda))
    )
    if not capacity.workers:
        raise Refused(f"cpu_threads_per_worker + data_workers: {capacity.reason}; allowed: no more than that")
    if capacity.reason:
        print(f"note: {capacity.reason}", file=sys.stderr)
    return capacity.workers


def _run_locally(campaign: Campaign, submission: submissions.Submission, payloads: list[ArrayTask], planned: Plan) -> int:
    costs_s = {run_id: task.per_run.cpu_s.middle for task in planned.tasks for run_id in task.runs}
    progress = Progress(campaign, submission.number, costs_s)
    try:
        problems = run_locally(payloads, planned.workers, planned.execution, progress.update)
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


def run_locally(tasks: Sequence[ArrayTask], workers: int, execution: Execution, observe: Callable[[], None]) -> list[str]:
    """Execute all tasks, at most `workers` at a time, and return what went wrong, a line a task.

    A worker that is killed (by the kernel for its memory, say) is followed by another attempt of its task, which does what
    is missing. Workers end with this process, also when it is killed. `observe` is called several times a second.
    """
    waiting, problems = deque(tasks), list[str]()
    running: dict[subprocess.Popen, ArrayTask] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                task = waiting.popleft()
                running[_start(task, execution)] = task
            time.sleep(_POLL_S)
            for worker in [worker for worker in running if worker.poll() is not None]:
                task = running.pop(worker)
                killed = worker.returncode < 0
                if killed and task.attempt + 1 < MAX_ATTEMPTS:
                    waiting.appendleft(replace(task, attempt=task.attempt + 1))
                elif worker.returncode:
                    how = f"ended with status {worker.returncode}"
                    if killed:
                        how = f"was killed by signal {-worker.returncode} in {MAX_ATTEMPTS} attempts"
                    elif worker.returncode == NOT_KEPT_STATUS:
                        how = "could not keep its results (disk full or quota? make room)"
                    problems.append(f"task {task.index} {how}: {_last_line(task)} (log: {_log_path(task)})")
            observe()
    finally:
        _stop(list(running))
    return problems


def _start(task: ArrayTask, execution: Execution) -> subprocess.Popen:
    place = [task.campaign_dir, str(task.submission), str(task.index), str(task.offset_bytes)]
    command = [sys.executable, "-m", "jobs.task", *place, "--attempt", str(task.attempt), "--lifeline"]
    threads = {name: str(execution.cpu_threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    with open(_log_path(task), "ab") as log:
        return subprocess.Popen(
            command,
            cwd=PROJECT_ROOT,
            env={**os.environ, **threads, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE,  # held open as long as this process lives: see jobs.task --lifeline
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches this process alone, which then ends its workers in order
        )


def _last_line(task: ArrayTask) -> str:
    lines = Path(_log_path(task)).read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it printed nothing"


def _log_path(task: ArrayTask) -> str:
    return str(Campaign(Path(task.campaign_dir)).log(task.submission, task.index))


def _stop(workers: list[subprocess.Popen]) -> None:
    for worker in workers:
        worker.terminate()
    deadline_s = time.monotonic() + _STOP_S
    for worker in workers:
        try:
            worker.wait(max(0.1, deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


def _available_memory_mb() -> float:
    try:
        with open("/proc/meminfo") as lines:
            return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return math.inf  # no Linux: left to the user
