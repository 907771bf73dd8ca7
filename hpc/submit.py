"""python -m hpc.submit --grid grid.yaml: plan what is missing of a campaign, show its cost, run it.

Exit status: 0 what was submitted is done, or with Slurm; 1 some runs failed; 2 the input is wrong; 3 Slurm cannot be
reached or refuses; 130 interrupted.
"""

import argparse
import os
import shutil
import signal
import sys
from collections.abc import Iterable
from pathlib import Path

from hpc import display, outcomes
from hpc.checks import PRINTABLE, GridError, sbatch_problem
from hpc.cluster import SchedulerError
from hpc.grid import load_grid
from hpc.local import submit_locally
from hpc.request import Refused, Request
from hpc.slurm import submit_to_slurm
from jobs.campaign import Campaign
from jobs.manifest import ManifestError
from noisy.data import DataError

DATA_DIR_VARIABLE = "NOISY_DATA_DIR"


def main(argv: list[str] | None = None) -> None:
    """The command line above."""
    options = _options(argv)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        sys.exit(submit(options))
    except GridError as error:
        sys.exit(_refuse(f"--grid {options.grid}: {display.count(len(error.problems), 'problem')}", error.problems))
    except (Refused, DataError, ManifestError) as error:
        sys.exit(_refuse(str(error)))
    except SchedulerError as error:
        _refuse(f"{error}; what was submitted before is recorded, and the same command carries on")
        sys.exit(3)
    except BrokenPipeError:  # whoever read the output has gone: nobody is left to be told
        os._exit(1)
    except OSError as error:
        sys.exit(
            _refuse(f"{error.filename or 'output_dir'}: {error.strerror or error}; make room, or choose another output_dir")
        )
    except KeyboardInterrupt:
        print("\nInterrupted. What is done is kept; the same command carries on with what is missing.", file=sys.stderr)
        sys.exit(130)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def submit(options: argparse.Namespace) -> int:
    """Plan and run; returns the exit status."""
    grid = load_grid(options.grid)
    request = Request(
        grid,
        Campaign(options.output_dir or grid.output_dir),
        Path(options.data_dir or os.environ.get(DATA_DIR_VARIABLE) or grid.data_dir).resolve(),
        grid.runs(),
        options,
        {**grid.slurm, **dict(options.sbatch)},
    )
    on_slurm = options.executor == "slurm" or (options.executor == "auto" and shutil.which("sbatch") is not None)
    return submit_to_slurm(request) if on_slurm else submit_locally(request)


def _options(argv: list[str] | None) -> argparse.Namespace:
    about = "Plan the missing runs of a grid, show their cost, and run them."
    parser = argparse.ArgumentParser(prog="python -m hpc.submit", description=about)
    add = parser.add_argument
    add("--grid", type=Path, required=True, help="the grid file, such as grids/quickstart.yaml")
    add(
        "--executor",
        choices=("auto", "slurm", "local"),
        default="auto",
        help="auto: slurm where there is an sbatch, else local",
    )
    add("--output-dir", type=_folder, help="instead of the grid's output_dir")
    add("--data-dir", type=_folder, help=f"instead of the grid's data_dir (also: the environment variable {DATA_DIR_VARIABLE})")
    add("--dry-run", action="store_true", help="print runs, tasks, CPU hours, memory and wall time; write nothing")
    add("--limit", type=_positive, metavar="N", help="submit N of the missing runs")
    add("--retry-failed", action="store_true", help=f"also runs that failed {outcomes.MAX_TRIES} times")
    add("--abandon", type=_positive, action="append", default=[], metavar="NUMBER", help="take this submission as ended")
    add("--yes", action="store_true", help="do not ask")
    add("--sbatch", type=_option, action="append", default=[], metavar="KEY=VALUE", help="an sbatch option, as in slurm:")
    add("--test-only", action="store_true", help="ask Slurm whether it would accept the plan; submit nothing")
    add("--runs-per-task", type=_positive, metavar="N", help="on Slurm, instead of what the estimates suggest")
    add("--keep-feeding", action="store_true", help="wait, and submit what Slurm's limits held back")
    return parser.parse_args(argv)


def _positive(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r}: allowed: an integer of at least 1")
    return int(text)


def _option(text: str) -> tuple[str, str | bool]:
    key, _, value = text.partition("=")
    if problem := sbatch_problem(key, value):
        what, wrong, allowed = problem
        raise argparse.ArgumentTypeError(f"{what}: {wrong!r}; allowed: KEY=VALUE, such as partition=cpu; {allowed}")
    return key, value or True


def _folder(text: str) -> Path:
    if not (text.strip() and text.isprintable()):
        raise argparse.ArgumentTypeError(f"not possible: {text!r}; allowed: the path of a folder, {PRINTABLE}")
    return Path(text)


def _refuse(message: str, details: Iterable[str] = ()) -> int:
    print("\n".join([f"error: {message}", *(f"  {line}" for line in details)]), file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
