"""What to type next, decided from the state of a campaign's runs."""

import contextlib
from collections.abc import Mapping
from pathlib import Path

from hpc.state.known import finished_by
from hpc.state.runs import STATES, State
from jobs.adopted import only_in_results
from jobs.campaign import Campaign
from jobs.manifest import ManifestError
from jobs.taskfile import read_task
from jobs.typed import quoted, typed

_ANY_GRID = "GRID.yaml"  # stands for a file that only the user knows


def next_step(counts: Mapping[str, int], is_at_work: bool, is_silent: bool) -> str:
    """The name of the command to type next. counts: state -> number of runs in it."""
    if is_silent:
        return "status"
    if counts["failed"]:
        return "logs"
    if is_at_work:
        return "watch"
    return "submit" if counts["missing"] or counts["lost"] else "report"


def next_step_of(found: State) -> str:
    """The same for a campaign's state."""
    return next_step({name: found.count(name) for name in STATES}, bool(found.activities), bool(found.unreachable))


def next_command(campaign: Campaign, found: State, again: str = "") -> str:
    """The command to type next. again: the command that submits what is missing (default: made from the campaign)."""
    step = next_step_of(found)
    if step == "submit":
        return again or submit_command(campaign, found) + about_grid(campaign)
    folder = f"--output-dir {quoted(campaign.folder)}"
    return {
        "status": f"{typed('status')} {folder} (again, when the scheduler answers)",
        "logs": f"{typed('logs')} --failed {folder}",
        "watch": f"{typed('status')} --watch {folder}",
        "report": report_command(campaign),
    }[step]


def submit_command(campaign: Campaign, found: State) -> str:
    """The command that submits again, with the executor and the data folder of the last submission.

    If the shards have lost records that results.h5 has, the command takes them back.
    """
    grid = quoted(campaign.grid) if campaign.grid.exists() else _ANY_GRID
    command = f"{typed('submit')} --grid {grid} --output-dir {quoted(campaign.folder)}"
    if only_in_results(campaign, finished_by(found.recorded)):
        command += f" --from {quoted(campaign.folder)}"
    with contextlib.suppress(ManifestError, IndexError):
        command += f" --data-dir {quoted(data_dir_of(campaign, found))}"
        command += f" --executor {found.known.submitted[-1].submission.executor}"
    return command


def about_grid(campaign: Campaign) -> str:
    """What to know about the grid in `submit_command`; mostly empty."""
    return "" if campaign.grid.exists() else f" ({_ANY_GRID}: your own copy of the grid, since the campaign's is gone)"


def data_dir_of(campaign: Campaign, found: State) -> Path:
    """Where the last submission found its data.

    Raises:
        ManifestError, IndexError: that is not known.
    """
    last = found.known.submitted[-1].submission
    return Path(read_task(campaign.tasks(last.number), 0, 0).data_dir)


def report_command(campaign: Campaign) -> str:
    """The command that makes the report."""
    return f"{typed('report')} --output-dir {quoted(campaign.folder)}"
