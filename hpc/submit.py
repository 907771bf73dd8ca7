"""noisy submit --grid grid.yaml: plan the missing runs of a campaign, show their cost, and run them.

Exit status: 0 all submitted runs are done, or a scheduler has them; 1 some runs failed; 2 the input is wrong; 3 the
scheduler cannot be reached or refuses; 130 interrupted.
"""

import argparse
import os
import shlex
import sys
from datetime import datetime
from pathlib import Path

from hpc.console import Refused, count, exit_with, positive
from hpc.execution.adopting import starting_from
from hpc.execution.choice import EXECUTORS, SECTIONS, add_own_options, best, refuse_others
from hpc.execution.executor import Executor, Request
from hpc.execution.interrupts import end_on_signals
from hpc.execution.submitting import submit
from hpc.planning.retrying import MAX_TRIES
from hpc.request.deadline import Deadline, deadline_of
from hpc.request.grid import load_grid
from hpc.request.settings import SET_HELP
from hpc.request.yaml_file import PRINTABLE, GridError
from jobs.campaign import Campaign
from jobs.commandline import Parser
from jobs.typed import quoted, typed
from noisy.spec import shown

DATA_DIR_VARIABLE = "NOISY_DATA_DIR"


def main(argv: list[str] | None = None) -> None:
    """The command line above."""
    parser = Parser("submit", "Plan the missing runs of a grid, show their cost, and run them.")
    own_options = add_options(parser)
    options = parser.parse_args(argv)
    command = f"{typed('submit')} {shlex.join(sys.argv[1:] if argv is None else argv)}"
    end_on_signals()
    exit_with(
        lambda: _submit(options, own_options, command),
        on_silence="; what was submitted, if anything, is recorded; the same command goes on; --executor local runs it here",
        on_interrupt=f"\nInterrupted. What is done is kept. To carry on with what is missing: {command}",
    )


def _submit(options: argparse.Namespace, own_options: dict[str, list[argparse.Action]], command: str) -> int:
    return carry_out(*request_of(options, own_options, command))


def carry_out(request: Request, executor: Executor) -> int:
    """Submit what is asked for, or help with a submission that is at work; returns the exit status.

    Raises:
        Refused, SchedulerError, DataError, ManifestError: it cannot be done.
    """
    source = request.options.source
    if request.options.join:
        if source:
            raise Refused("--from: not possible together with --join")
        return executor.join(request)
    with starting_from(source, request) as request:
        return submit(request, executor, EXECUTORS)


def request_of(
    options: argparse.Namespace, own_options: dict[str, list[argparse.Action]], command: str
) -> tuple[Request, Executor]:
    """What the options ask for, and of whom. own_options: from `add_options`.

    Raises:
        Refused: the grid has problems, or options do not fit each other.
    """
    name = best() if options.executor == "auto" else options.executor
    refuse_others(options, name, own_options)
    try:
        data_dir = options.data_dir or os.environ.get(DATA_DIR_VARIABLE)
        grid = load_grid(options.grid, SECTIONS, Path(data_dir) if data_dir else None, options.set)
    except GridError as error:
        raise Refused(f"--grid {options.grid}: {count(len(error.problems), 'problem')}", error.problems) from error
    _refuse_second_campaign(options, grid.output_dir)
    for section in (section for section, given in grid.options.items() if given and section != name):
        print(f"note: {section}: of the grid is not used, since this runs with --executor {name}", file=sys.stderr)
    request = Request(
        grid,
        Campaign(options.output_dir or grid.output_dir),
        Path(data_dir or grid.data_dir).resolve(),
        grid.runs(),
        options,
        tuple(options.abandon),
        options.limit,
        options.retry_failed,
        options.dry_run,
        options.yes,
        command,
        calibrate_with=None if options.no_calibrate else options.grid,
        deadline=options.deadline and _deadline(options.deadline),
    )
    return request, EXECUTORS[name]


def _refuse_second_campaign(options: argparse.Namespace, output_dir: Path) -> None:
    """Refuse the grid that a campaign keeps if its output_dir, from the current folder, means another campaign."""
    kept = Campaign(options.grid.parent)
    is_said = options.output_dir or any(setting.partition("=")[0].strip() == "output_dir" for setting in options.set)
    if (
        is_said
        or not (kept.manifest.exists() and options.grid.name == kept.grid.name)
        or output_dir.resolve() == kept.folder.resolve()
    ):
        return
    here = f"--output-dir {quoted(kept.folder)} trains what is missing of this campaign"
    raise Refused(
        f"--grid {options.grid}: a campaign keeps this grid, but output_dir is another folder: {output_dir.resolve()}; {here}, "
        f"--output-dir {quoted(output_dir)} starts another one"
    )


def _deadline(text: str) -> Deadline:
    try:
        return deadline_of(text, datetime.now().astimezone())
    except ValueError as error:
        raise Refused(f"--deadline: not possible: {error}") from error


def add_options(parser: argparse.ArgumentParser) -> dict[str, list[argparse.Action]]:
    """Add all options. Returns those that only one executor has: its name -> its options."""
    add = parser.add_argument
    add("--grid", type=Path, required=True, help="the grid file, such as grids/quickstart.yaml")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help=SET_HELP)
    choices = ("auto", *EXECUTORS)
    help = "start with the records of an archive, or of the results.h5 in a campaign's folder; train only the rest"
    add("--from", type=Path, dest="source", metavar="FILE|DIR", help=help)
    add("--executor", choices=choices, default="auto", help="auto: a scheduler if there is one, else local")
    add("--output-dir", type=_folder, help="the campaign's folder (default: the grid's output_dir)")
    add("--data-dir", type=_folder, help=f"the folder of the data sets (default: ${DATA_DIR_VARIABLE}, or the grid's data_dir)")
    add("--dry-run", action="store_true", help="show runs, tasks, CPU hours, memory and the expected end; write nothing")
    add("--deadline", metavar="TIME", help="use the fewest workers that end everything in time: 2h from the start, or 18:30")
    add("--limit", type=positive, metavar="N", help="submit at most N of the missing runs")
    add("--retry-failed", action="store_true", help=f"also submit runs that failed {MAX_TRIES} times")
    add("--abandon", type=positive, action="append", default=[], metavar="NUMBER", help="treat this submission as ended")
    add("--no-calibrate", action="store_true", help="do not measure unknown costs first (this takes some seconds)")
    add("--yes", action="store_true", help="do not ask")
    return add_own_options(parser)


def _folder(text: str) -> Path:
    if not (text.strip() and text.isprintable()):
        raise argparse.ArgumentTypeError(f"not possible: {shown(text)}; allowed: the path of a folder, {PRINTABLE}")
    return Path(text)


if __name__ == "__main__":
    main()
