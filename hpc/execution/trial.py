"""Two tiny trainings through the real path, for `hpc.doctor --run`. Nothing of them is left."""

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

from hpc.execution.executor import Executor, Request, submit
from hpc.execution.site import NOTE, OK, PROBLEM, Line, task_lines
from hpc.request.grid import parse_grid
from hpc.request.prepare import campaign_id
from hpc.state.known import Submitted
from hpc.state.runs import State, state
from hpc.state.scheduler import SchedulerError
from hpc.state.submissions import TaskActivity
from jobs.campaign import Campaign
from jobs.manifest import ManifestError
from jobs.pool import last_line
from jobs.probe import MARK
from jobs.provenance import PROJECT_ROOT

_GRID = "{dataset: digits, activations: [relu], ps: [0], repeats: 2, epochs: 1, hidden_sizes: [8], max_workers: 2}"
_PATIENCE_S, _POLL_S = 300, 2
_PROBE = (sys.executable, "-m", "jobs.probe")


def trial(executor: Executor, given: argparse.Namespace, folder: Path) -> Iterator[Line]:
    """Submit, wait, and say what the tasks got. given: the executor's site options; folder: it is there.

    Raises:
        Refused, SchedulerError, DataError, OSError: it cannot be submitted.
    """
    parser, grid = argparse.ArgumentParser(), parse_grid(_GRID)
    executor.add_options(parser.add_argument)
    chosen = {**vars(parser.parse_args([])), "runs_per_task": 1, **vars(given)}
    wanted = executor.beginning_with(argparse.Namespace(**chosen), shlex.join(_PROBE))
    if not executor.is_asked:  # tasks get what this process gets
        printed = subprocess.run(_PROBE, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False).stdout
        yield from task_lines(json.loads(printed.partition(MARK)[2]), None)
    with tempfile.TemporaryDirectory(prefix="doctor-", dir=folder, ignore_cleanup_errors=True) as place:
        campaign = Campaign(Path(place) / "campaign")
        started_s = time.monotonic()
        request = Request(grid, campaign, Path(place).resolve() / "data", grid.runs(), wanted, yes=True)
        try:
            with (
                contextlib.redirect_stdout(io.StringIO()) as said,
                contextlib.redirect_stderr(said),
            ):  # the plan, a progress bar
                submit(request, executor, {executor.name: executor})
            yield from _after(executor, request, started_s)
        finally:
            with contextlib.suppress(SchedulerError, ManifestError, OSError):
                executor.cancel([task.job for task in _at_work(_state(executor, request)) if task.job])


def _state(executor: Executor, request: Request) -> State:
    return state(request.campaign, campaign_id(request.campaign), request.runs, {executor.name: executor})


def _at_work(found: State) -> list[TaskActivity]:
    return [task for activity in found.activities.values() for task in activity.tasks.values()]


def _after(executor: Executor, request: Request, started_s: float) -> Iterator[Line]:
    """Wait for the tasks, and say what became of them."""
    found = _state(executor, request)
    while (_at_work(found) or found.count("unknown")) and time.monotonic() < started_s + _PATIENCE_S:
        time.sleep(_POLL_S)
        found = _state(executor, request)
    result = f"{found.count('done')} of {len(found.runs)} tiny trainings done after {time.monotonic() - started_s:.0f} s"
    if left := _at_work(found):
        why = "; ".join(sorted({task.why or "running" for task in left}))
        yield Line(NOTE, "trainings", f"{result}; given up and cancelled: {why}")
    else:
        is_well = found.count("done") == len(found.runs)
        yield Line(OK if is_well else PROBLEM, "trainings", result, "" if is_well else "see the lines below")
    (submitted,) = found.known.submitted
    yield from _of_tasks(executor, request, submitted)
    if executor.is_asked:
        yield Line(NOTE, "signal", "not tried: whether tasks are warned before their time limit")


def _of_tasks(executor: Executor, request: Request, submitted: Submitted) -> Iterator[Line]:
    """What each task got, a node once; and how tasks ended that left runs without a record."""
    seen = set[str]()
    for array in submitted.submission.arrays:
        for task in array.tasks:
            log = executor.log_of(request.campaign, submitted.submission, task)
            said = log.read_text(errors="replace").splitlines() if log.is_file() else []
            probes = [json.loads(line.removeprefix(MARK)) for line in said if line.startswith(MARK)]
            for probe in (probe for probe in probes[-1:] if probe["node"] not in seen):
                seen.add(probe["node"])
                yield from task_lines(probe, array.resources)
    for outcome in submitted.ended:
        log = executor.log_of(request.campaign, submitted.submission, outcome.task)
        end = f"its log ends: {last_line(log)}" if log.is_file() else "it left no log: the node does not see the folder"
        found = f"{outcome.said} on {outcome.node or 'an unknown node'}; {end}"
        other = "choose an --output-dir that all nodes see, or leave that node out"
        help_ = "mend what the log says" if log.is_file() else other
        yield Line(PROBLEM, f"task {outcome.task}", found, help_, (outcome.node,))
