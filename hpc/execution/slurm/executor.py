"""Slurm as an executor: how many tasks it accepts, what is submitted to it, and what it says about tasks."""

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from hpc import console
from hpc.console import ALL_WELL, WRONG_INPUT, Refused, count
from hpc.execution.deadlines import seconds_left
from hpc.execution.doubts import refuse_larger_than
from hpc.execution.executor import Executor, Request
from hpc.execution.site import Check
from hpc.execution.slurm import batch, options, programs, site
from hpc.execution.slurm.fitting import check_fit, chosen
from hpc.execution.slurm.states import REASONS, activity, outcome
from hpc.planning.decision import Decision, Room, decide
from hpc.planning.efficiency import Span
from hpc.planning.retrying import Outcome, Reason
from hpc.planning.waiting import BusyArray
from hpc.planning.workers import Limits
from hpc.state.arrays import arrays_of
from hpc.state.nodes import suspects
from hpc.state.runs import State
from hpc.state.scheduler import Activity, EndedAttempt, SchedulerError
from hpc.state.submissions import Submission
from jobs.campaign import Campaign
from jobs.typed import quoted, typed
from noisy.runs import Runs

SECTION = "slurm"  # of a grid file
_DEFAULT_WORKERS = 80  # if the grid has no max_workers
_FEED_EVERY_S = 30
_LAG_S = (1, 2)  # accounting learns about the end of a job a moment after the queue


