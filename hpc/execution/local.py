"""This machine as an executor: how many workers it allows, and their progress (the workers: jobs/pool.py)."""

import argparse
import contextlib
import math
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hpc.console import ALL_WELL, SOME_FAILED, Refused, count, positive
from hpc.execution.doubts import refuse_larger_than
from hpc.execution.executor import Executor, Request
from hpc.execution.progress import Progress
from hpc.execution.site import NOTE, OK, Check, Line
from hpc.planning.decision import Decision
from hpc.planning.priors import estimate
from hpc.planning.tasks import plan
from hpc.request.grid import Grid
from hpc.state import submissions
from hpc.state.runs import State
from hpc.state.scheduler import Activity, TaskActivity, WorkerActivity
from hpc.state.submissions import Submission
from jobs.campaign import Campaign
from jobs.pool import STOP_S, last_line
from jobs.probe import cores_limit, memory_limit_mb
from jobs.provenance import PROJECT_ROOT
from jobs.taskfile import read_task_runs
from noisy.processor import this_processor
from noisy.runs import Runs
from noisy.spec import Execution

_POLL_S = 0.25


class Local(Executor):
    """Tasks are executed by this machine's own processes, and nothing is ever held back."""

    name = "local"
    where = "on this machine"
    is_asked = False

    def add_options(self, add: Callable[..., argparse.Action]) -> list[argparse.Action]:
        return [
            add("--join", type=positive, metavar="NUMBER", help="take tasks of this submission, which is at work elsewhere")
        ]

    def check(self, request: Request) -> None:
        grid = request.grid
        refusal = this_processor().bfloat16_refusal
        is_wanted = any("bfloat16" in axes["precision"] for axes in grid.training.values())
        if refusal and is_wanted and not grid.execution.use_cuda:
            raise Refused(f"precision: bfloat16: {refusal}; allowed on this machine: float32")
        if grid.execution.use_cuda and (grid.max_workers or 1) > 1:
            raise Refused(f"max_workers: {grid.max_workers} with use_cuda: true; allowed: 1, since local workers share one GPU")
        if grid.execution.use_cuda:
            _refuse_without_gpu({precision for axes in grid.training.values() for precision in axes["precision"]})

    def decide(self, request: Request, runs: Runs, found: State) -> Decision:
        planned = plan(runs, _workers(request.grid, runs), request.grid.execution, empty_attempts=found.empty_attempts)
        return Decision(planned, planned)

    def execute(self, request: Request, submission: Submission, decision: Decision) -> int:
        campaign, tasks = request.campaign, decision.now.tasks
        costs_s = np.repeat([task.per_run.wall_s.middle for task in tasks], [len(task.runs) for task in tasks])
        progress, is_interrupted = (
            Progress(campaign, submission.number, Runs.joined([task.runs for task in tasks]), costs_s),
            True,
        )
        try:
            problems = run_locally(campaign, submission.number, submission.workers, decision.now.execution, progress.update)
            is_interrupted = False
        finally:
            progress.close()
            with contextlib.suppress(OSError):  # a full disk; later commands see that the process is gone
                submissions.end(campaign, submission, is_interrupted)
        for problem in problems:
            print(f"error: {problem}", file=sys.stderr)
        done, failed, n_runs = progress.n_done, progress.n_failed, submission.n_runs
        logs = campaign.submission(submission.number) / "logs"
        hint = "" if done == n_runs else f"\nWhy: {logs}. The same command tries again, up to three times a run."
        print(f"{done} of {count(n_runs, 'run')} done, {failed} failed.{hint}")
        return ALL_WELL if done == n_runs else SOME_FAILED

    def join(self, request: Request) -> int:
        """Execute what nobody holds of a submission, beside the workers that it has elsewhere."""
        self.check(request)
        number, campaign = request.options.join, request.campaign
        submission = submissions.read(campaign, number)
        if submission.ended or not submission.is_claimed:
            why = "it has ended" if submission.ended else "an earlier version made it, and its workers share out nothing"
            raise Refused(f"--join {number}: not possible: {why}; allowed: a submission that is at work")
        tasks = read_task_runs(campaign.tasks(number), submission.n_tasks)
        runs = request.runs.take(np.isin(request.runs.run_id, tasks.run_id))
        if not len(runs):
            raise Refused(
                f"--join {number}: it has no run of this grid; allowed: a submission of {campaign.folder} with its grid"
            )
        progress = Progress(campaign, number, runs, np.ones(len(runs)))
        try:
            workers = _workers(request.grid, runs)
            problems = run_locally(campaign, number, workers, request.grid.execution, progress.update)
        finally:
            progress.close()
        for problem in problems:
            print(f"error: {problem}", file=sys.stderr)
        print(f"submission {number:04d}: {progress.n_done} of {count(len(runs), 'run')} done. Its own workers have the rest.")
        return SOME_FAILED if problems else ALL_WELL

    def checks(self, given: argparse.Namespace, folder: Path) -> list[Check]:
        return [Check("machine", _machine, "see that /proc is mounted")]

    def at_work(self, submissions: Sequence[Submission]) -> dict[Submission, Activity]:
        return {submission: _activity(submission) for submission in submissions}

    def log_of(self, campaign: Campaign, submission: Submission, task: int, job: str = "") -> Path:
        return campaign.log(submission.number, task)


