"""noisy calibrate --grid grid.yaml: measure what runs of a grid cost, and compare it with the published costs.

It executes short runs of each kind, as a campaign of its own in the folder `.calibration` beside the campaigns. Later plans use
their records. The exit status is that of hpc.submit.
"""

import argparse
import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from hpc.console import ALL_WELL, Refused, count, exit_with, positive
from hpc.execution.calibrating import calibration, known
from hpc.execution.choice import EXECUTORS, SECTIONS
from hpc.execution.executor import Executor, Request
from hpc.execution.interrupts import end_on_signals
from hpc.execution.submitting import submit
from hpc.planning.cost import Range
from hpc.planning.model import Knowledge, kind_of
from hpc.planning.priors import estimate
from hpc.request.grid import load_grid
from hpc.request.settings import SET_HELP
from hpc.request.yaml_file import GridError
from jobs.campaign import Campaign
from jobs.commandline import Parser
from jobs.typed import typed
from noisy.spec import RunSpec

_WORKERS = 16  # on a cluster; here two
_SECONDS = 60


def main(argv: list[str] | None = None) -> None:
    """The command line above."""
    parser = Parser("calibrate", "Measure what runs of a grid cost.")
    add = parser.add_argument
    add("--grid", type=Path, required=True, help="the grid file, such as grids/quickstart.yaml")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help=SET_HELP)
    add("--executor", choices=tuple(EXECUTORS), default="local", help=f"where to measure; on a cluster with {_WORKERS} workers")
    add("--output-dir", type=Path, help="the folder of the campaign whose costs are wanted (default: the grid's output_dir)")
    add("--data-dir", type=Path, help="the folder of the data sets (default: the grid's data_dir)")
    add("--seconds", type=positive, default=_SECONDS, help="how long each worker measures, roughly (default: %(default)s)")
    add("--missing", action="store_true", help="measure only what has never been measured")
    add("--show", action="store_true", help="measure nothing; show what is known")
    for name, executor in EXECUTORS.items():
        executor.add_options(parser.add_argument_group(f"only with --executor {name}").add_argument)
    options = parser.parse_args(argv)
    command = f"{typed('calibrate')} {shlex.join(sys.argv[1:] if argv is None else argv)}"
    end_on_signals()
    exit_with(lambda: _calibrate(options, command), on_interrupt="\nInterrupted. What was measured is kept.")


def _calibrate(options: argparse.Namespace, command: str) -> int:
    try:
        data_dir = options.data_dir or os.environ.get("NOISY_DATA_DIR")
        grid = load_grid(options.grid, SECTIONS, Path(data_dir) if data_dir else None, options.set)
    except GridError as error:
        raise Refused(f"--grid {options.grid}: {count(len(error.problems), 'problem')}", error.problems) from error
    if grid.execution.use_cuda:
        raise Refused(f"--grid {options.grid}: use_cuda: true; allowed: false, since only CPUs are measured")
    executor, campaign = EXECUTORS[options.executor], Campaign(options.output_dir or grid.output_dir)
    asked = Request(grid, campaign, Path(data_dir or grid.data_dir).resolve(), grid.runs(), options, command=command)
    status = ALL_WELL if options.show else _measure(asked, executor, options)
    if options.show or not executor.is_asked:
        print("\n".join(_table(asked, known(executor, asked))))
    else:
        print("When these are done, plans use what was measured. To see it, add --show to the same command.")
    return status


def _measure(asked: Request, executor: Executor, options: argparse.Namespace) -> int:
    workers = _WORKERS if executor.is_asked else min(2, asked.grid.max_workers or 2)
    seconds = options.seconds if executor.is_asked else options.seconds / 2
    request = calibration(asked, executor, seconds, workers, options.missing)
    if request is None:
        print("Nothing to measure: all kinds of runs in this grid have been measured.")
        return ALL_WELL
    per_task = max(1, -(-len(request.runs) // workers))
    grid = replace(request.grid, max_workers=workers)
    options = argparse.Namespace(**{**vars(options), "runs_per_task": options.runs_per_task or per_task})
    return submit(replace(request, grid=grid, options=options), executor, {executor.name: executor})


def _table(asked: Request, knowledge: Knowledge) -> Iterator[str]:
    """Lines of text, one for each network of the grid: the measured and the published cost of a run."""
    yield f"{'a run of':46}{'CPU s, measured':>26}{'CPU s, published':>20}{'memory':>10}"
    for run in dict.fromkeys(cell.spec.shape() for cell in asked.runs.cells):
        execution, is_known = asked.grid.execution, knowledge.of(run)
        found, published = estimate(run, execution, knowledge), estimate(run, execution)
        measured = f"{found.cpu_s.middle:.3g} ({_ends(found.cpu_s)})" if is_known else "never"
        yield f"{_name(run):46}{measured:>26}{_ends(published.cpu_s):>20}{found.mem_mb.high:>7.0f} MB"


def _ends(seconds: Range) -> str:
    return f"{seconds.low:.3g} to {seconds.high:.3g}"


def _name(run: RunSpec) -> str:
    sizes = " " + "-".join(map(str, run.hidden_sizes)) if run.hidden_sizes else ""
    return f"{kind_of(run)[0]}{sizes} {run.precision}, batch {run.batch_size}, {count(run.epochs, 'epoch')}"


if __name__ == "__main__":
    main()
