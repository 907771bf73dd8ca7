"""Two tiny trainings for `hpc.doctor --run`, submitted like any others. They leave no files."""

import argparse
import contextlib
import io
import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hpc.console import Refused
from hpc.execution.executor import Executor, Request
from hpc.execution.site import NOTE, OK, PROBLEM, Line, task_lines
from hpc.execution.submitting import submit
from hpc.planning.retrying import Outcome, Reason
from hpc.request.grid import parse_grid
from hpc.request.prepare import campaign_id
from hpc.state.runs import State, state
from hpc.state.scheduler import SchedulerError, WorkerActivity
from jobs.campaign import Campaign
from jobs.manifest import ManifestError
from jobs.pool import last_line
from jobs.probe import MARK
from jobs.provenance import PROJECT_ROOT

_GRID = "{dataset: digits, activations: [relu], ps: [0], repeats: 2, epochs: 1, hidden_sizes: [8], max_workers: 2}"
_PATIENCE_S, _LAG_S, _POLL_S = 300, 20, 2
_PROBE = (sys.executable, "-m", "jobs.probe")


def trial(executor: Executor, given: argparse.Namespace, folder: Path) -> Iterator[Line]:
    """Submit two trainings, wait for them, and say what their tasks got.

    Args:
        given: the executor's site options.
        folder: an existing folder.

    Raises:
        Refused, SchedulerError, DataError, OSError: they cannot be submitted.
    """
    parser, grid = argparse.ArgumentParser(), parse_grid(_GRID)
    executor.add_options(parser.add_argument)
    chosen = {**vars(parser.parse_args([])), "runs_per_task": 1, **vars(given)}
    wanted = executor.beginning_with(argparse.Namespace(**chosen), shlex.join(_PROBE))
    if not executor.is_asked:  # tasks get the same as this process
        done = subprocess.run(_PROBE, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Refused(f"torch does not load: {(done.stderr.strip().splitlines() or [''])[-1]}")
        yield from task_lines(json.loads(done.stdout.partition(MARK)[2]), None)
    with tempfile.TemporaryDirectory(prefix="doctor-", dir=folder, ignore_cleanup_errors=True) as place:
        campaign = Campaign(Path(place) / "campaign")
        started_s = time.monotonic()
        request = Request(grid, campaign, Path(place).resolve() / "data", grid.runs(), wanted, yes=True)
        try:
            with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.redirect_stderr(said):
                submit(request, executor, {executor.name: executor})
            submitted = _state(executor, request).known.submitted
            if executor.is_asked and not any(each.submission.arrays for each in submitted):
                raise Refused("the scheduler accepted nothing: " + " ".join(said.getvalue().splitlines()[-2:]))
            yield from _result(executor, request, started_s)
        finally:
            with contextlib.suppress(SchedulerError, ManifestError, OSError):
                executor.cancel([worker.job for worker in _every_worker(executor, request) if worker.job])


def _state(executor: Executor, request: Request) -> State:
    return state(request.campaign, campaign_id(request.campaign), request.runs, {executor.name: executor})


def _at_work(found: State) -> list[WorkerActivity]:
    return [worker for activity in found.activities.values() for worker in activity.workers]


def _every_worker(executor: Executor, request: Request) -> list[WorkerActivity]:
    """All workers, also those that have nothing to do."""
    submitted = [each.submission for each in _state(executor, request).known.submitted]
    return [worker for activity in executor.at_work(submitted).values() for worker in activity.workers]


def _ended(executor: Executor, request: Request, started_s: float) -> State:
    """The state when all tasks have ended and it is known how, or after a time limit."""
    busy_s = started_s
    while True:
        found, now_s = _state(executor, request), time.monotonic()
        busy_s = now_s if _at_work(found) else busy_s
        is_open = found.count("unknown") or any(outcome.reason is Reason.UNKNOWN for outcome in found.outcomes)
        if now_s > started_s + _PATIENCE_S or (busy_s < now_s and not (is_open and now_s < busy_s + _LAG_S)):
            return found
        time.sleep(_POLL_S)


def _result(executor: Executor, request: Request, started_s: float) -> Iterator[Line]:
    """Lines: whether the trainings were done, what each node gave its tasks, and how tasks ended that failed."""
    found = _ended(executor, request, started_s)
    n_done, n_runs, left = found.count("done"), len(found.runs), _at_work(found)
    result = f"{n_done} of {n_runs} are done after {time.monotonic() - started_s:.0f} s"
    if left:
        why = "; ".join(sorted({worker.why or "running" for worker in left}))
        yield Line(NOTE, "trainings", f"{result}; the others are now cancelled: {why}")
    else:
        yield Line(OK if n_done == n_runs else PROBLEM, "trainings", result, "" if n_done == n_runs else "see the next lines")
    (submitted,) = found.known.submitted
    logs = [
        (executor.log_of(request.campaign, submitted.submission, 0, job), array.resources)
        for array in submitted.submission.arrays
        for job in array.jobs
        if not array.is_sweep
    ]
    nodes = {probe["node"]: (probe, asked) for log, asked in logs for probe in _probes(log)}
    for probe, asked in nodes.values():
        yield from task_lines(probe, asked)
    for outcome in submitted.ended:
        yield _end_of_task(outcome, executor.log_of(request.campaign, submitted.submission, outcome.task, outcome.job))
    if executor.is_asked:
        n_nodes = len(nodes.keys() | {outcome.node for outcome in submitted.ended} - {""})
        yield Line(NOTE, "not tried", f"nodes but {'this one' if n_nodes == 1 else 'these'}; the warning before the time limit")


def _probes(log: Path) -> list[dict[str, Any]]:
    lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
    return [json.loads(line.removeprefix(MARK)) for line in lines if line.startswith(MARK)]


def _end_of_task(outcome: Outcome, log: Path) -> Line:
    where = f"{outcome.said} on {outcome.node or 'an unknown node'}"
    if log.is_file():
        found, help_ = f"{where}; its log ends: {last_line(log)}", "mend what the log says"
    else:
        found = f"{where}; it left no log, so the node does not see the folder"
        help_ = "choose an --output-dir that all nodes see, or leave this node out"
    return Line(PROBLEM, f"worker {outcome.job}", found, help_, (outcome.node,))
