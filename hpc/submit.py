"""python -m hpc.submit --grid grid.yaml: plan what is missing of a campaign, show its cost, run it.

Exit status: 0 all runs done; 1 some failed or are missing; 2 the input is wrong; 130 interrupted.
"""

import argparse
import os
import shutil
import signal
import sys
from collections.abc import Iterable
from pathlib import Path

from hpc import submissions
from hpc.checks import GridError
from hpc.estimate import estimate
from hpc.executor import local_capacity, run_locally
from hpc.grid import Grid, load_grid
from hpc.plan import Plan, plan
from hpc.prepare import prepare
from hpc.progress import Progress, duration
from hpc.state import State, state
from jobs.campaign import Campaign
from jobs.manifest import ManifestError, Task, spec_of
from jobs.provenance import code_commit
from jobs.task import ArrayTask
from noisy.data import DataError, is_staged
from noisy.spec import RunSpec, run_id_of

DATA_DIR_VARIABLE = "NOISY_DATA_DIR"
_ASK_ABOVE_CPU_H = 10


class Refused(Exception):
    """The command cannot do what was asked; the message says why and what to do."""


def main(argv: list[str] | None = None) -> None:
    """The command line above."""
    arguments = _arguments(argv)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        sys.exit(submit(arguments))
    except GridError as error:
        sys.exit(_refuse(f"--grid {arguments.grid}: {_count(len(error.problems), 'problem')}", error.problems))
    except (Refused, DataError, ManifestError) as error:
        sys.exit(_refuse(str(error)))
    except BrokenPipeError:  # whoever read the output has gone: nobody is left to be told
        os._exit(1)
    except OSError as error:
        sys.exit(
            _refuse(f"{error.filename or 'output_dir'}: {error.strerror or error}; make room, or choose another output_dir")
        )
    except KeyboardInterrupt:
        print("\nInterrupted. What is done is kept; the same command carries on with what is missing.", file=sys.stderr)
        sys.exit(130)