class Slurm(Executor):
    """Workers are elements of job arrays. A state takes one call of squeue and one of sacct, and none if nothing is open."""

    name = "slurm"
    where = "on Slurm"
    is_asked = True

    def __init__(self, lag_s: Sequence[float] = _LAG_S) -> None:
        self._limits: Limits | None = None
        self._lag_s = lag_s

    @staticmethod
    def is_here() -> bool:
        """Whether this machine can submit to Slurm."""
        return shutil.which("sbatch") is not None

    def add_site_options(self, add: Callable[..., argparse.Action]) -> list[argparse.Action]:
        many: dict[str, Any] = {"type": options.command_line_option, "action": "append", "default": []}
        return [add("--sbatch", metavar="KEY=VALUE", help="an option of sbatch, as in slurm: of the grid", **many)]

    def add_options(self, add: Callable[..., argparse.Action]) -> list[argparse.Action]:
        return [
            *self.add_site_options(add),
            add("--test-only", action="store_true", help="ask Slurm whether it would accept the plan; submit nothing"),
            add("--runs-per-task", type=console.positive, metavar="N", help="runs in a task (default: from costs)"),
            add("--no-exclude", action="store_true", help="also use nodes on which tasks ended before they began"),
            add("--keep-feeding", action="store_true", help="wait, and submit what Slurm's limits held back"),
        ]

    def check(self, request: Request) -> None:
        self._limits = None
        place = str(request.campaign.folder.resolve())
        if not place.isprintable() or set(place) & {"%", "\\"}:  # the path of a log, in which sbatch replaces %
            raise Refused(f"output_dir: not possible on Slurm: {place!r}; allowed: printable characters except % and \\")
        if not (shutil.which("srun") or request.dry_run):  # submitit looks for it, though it is not used
            raise SchedulerError("srun is not on PATH: this is no login node of a Slurm cluster; --executor local runs here")
        for option, value in options.from_environment(os.environ).items():
            if _options(request)[option] == value:
                print(f"note: {option}={value} is taken from SBATCH_{option.upper()}")
        if not (request.dry_run or request.options.test_only):
            batch.adopt_orphans(request.campaign)

    def decide(self, request: Request, runs: Runs, found: State) -> Decision:
        asked, execution = _options(request), request.grid.execution
        try:
            first = options.first_request(asked, execution.cpu_threads + execution.data_workers, int(execution.use_cuda))
        except ValueError as error:
            raise Refused(str(error)) from error
        every, limits, n_queued, unknown = self._room(request, asked, found)
        if not execution.use_cuda:  # (on a GPU, the GPU's memory is the limit)
            refuse_larger_than(limits.mem_mb, runs.by_cell(lambda run: run), "the partition's largest node has")
        room = Room(limits, n_queued, busy_arrays(found), request.grid.max_workers or _DEFAULT_WORKERS)
        per_task = request.options.runs_per_task
        try:
            ends = found.outcomes, found.empty_attempts
            decision = decide(
                runs,
                execution,
                room,
                first,
                *ends,
                per_task,
                request.grid.worker_time_min,
                request.knowledge,
                seconds_left(request),
            )
        except LookupError as error:
            raise SchedulerError(f"{error}; try again in a minute") from error
        check_fit(decision.arrays, limits, first, every)
        return replace(decision, unknown=unknown, avoided=self._avoided(request, found))

    def _room(
        self, request: Request, asked: options.Options, found: State
    ) -> tuple[list[programs.Partition], Limits, int, str]:
        """Partitions, limits, number of elements in the queue, and why these are unknown: a dry run goes on without them."""
        try:
            if not found.known.is_queue_known:
                raise SchedulerError(found.unreachable)
            every = programs.partitions()
            self._limits = self._limits or programs.limits(
                chosen(every, asked.get("partition")), *(asked.get(key) or None for key in ("account", "qos"))
            )
            return every, self._limits, len(programs.queue().elements), ""
        except SchedulerError as error:
            if not request.dry_run:
                raise
            return [], Limits(sys.maxsize, sys.maxsize), 0, str(error)

    def _avoided(self, request: Request, found: State) -> tuple[str, ...]:
        """Nodes on which tasks ended before they began. Prints a note for each."""
        nodes = {} if request.options.no_exclude else suspects(found.known, datetime.now(timezone.utc))
        for node, n_tasks in nodes.items():
            ended = f"{count(n_tasks, 'task')} ended there before they began"
            print(f"note: node {node} is avoided: {ended} (--no-exclude uses it)")
        return tuple(nodes)

    def checks(self, given: argparse.Namespace, folder: Path) -> list[Check]:
        return site.checks(lambda: options.merged(given.sbatch, {}))

    def beginning_with(self, given: argparse.Namespace, command: str) -> argparse.Namespace:
        return argparse.Namespace(**{**vars(given), "sbatch": [*given.sbatch, ("setup", [command])]})

    def is_rehearsal(self, options: argparse.Namespace) -> bool:
        return options.test_only

    def rehearse(self, request: Request, decision: Decision) -> int:
        """Print, for each array, what Slurm would answer and what to change. Returns the exit status."""
        n_tasks = len(decision.now.tasks)
        status, arrays = ALL_WELL, arrays_of("rehearsal", 0, n_tasks, decision.arrays, decision.waits_for)
        for array, answer, is_accepted in batch.rehearse(request.campaign, arrays, _options(request, decision.avoided)):
            print(f"{'accepted' if is_accepted else 'refused '}   {count(array.n_workers, 'worker')}: {answer}")
            if not is_accepted:
                change = f"change {options.what_to_change(answer)} in slurm: of the grid, or with --sbatch KEY=VALUE"
                print(f"           {change} (sinfo shows what there is)")
                status = WRONG_INPUT
        self._say_held_back(decision)
        print("Nothing was submitted.")
        return status

    def execute(self, request: Request, submission: Submission, decision: Decision) -> int:
        after = [array.after for array in decision.arrays]
        submission = batch.submit_arrays(request.campaign, submission, after, _options(request, decision.avoided))
        ids = " ".join(array.job_id or "" for array in submission.arrays)
        n_tasks = max((array.n_tasks for array in submission.arrays), default=0)
        n_workers = sum(array.n_workers for array in submission.arrays)
        what = f"{count(n_tasks, 'task')} for {count(n_workers, 'worker')}"
        print(f"submission {submission.number:04d}: {what} submitted as {ids or 'nothing'}")
        if n_tasks == submission.n_tasks and not decision.n_held_back:
            print(f"Next: {typed('status')} --output-dir {quoted(request.campaign.folder)}")
        return ALL_WELL

    def pause_s(self, request: Request, decision: Decision) -> float | None:
        self._say_held_back(decision)
        if not request.options.keep_feeding:
            print("The same command submits the rest when there is room; --keep-feeding waits for it.")
            return None
        print(f"Looking again in {_FEED_EVERY_S} s.", flush=True)
        return _FEED_EVERY_S

    def _say_held_back(self, decision: Decision) -> None:
        if decision.n_held_back:
            print(f"{count(decision.n_held_back, 'task')} held back: Slurm accepts no more of your jobs now.", end=" ")

    def at_work(self, submissions: Sequence[Submission]) -> dict[Submission, Activity]:
        # First check which submitting processes live, then ask for the queue: so it has everything that a dead one submitted.
        is_alive = [submission.process.is_alive() for submission in submissions]
        names = [array.name for submission in submissions for array in submission.arrays]
        queue = programs.queue(names) if names else programs.Queue()
        hidden = queue
        if any(each.process.is_of_another_user for each in submissions) and programs.hides_jobs_of_others():
            hidden = replace(queue, doubt="it is another user's, and this site hides the jobs of others")
        queues = [hidden if each.process.is_of_another_user else queue for each in submissions]
        return {each: activity(each, seen, lives) for each, seen, lives in zip(submissions, queues, is_alive, strict=True)}

    def explain(self, ended: Mapping[Submission, Sequence[EndedAttempt]]) -> dict[Submission, list[Outcome]]:
        asked = {s: [(array, end) for end in ends if (array := s.array_with(end.job))] for s, ends in ended.items()}
        jobs = sorted({array.job_id or "" for pairs in asked.values() for array, _ in pairs})
        for pause_s in (*self._lag_s, 0):
            answers = programs.accounting(jobs)
            found = {s: [each for pair in pairs if (each := outcome(*pair, answers))] for s, pairs in asked.items()}
            if not any(each.reason is Reason.NOT_ENDED for outcomes in found.values() for each in outcomes):
                break
            time.sleep(pause_s)
        return found

    def spans(self, campaign: Campaign, submissions: Sequence[Submission]) -> list[Span]:
        arrays = {array.job_id: array for each in submissions for array in each.arrays if array.job_id}
        return [
            Span(job, *times, asked.cpus, asked.mem_mb, asked.time_limit_min * 60)
            for job, times in programs.spans(sorted(arrays)).items()
            if (array := arrays.get(job.split("_")[0])) and (asked := array.resources)
        ]

    def more_workers(self, submission: Submission, n_workers: int) -> str:
        largest = max((a for a in submission.arrays if a.job_id and not a.is_sweep), key=lambda a: a.n_workers, default=None)
        if largest is None or n_workers <= largest.parallel or largest.parallel >= largest.n_workers:
            return ""
        return f"scontrol update JobId={largest.job_id} ArrayTaskThrottle={min(n_workers, largest.n_workers)}"

    def reason_of(self, said: str) -> Reason:
        return REASONS.get(said, Reason.CLUSTER)

    def cancel(self, jobs: Sequence[str]) -> None:
        programs.cancel(jobs)

    def log_of(self, campaign: Campaign, submission: Submission, task: int, job: str = "") -> Path:
        array = submission.array_of(task)
        own = array.job_of(task) if array and not submission.is_claimed else ""
        is_theirs = bool(submission.array_with(job or own))
        logs = campaign.submission(submission.number) / "logs"
        return batch.output_of(logs, job or own) if is_theirs else campaign.log(submission.number, task)


def busy_arrays(found: State) -> tuple[BusyArray, ...]:
    """The arrays of a campaign with workers that may be at work or waiting."""
    return tuple(
        BusyArray(array.job_id, array.parallel, array.waits_for)
        for submission, activity in found.activities.items()
        for array in submission.arrays
        if any(array.name == worker.array for worker in activity.workers)
    )


def _options(request: Request, avoided: Sequence[str] = ()) -> options.Options:
    """The options of the user's environment, the grid and the command line; later ones replace earlier ones."""
    merged = options.merged(request.options.sbatch, request.grid.options.get(SECTION, {}))
    excluded = [*([str(merged["exclude"])] if merged.get("exclude") else []), *avoided]
    return {**merged, "exclude": ",".join(excluded)} if excluded else merged
