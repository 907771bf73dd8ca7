"""This machine as an executor: how many workers it allows, and their progress (the workers: jobs/pool.py)."""

import argparse
import contextlib
import os
import select
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np

from hpc.console import ALL_WELL, SOME_FAILED, Refused, count, positive
from hpc.execution.capacity import local_capacity, look_at_machine, memory_mb
from hpc.execution.deadlines import seconds_left
from hpc.execution.doubts import refuse_larger_than
from hpc.execution.executor import Executor, Request
from hpc.execution.interrupts import raise_if_interrupted
from hpc.execution.progress import Progress
from hpc.execution.site import Check
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
from jobs.provenance import PROJECT_ROOT, machine
from jobs.taskfile import read_task, read_task_runs
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
            add("--join", type=positive, metavar="NUMBER", help="execute tasks of this submission, which is at work elsewhere")
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
            with contextlib.suppress(OSError):  # the disk is full; later commands see that the process is gone
                submissions.end(campaign, submission, is_interrupted)
        for problem in problems:
            print(f"error: {problem}", file=sys.stderr)
        done, failed, n_runs = progress.n_done, progress.n_failed, submission.n_runs
        logs = campaign.submission(submission.number) / "logs"
        hint = "" if done == n_runs else f"\nWhy: {logs}. The same command tries again, up to three times for each run."
        print(f"{done} of {count(n_runs, 'run')} done, {failed} failed.{hint}")
        return ALL_WELL if done == n_runs else SOME_FAILED

    def join(self, request: Request) -> int:
        """Execute tasks of a submission that no worker holds; its other workers go on elsewhere."""
        self.check(request)
        number, campaign = request.options.join, request.campaign
        submission = submissions.read(campaign, number)
        if submission.ended or not submission.is_claimed:
            why = "it has ended" if submission.ended else "an earlier version made it, and its workers cannot share tasks"
            raise Refused(f"--join {number}: not possible: {why}; allowed: a submission that is at work")
        tasks = read_task_runs(campaign.tasks(number), submission.n_tasks)
        runs = request.runs.take(np.isin(request.runs.run_id, tasks.run_id))
        if not len(runs):
            raise Refused(
                f"--join {number}: it has no run of this grid; allowed: a submission of {campaign.folder} with its grid"
            )
        progress = Progress(campaign, number, runs, np.ones(len(runs)))
        try:
            workers = _workers(request, runs)
            problems = run_locally(campaign, number, workers, request.grid.execution, progress.update)
        finally:
            progress.close()
        for problem in problems:
            print(f"error: {problem}", file=sys.stderr)
        done = f"{progress.n_done} of {count(len(runs), 'run')} done"
        print(f"submission {number:04d}: {done}. Its own workers execute the rest.")
        return SOME_FAILED if problems else ALL_WELL

    def checks(self, given: argparse.Namespace, folder: Path) -> list[Check]:
        return [Check("machine", look_at_machine, "see that /proc is mounted")]

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


def _activity(submission: Submission) -> Activity:
    is_alive = submission.process.is_alive()
    if is_alive is False:
        return Activity({})
    tasks = dict.fromkeys(range(submission.n_tasks), TaskActivity(is_begun=True))  # if there are claims, they are more exact
    return Activity(tasks, is_alive is not None, workers=(WorkerActivity("", is_begun=True),))


def _workers(request: Request, runs: Runs) -> int:
    grid = request.grid
    wanted = 1 if grid.execution.use_cuda else grid.max_workers
    cells = {runs.cells[cell].spec for cell in np.unique(runs.cell)}
    if not grid.execution.use_cuda:  # (on a GPU, the GPU's memory is the limit)
        refuse_larger_than(memory_mb("MemTotal"), cells, "this machine has")
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


def run_locally(
    campaign: Campaign, submission: int, workers: int, execution: Execution, observe: Callable[[], None]
) -> list[str]:
    """Execute all tasks of a submission, at most `workers` at a time. Returns one line of text for each task that failed.

    Another process starts the workers (jobs/pool.py). It ends when this process ends, even if this process is killed. `observe`
    is called several times a second.
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
            raise_if_interrupted()
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
    alone = {"OPENBLAS_NUM_THREADS": "1"}  # no threads of numpy's in a process that forks
    with log.open("ab") as errors:
        return subprocess.Popen(
            command,
            cwd=PROJECT_ROOT,
            env={**os.environ, **threads, **alone, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE,  # open until this process ends
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,  # Ctrl-C reaches only this process, which then stops the others
        )


def _stop(pool: subprocess.Popen) -> None:
    with pool:  # closes its remaining pipes, and waits
        assert pool.stdin
        pool.stdin.close()
        try:
            pool.wait(2 * STOP_S)  # it needs half of that to stop its workers
        except subprocess.TimeoutExpired:
            pool.kill()  # its workers notice this and end