def submit(arguments: argparse.Namespace) -> int:
    """Plan and run; returns the exit status."""
    grid = load_grid(arguments.grid)
    _check_executor(arguments.executor, grid)
    campaign = Campaign(arguments.output_dir or grid.output_dir)
    data_dir = Path(arguments.data_dir or os.environ.get(DATA_DIR_VARIABLE) or grid.data_dir).resolve()
    runs = {run_id_of(text): text for text in (run.canonical_json() for run in grid.expand())}
    if arguments.dry_run:
        return _dry_run(campaign, grid, runs, data_dir, arguments)
    header = prepare(campaign, grid, runs, data_dir)
    while True:
        number = submissions.next_number(campaign)  # before the state is read: a claim made since then makes ours fail
        found = state(campaign, runs, arguments.abandon)
        if not found.missing:
            return _nothing_missing(campaign, found, len(runs))
        planned = _plan(found, runs, grid, arguments.limit)
        _show(planned, found, campaign, len(runs))
        _consent(planned, arguments.yes)
        tasks = [
            Task(index, header.campaign, code_commit(), str(data_dir), grid.execution, task.runs)
            for index, task in enumerate(planned.tasks)
        ]
        submission = submissions.local(number, header.campaign, len(tasks), planned.n_runs, planned.workers)
        try:
            payloads = submissions.claim(campaign, submission, tasks)
        except submissions.SubmissionTaken:
            continue
        return _run(campaign, submission, payloads, planned)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m hpc.submit", description="Plan the missing runs of a grid, show their cost, and run them."
    )
    parser.add_argument("--grid", type=Path, required=True, help="the grid file, such as grids/quickstart.yaml")
    parser.add_argument(
        "--executor",
        choices=("auto", "slurm", "local"),
        default="auto",
        help="auto: slurm where there is an sbatch, else local",
    )
    parser.add_argument("--output-dir", type=Path, help="instead of the grid's output_dir")
    parser.add_argument(
        "--data-dir", type=Path, help=f"instead of the grid's data_dir (also: the environment variable {DATA_DIR_VARIABLE})"
    )
    parser.add_argument("--dry-run", action="store_true", help="print runs, tasks, CPU hours, memory, wall time; write nothing")
    parser.add_argument("--limit", type=_positive, metavar="N", help="submit N of the missing runs")
    parser.add_argument(
        "--abandon", type=_positive, action="append", default=[], metavar="NUMBER", help="take this submission as ended"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    return parser.parse_args(argv)


def _positive(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r}: allowed: an integer of at least 1")
    return int(text)


def _check_executor(executor: str, grid: Grid) -> None:
    if executor == "slurm" or (executor == "auto" and shutil.which("sbatch")):
        raise Refused(f"--executor {executor}: Slurm is not supported yet; run on this machine with --executor local")
    if grid.execution.use_cuda and (grid.max_workers or 1) > 1:
        raise Refused(f"max_workers: {grid.max_workers} with use_cuda: true; allowed: 1, since local workers share one GPU")


def _dry_run(campaign: Campaign, grid: Grid, runs: dict[str, str], data_dir: Path, arguments: argparse.Namespace) -> int:
    found = state(campaign, runs, arguments.abandon)
    if not found.missing:
        return _nothing_missing(campaign, found, len(runs))
    _show(_plan(found, runs, grid, arguments.limit), found, campaign, len(runs))
    print(f"data       {grid.dataset} {'is in' if is_staged(grid.dataset, data_dir) else 'will be put into'} {data_dir}")
    print("Dry run: nothing was written.")
    return 0


def _nothing_missing(campaign: Campaign, found: State, n_runs: int) -> int:
    _show_others(found)
    print(f"Nothing to submit: {found.n_done} of {_count(n_runs, 'run')} done. Next: {_report_command(campaign)}")
    return 0


def _plan(found: State, runs: dict[str, str], grid: Grid, limit: int | None) -> Plan:
    missing: list[RunSpec] = [spec_of(runs[run_id]) for run_id in found.missing[:limit]]
    largest_mb = max(estimate(run).mem_mb.high for run in missing)
    capacity = local_capacity(1 if grid.execution.use_cuda else grid.max_workers, grid.execution, largest_mb)
    if capacity.reason:
        print(f"note: {capacity.reason}", file=sys.stderr)
    return plan(missing, capacity.workers, grid.execution)


def _show(planned: Plan, found: State, campaign: Campaign, n_runs: int) -> None:
    _show_others(found)
    cpu_h, mem_gb, wall_s = planned.cpu_s.scaled(1 / 3600), planned.mem_mb.scaled(1 / 1000), planned.wall_s
    cores = planned.execution.cpu_threads + planned.execution.data_workers
    print(f"campaign   {campaign.folder}")
    print(f"runs       {planned.n_runs} to run; of the grid's {n_runs}, {found.n_done} are done")
    print(f"tasks      {len(planned.tasks)}, {planned.workers} at a time, {_count(cores, 'core')} each, on this machine")
    print(f"CPU time   {_hours(cpu_h.middle)} CPU hours expected ({_hours(cpu_h.low)} to {_hours(cpu_h.high)})")
    print(f"memory     {mem_gb.high:.1f} GB at most, all workers together")
    print(f"wall time  {duration(wall_s.middle)} expected ({duration(wall_s.low)} to {duration(wall_s.high)})", flush=True)


def _show_others(found: State) -> None:
    for problem in found.unreadable:
        print(f"warning: {problem}; its runs are not counted as done", file=sys.stderr)
    for submission, n_left in found.at_work.items():
        where = f"process {submission.process.pid} on {submission.process.host}"
        unknown = f"; it cannot be seen from here: if it is gone, add --abandon {submission.number}"
        print(
            f"{_count(n_left, 'run')} left to submission {submission.number:04d}, still at work "
            f"({where}{unknown if submission.is_active() is None else ''})"
        )


def _consent(planned: Plan, yes: bool) -> None:
    """Ask before much is spent, on a terminal; elsewhere nobody would answer."""
    if yes or planned.cpu_s.middle / 3600 <= _ASK_ABOVE_CPU_H or not sys.stdin.isatty():
        return
    answer = input("Go ahead? [y/N] ").strip()
    if answer.lower() not in ("y", "yes"):
        raise Refused(f"not submitted (the answer was {answer!r}); --yes goes ahead without asking")


def _run(campaign: Campaign, submission: submissions.Submission, payloads: list[ArrayTask], planned: Plan) -> int:
    costs_s = {run.run_id: task.cost.cpu_s.middle / len(task.runs) for task in planned.tasks for run in task.runs}
    progress = Progress(campaign, submission.number, costs_s)
    try:
        problems = run_locally(payloads, planned.workers, planned.execution, progress.update)
    finally:
        progress.close()
        submissions.end(campaign, submission)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    done, failed, n_runs = progress.n_done, progress.n_failed, planned.n_runs
    logs = campaign.submission(submission.number) / "logs"
    hint = "" if done == n_runs else f"\nWhy: {logs}. The same command tries again what is not done."
    print(f"{done} of {_count(n_runs, 'run')} done, {failed} failed.{hint}\nNext: {_report_command(campaign)}")
    return 0 if done == n_runs else 1


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"


def _report_command(campaign: Campaign) -> str:
    return f"python -m analysis.report --output-dir {campaign.folder}"


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def _refuse(message: str, details: Iterable[str] = ()) -> int:
    print("\n".join([f"error: {message}", *(f"  {line}" for line in details)]), file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