def _machine() -> Iterator[Line]:
    """Cores and memory, and limits of a container that plans do not know."""
    cores, free_mb = _cores(), _memory_mb("MemAvailable")
    for what, found, limit in (("cores", cores, cores_limit()), ("memory_mb", free_mb, memory_limit_mb())):
        is_less = limit is not None and limit < found
        less = f"; a control group allows only {limit:,.1f}: set max_workers of the grid accordingly" if is_less else ""
        yield Line(NOTE if is_less else OK, what, f"{found:,.0f} free for workers{less}")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _activity(submission: Submission) -> Activity:
    is_alive = submission.process.is_alive()
    if is_alive is False:
        return Activity({})
    tasks = dict.fromkeys(range(submission.n_tasks), TaskActivity(is_begun=True))  # claims, if any, tell it better
    return Activity(tasks, is_alive is not None, workers=(WorkerActivity("", is_begun=True),))


def _workers(grid: Grid, runs: Runs) -> int:
    wanted = 1 if grid.execution.use_cuda else grid.max_workers
    cells = {runs.cells[cell].spec for cell in np.unique(runs.cell)}
    if not grid.execution.use_cuda:  # (on a GPU, the GPU's memory is the limit)
        refuse_larger_than(_memory_mb("MemTotal"), cells, "this machine has")
    mem_mb = max(estimate(run, grid.execution).mem_mb.high for run in cells)
    capacity = local_capacity(wanted, grid.execution, mem_mb)
    if not capacity.workers:
        raise Refused(capacity.reason)
    if capacity.reason:
        print(f"note: {capacity.reason}", file=sys.stderr)
    return capacity.workers


def _refuse_without_gpu(precisions: set[str]) -> None:
    """Ask torch, in a process of its own, since commands do not load torch.

    Raises:
        Refused: there is no GPU, or it does not support these precisions.
    """
    asked = "from noisy.device import check_precision, select_device; d = select_device(True); "
    program = asked + "; ".join(f"check_precision({precision!r}, d)" for precision in sorted(precisions))
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused((done.stderr.strip().splitlines() or ["torch does not load"])[-1].removeprefix("RuntimeError: "))


@dataclass(frozen=True)
class Capacity:
    """How many workers this machine allows (perhaps 0), and why not more. `reason` is empty if all wanted workers fit."""

    workers: int
    reason: str = ""


def local_capacity(wanted: int | None, execution: Execution, mem_mb: float) -> Capacity:
    """How many workers of `mem_mb` each fit here.

    Args:
        wanted: max_workers of the grid; None: as many as fit.
        execution: gives the cores of one worker.
        mem_mb: peak memory of the largest run.
    """
    cores = _cores()
    by_cores = cores // (execution.cpu_threads + execution.data_workers)
    if not by_cores:
        each = f"cpu_threads_per_worker + data_workers is {execution.cpu_threads + execution.data_workers}"
        return Capacity(0, f"{each}, but this machine has {count(cores, 'core')}; lower one of them")
    available_mb = _memory_mb("MemAvailable")
    by_memory = max(1, int(min(available_mb // mem_mb, by_cores)))
    workers = min(by_cores, by_memory)
    if wanted is None or wanted <= workers:
        return Capacity(wanted or workers)
    memory = f"{available_mb / 1000:.1f} GB of free memory at {mem_mb / 1000:.1f} GB a worker"
    what = memory if by_memory < by_cores else count(cores, "core")
    return Capacity(workers, f"max_workers is {wanted}, but {what} allow only {count(workers, 'worker')}")


def run_locally(
    campaign: Campaign, submission: int, workers: int, execution: Execution, observe: Callable[[], None]
) -> list[str]:
    """Execute all tasks of a submission, at most `workers` at a time. Returns a line for each task that went wrong.

    Another process does this (jobs/pool.py). It ends when this process ends, even if this one is killed. `observe` is called
    several times a second.
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
    with pool:  # closes its remaining pipes, and waits
        assert pool.stdin
        pool.stdin.close()
        try:
            pool.wait(2 * STOP_S)  # it stops its workers in half of that
        except subprocess.TimeoutExpired:
            pool.kill()  # its workers notice


def _memory_mb(name: str) -> float:
    try:
        with open("/proc/meminfo") as lines:
            return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(f"{name}:"))
    except (OSError, StopIteration):
        return math.inf  # no Linux: left to the user
