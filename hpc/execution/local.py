"""This machine as an executor: how many workers it allows, and their progress (the workers: jobs/pool.py)."""

import argparse
import contextlib
import math
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np

from hpc.console import ALL_WELL, SOME_FAILED, Refused, count
from hpc.execution.deadlines import seconds_left
from hpc.execution.doubts import refuse_larger_than
from hpc.execution.executor import Executor, Request
from hpc.execution.progress import Progress
from hpc.execution.site import NOTE, OK, Check, Line
from hpc.planning.deadline import in_time
from hpc.planning.decision import Decision
from hpc.planning.efficiency import Span
from hpc.planning.model import Setting
from hpc.planning.priors import estimate
from hpc.planning.tasks import Plan, plan
from hpc.state import submissions
from hpc.state.runs import State
from hpc.state.scheduler import Activity, TaskActivity, WorkerActivity
from hpc.state.submissions import Submission
from jobs.campaign import Campaign
from jobs.pool import STOP_S, last_line
from jobs.probe import cores_limit, memory_limit_mb
from jobs.provenance import PROJECT_ROOT, machine
from jobs.taskfile import read_task
from noisy.processor import this_processor
from noisy.runs import Runs
from noisy.spec import Execution

_POLL_S = 0.25


class Local(Executor):
    """Tasks are executed by this machine's own processes, and nothing is ever held back."""

    name = "local"
    where = "on this machine"
    is_asked = False

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
        def planned_with(n_workers: int) -> Plan:
            planned = plan(
                runs,
                n_workers,
                request.grid.execution,
                empty_attempts=found.empty_attempts,
                runs_per_task=getattr(request.options, "runs_per_task", None),
                knowledge=request.knowledge,
            )
            return replace(planned, is_forked=not request.grid.execution.use_cuda)

        workers, deadline_s = _workers(request, runs), seconds_left(request)
        planned = planned_with(workers) if deadline_s is None else in_time(deadline_s, workers, planned_with)
        return Decision(planned, planned)

    def setting(self, execution: Execution) -> Setting:
        here = machine()
        return replace(super().setting(execution), cpu=here["cpu"], product_route=here["product_route"], host=here["host"])

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

    def checks(self, given: argparse.Namespace, folder: Path) -> list[Check]:
        return [Check("machine", _machine, "see that /proc is mounted")]

    def at_work(self, submissions: Sequence[Submission]) -> dict[Submission, Activity]:
        return {submission: _activity(submission) for submission in submissions}

    def spans(self, campaign: Campaign, submissions: Sequence[Submission]) -> list[Span]:
        return [_span(campaign, each) for each in submissions if each.ended and each.n_tasks]

    def log_of(self, campaign: Campaign, submission: Submission, task: int, job: str = "") -> Path:
        return campaign.log(submission.number, task)


def _span(campaign: Campaign, submission: Submission) -> Span:
    """All workers of a submission as one job, with the cores of all."""
    began_s, ended_s = (datetime.fromisoformat(text or "").timestamp() for text in (submission.created, submission.ended))
    execution = read_task(campaign.tasks(submission.number), 0, 0).execution
    cores = submission.workers * (execution.cpu_threads + execution.data_workers)
    return Span(f"local-{submission.number:04d}", began_s, began_s, ended_s, cores)


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


def _workers(request: Request, runs: Runs) -> int:
    grid = request.grid
    wanted = 1 if grid.execution.use_cuda else grid.max_workers
    cells = {runs.cells[cell].spec for cell in np.unique(runs.cell)}
    if not grid.execution.use_cuda:  # (on a GPU, the GPU's memory is the limit)
        refuse_larger_than(_memory_mb("MemTotal"), cells, "this machine has")
    largest = max((estimate(run, grid.execution, request.knowledge) for run in cells), key=lambda cost: cost.mem_mb.high)
    capacity = local_capacity(wanted, grid.execution, largest.mem_mb.high, largest.shared_mb)
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


def local_capacity(wanted: int | None, execution: Execution, mem_mb: float, shared_mb: float = 0.0) -> Capacity:
    """How many workers of `mem_mb` each fit here.

    Args:
        wanted: max_workers of the grid; None: as many as fit.
        execution: gives the cores of one worker.
        mem_mb: peak memory of the largest run; shared_mb: of which all workers together need this once.
    """
    cores = _cores()
    by_cores = cores // (execution.cpu_threads + execution.data_workers)
    if not by_cores:
        each = f"cpu_threads_per_worker + data_workers is {execution.cpu_threads + execution.data_workers}"
        return Capacity(0, f"{each}, but this machine has {count(cores, 'core')}; lower one of them")
    available_mb = _memory_mb("MemAvailable")
    by_memory = max(1, int(min((available_mb - shared_mb) // (mem_mb - shared_mb), by_cores)))
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
