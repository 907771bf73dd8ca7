"""What a submit was asked for, and the steps that both ways of running share."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hpc import display
from hpc.grid import Grid
from hpc.plan import Plan
from hpc.prepare import campaign_id, prepare
from hpc.state import State, state
from jobs.campaign import Campaign
from jobs.manifest import Header
from jobs.taskfile import Task
from noisy.data import is_staged


class Refused(Exception):
    """The command cannot do what was asked; the message says why and what to do."""


@dataclass(frozen=True)
class Request:
    """What a command line asks for: a grid, where its campaign and its data are, and the options."""

    grid: Grid
    campaign: Campaign
    data_dir: Path
    runs: dict[str, str]  # run_id -> canonical JSON
    options: argparse.Namespace
    sbatch: dict[str, str | int | float | bool]


def state_of(request: Request) -> State:
    """The state of the grid's runs."""
    writes = not (request.options.dry_run or request.options.test_only)
    its_id = campaign_id(request.campaign)
    return state(request.campaign, its_id, request.runs, request.options.abandon, write=writes)


def consented(request: Request, planned: Plan) -> Header:
    """Ask; then put on disk what tasks need."""
    if not display.consents(planned, request.options.yes):
        raise Refused(f"not submitted: {display.count(planned.n_runs, 'run')}; --yes goes ahead without asking")
    return prepare(request.campaign, request.grid, request.runs, request.data_dir)


def tasks_of(request: Request, header: Header, planned: Plan) -> Iterator[Task]:
    """What the workers of a plan will read."""
    execution, data_dir = request.grid.execution, str(request.data_dir)
    for index, task in enumerate(planned.tasks):
        yield Task(index, header.campaign, header.code_commit, data_dir, execution, task.runs)


def nothing_to_submit(request: Request, found: State) -> int:
    """Say so; returns the exit status."""
    if not (request.options.dry_run or request.options.test_only):
        prepare(request.campaign, request.grid, request.runs, request.data_dir)  # the grid may have become smaller
    display.show_others(found)
    n_runs, n_done = len(found.runs), found.count("done")
    print(
        f"Nothing to submit: {n_done} of {display.count(n_runs, 'run')} done. Next: {display.report_command(request.campaign)}"
    )
    return 1 if found.given_up else 0


def end_of_dry_run(request: Request) -> int:
    """Say where the data are, and that nothing was written; returns the exit status."""
    verb = "is in" if is_staged(request.grid.dataset, request.data_dir) else "will be put into"
    print(f"data       {request.grid.dataset} {verb} {request.data_dir}\nDry run: nothing was written.")
    return 0
