"""python -m hpc.submit --grid grid.yaml: plan what is missing of a campaign, show its cost, run it.

Exit status: 0 what was submitted is done, or with Slurm; 1 some runs failed; 2 the input is wrong; 3 Slurm cannot be
reached or refuses; 130 interrupted.
"""

import argparse
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hpc import cluster, display, outcomes, slurm, submissions
from hpc.checks import GridError
from hpc.cluster import SchedulerError
from hpc.estimate import estimate
from hpc.grid import Grid, load_grid
from hpc.local import local_capacity, run_locally
from hpc.plan import Plan, arrays, plan
from hpc.prepare import campaign_id, prepare
from hpc.progress import Progress
from hpc.state import State, state
from jobs.campaign import Campaign
from jobs.manifest import Header, ManifestError, Task, spec_of
from jobs.task import ArrayTask
from noisy.data import DataError, is_staged
from noisy.spec import RunSpec, run_id_of

DATA_DIR_VARIABLE = "NOISY_DATA_DIR"
_SLURM_WORKERS = 80  # where the grid names no max_workers
_FEED_EVERY_S = 30


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
        {run_id_of(text): text for text in (run.canonical_json() for run in grid.expand())},
        options,
        {**grid.slurm, **dict(options.sbatch)},
    )
    on_slurm = options.executor == "slurm" or (options.executor == "auto" and shutil.which("sbatch") is not None)
    if on_slurm:
        return _on_slurm(request)
    return _on_this_machine(request)


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
    add("--output-dir", type=Path, help="instead of the grid's output_dir")
    add("--data-dir", type=Path, help=f"instead of the grid's data_dir (also: the environment variable {DATA_DIR_VARIABLE})")
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
    if not key.replace("-", "").replace("_", "").isalnum():
        raise argparse.ArgumentTypeError(
            f"{text!r}: allowed: KEY=VALUE with the name of an sbatch option, such as partition=cpu"
        )
    return key, value or True


def _on_this_machine(request: Request) -> int:
    grid, options = request.grid, request.options
    while True:
        number = submissions.next_number(request.campaign)  # before the state is read: a claim made since makes ours fail
        found = _state(request)
        missing = found.to_submit(options.retry_failed)
        if not missing:
            return _nothing_to_submit(request, found)
        runs = [spec_of(request.runs[run_id]) for run_id in missing[: options.limit]]
        planned = plan(runs, _local_workers(grid, runs), grid.execution)
        display.show_plan(planned, found, request.campaign, "on this machine")
        if options.dry_run:
            return _dry_run(request)
        header = _consented(request, planned)
        submission = submissions.local(number, header.campaign, len(planned.tasks), planned.n_runs, planned.workers)
        try:
            payloads = submissions.claim(request.campaign, submission, _tasks(request, header, planned))
        except submissions.SubmissionTaken:
            continue
        return _run_locally(request.campaign, submission, payloads, planned)


def _local_workers(grid: Grid, runs: list[RunSpec]) -> int:
    if grid.execution.use_cuda and (grid.max_workers or 1) > 1:
        raise Refused(f"max_workers: {grid.max_workers} with use_cuda: true; allowed: 1, since local workers share one GPU")
    wanted = 1 if grid.execution.use_cuda else grid.max_workers
    capacity = local_capacity(wanted, grid.execution, max(estimate(run).mem_mb.high for run in runs))
    if not capacity.workers:
        raise Refused(f"cpu_threads_per_worker + data_workers: {capacity.reason}; allowed: no more than that")
    if capacity.reason:
        print(f"note: {capacity.reason}", file=sys.stderr)
    return capacity.workers


def _on_slurm(request: Request) -> int:
    partition = request.sbatch.get("partition")
    limits = cluster.limits(str(partition) if partition else None)
    while True:
        number = submissions.next_number(request.campaign)
        found = _state(request)
        if found.unreachable:
            raise SchedulerError(found.unreachable)
        missing = found.to_submit(request.options.retry_failed)
        if not missing:
            return _nothing_to_submit(request, found)
        runs = [spec_of(request.runs[run_id]) for run_id in missing[: request.options.limit]]
        workers, retries = request.grid.max_workers or _SLURM_WORKERS, outcomes.retries(found.outcomes, limits)
        whole = plan(runs, workers, request.grid.execution, retries, request.options.runs_per_task)
        planned = whole.first(max(0, limits.max_submitted - len(cluster.queue())))
        if planned.tasks:
            cut = arrays(planned, limits.max_array_size)
            display.show_plan(planned, found, request.campaign, "on Slurm")
            display.show_arrays(planned, cut)
            if request.options.test_only:
                return _rehearse(request, submissions.slurm(number, "rehearsal", planned.n_runs, planned.workers, cut))
            if request.options.dry_run:
                return _dry_run(request)
            header = _consented(request, planned)
            submission = submissions.slurm(number, header.campaign, planned.n_runs, planned.workers, cut)
            try:
                payloads = submissions.claim(request.campaign, submission, _tasks(request, header, planned))
            except submissions.SubmissionTaken:
                continue
            submission = slurm.submit_arrays(request.campaign, submission, cut, payloads, request.sbatch)
            ids = " ".join(array.job_id or "" for array in submission.arrays)
            print(f"submission {number:04d}: {display.count(len(planned.tasks), 'task')} submitted as {ids}")
        held_back = len(whole.tasks) - len(planned.tasks)
        if not held_back:
            print(f"Next: python -m hpc.status --output-dir {display.quoted(request.campaign.folder)}")
            return 0
        print(f"{display.count(held_back, 'task')} held back: Slurm takes {limits.max_submitted} of yours at a time.", end=" ")
        if not request.options.keep_feeding:
            print("The same command submits the rest when there is room; --keep-feeding waits for it.")
            return 0
        print(f"Looking again in {_FEED_EVERY_S} s.", flush=True)
        time.sleep(_FEED_EVERY_S)


def _state(request: Request) -> State:
    writes = not (request.options.dry_run or request.options.test_only)
    its_id = campaign_id(request.campaign)
    return state(request.campaign, its_id, request.runs, request.options.abandon, write=writes)


def _consented(request: Request, planned: Plan) -> Header:
    """Ask; then put on disk what tasks need."""
    if not display.consents(planned, request.options.yes):
        raise Refused(f"not submitted: {display.count(planned.n_runs, 'run')}; --yes goes ahead without asking")
    return prepare(request.campaign, request.grid, request.runs, request.data_dir)


def _tasks(request: Request, header: Header, planned: Plan) -> list[Task]:
    execution, data_dir = request.grid.execution, str(request.data_dir)
    return [
        Task(index, header.campaign, header.code_commit, data_dir, execution, task.runs)
        for index, task in enumerate(planned.tasks)
    ]


def _nothing_to_submit(request: Request, found: State) -> int:
    if not (request.options.dry_run or request.options.test_only):
        prepare(request.campaign, request.grid, request.runs, request.data_dir)  # the grid may have become smaller
    display.show_others(found)
    n_runs, n_done = len(found.runs), found.count("done")
    print(
        f"Nothing to submit: {n_done} of {display.count(n_runs, 'run')} done. Next: {display.report_command(request.campaign)}"
    )
    return 1 if found.given_up else 0


def _dry_run(request: Request) -> int:
    verb = "is in" if is_staged(request.grid.dataset, request.data_dir) else "will be put into"
    print(f"data       {request.grid.dataset} {verb} {request.data_dir}\nDry run: nothing was written.")
    return 0


def _rehearse(request: Request, submission: submissions.Submission) -> int:
    accepted = True
    for array, answer, ok in slurm.rehearse(request.campaign, submission, request.sbatch):
        accepted &= ok
        print(f"{'accepted' if ok else 'refused '}   {display.count(array.n_tasks, 'task')}: {answer}")
    print("Nothing was submitted." + ("" if accepted else " Change slurm: in the grid, or add --sbatch KEY=VALUE."))
    return 0 if accepted else 2


def _run_locally(campaign: Campaign, submission: submissions.Submission, payloads: list[ArrayTask], planned: Plan) -> int:
    costs_s = {run.run_id: task.per_run.cpu_s.middle for task in planned.tasks for run in task.runs}
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
    print(f"{done} of {display.count(n_runs, 'run')} done, {failed} failed.{hint}\nNext: {display.report_command(campaign)}")
    return 0 if done == n_runs else 1


def _refuse(message: str, details: Iterable[str] = ()) -> int:
    print("\n".join([f"error: {message}", *(f"  {line}" for line in details)]), file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
