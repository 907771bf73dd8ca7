"""hpc.submit: plan what is missing, show the plan, ask, and submit it; in several rounds if a limit holds tasks back."""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from hpc import console
from hpc.console import ALL_WELL, NO_SCHEDULER, SOME_FAILED, Refused, count
from hpc.execution.adopting import adopt, with_results
from hpc.execution.calibrating import basis, known, measured, never_measured
from hpc.execution.deadlines import refusal
from hpc.execution.doubts import changes, long_runs
from hpc.execution.executor import Executor, Request
from hpc.execution.interrupts import raise_if_interrupted
from hpc.execution.next import next_command
from hpc.execution.overview import show_decision
from hpc.planning.deadline import TooLate
from hpc.planning.decision import Decision
from hpc.planning.tasks import Plan
from hpc.planning.workers import needed_mb
from hpc.request.prepare import campaign_id, check_folder, prepare
from hpc.state import submissions
from hpc.state.arrays import arrays_of
from hpc.state.runs import State, state, state_of_redo
from hpc.state.scheduler import Scheduler, SchedulerError
from hpc.state.submissions import Submission, SubmissionTaken
from jobs.manifest import Header, read_header
from jobs.provenance import code_commit
from jobs.taskfile import Task
from jobs.typed import typed
from noisy.runs import Runs


def submit(request: Request, executor: Executor, schedulers: Mapping[str, Scheduler]) -> int:
    """Plan what is missing, show the plan, ask, and have it executed. Returns the exit status.

    Raises:
        Refused, SchedulerError, DataError, ManifestError: this is not possible. Arrays that were submitted before the error are
        recorded.
    """
    executor.check(request)
    check_folder(request.campaign.folder, is_written=not _only_looks(request, executor))
    header, left = None, None  # left: run_ids that this command still has to submit; None: all missing runs
    pause_s: float | None = None  # not None once this command waits for room
    while True:
        raise_if_interrupted()
        number, found, decision, costs = look(request, executor, schedulers, left, pause_s)
        if decision is None:
            return _nothing_to_submit(request, executor, found)
        if header is None and request.calibrate_with and _is_agreed(request, executor, decision):
            request, is_new = measured(request, executor, Runs.joined([task.runs for task in decision.whole.tasks]))
            if is_new:  # plan again
                continue
        if header is None:
            show_decision(decision, found, request, executor.where, costs)
            doubts = [*_changes(request, found), *long_runs(decision.whole)]
            if executor.is_rehearsal(request.options):
                return executor.rehearse(request, decision)
            if request.dry_run:
                return _end_of_dry_run(request, found.unreachable or decision.unknown)
            header = _consented(request, decision.whole, doubts)
        try:
            status = _hand_over(request, executor, number, header, decision)
        except SubmissionTaken:
            continue
        if request.redo and not request.redo.number:  # later rounds belong to the same redo
            request = replace(request, redo=replace(request.redo, number=number))
        if decision.arrays:  # a scheduler may have accepted fewer tasks
            taken = submissions.read(request.campaign, number).arrays
            decision = replace(decision, now=decision.now.first(max((array.n_tasks for array in taken), default=0)))
        if found.unreachable and status == ALL_WELL:
            status = NO_SCHEDULER  # runs were left out
        pause_s = executor.pause_s(request, decision) if decision.n_held_back else None
        if pause_s is None:
            if not (executor.is_asked or request.redo):  # all is executed by now
                print(f"Next: {next_command(request.campaign, _state(request, executor, schedulers), request.command)}")
            return status
        left = np.concatenate([task.runs.run_id for task in decision.held_back])
        time.sleep(pause_s)


def look(
    request: Request,
    executor: Executor,
    schedulers: Mapping[str, Scheduler],
    left: np.ndarray | None = None,
    pause_s: float | None = None,
) -> tuple[int, State, Decision | None, str]:
    """Returns the number to claim, the state, what to submit (None if nothing is missing), and what its costs are based on.

    Args:
        pause_s: how long to wait before a scheduler that does not answer is asked again; None: no answer is an error.
    """
    while True:
        raise_if_interrupted()
        number = submissions.next_number(request.campaign)  # first: a later claim by another submit makes ours fail
        try:
            found = _state(request, executor, schedulers)
            runs = _to_submit(request, found, left)
            if not len(runs):
                return number, found, None, ""
            request = replace(request, knowledge=known(executor, request))
            return number, found, executor.decide(request, runs, found), basis(request, runs)
        except TooLate as late:
            raise refusal(late, request, never_measured(request, runs)) from late
        except SchedulerError as error:
            if pause_s is None:
                raise
            print(f"{error}; looking again in {pause_s:.0f} s", flush=True)
            time.sleep(pause_s)


def _is_agreed(request: Request, executor: Executor, decision: Decision) -> bool:
    """Whether the user has agreed to the plan, or does not have to. Only then costs are measured, since this writes files."""
    is_asked_about = long_runs(decision.whole) or request.campaign.manifest.exists()  # (the user must agree to a changed grid)
    return not _only_looks(request, executor) and (request.yes or not is_asked_about)


def _only_looks(request: Request, executor: Executor) -> bool:
    return request.dry_run or executor.is_rehearsal(request.options)


def _state(request: Request, executor: Executor, schedulers: Mapping[str, Scheduler]) -> State:
    writes, its_id = not _only_looks(request, executor), campaign_id(request.campaign)
    known = submissions.numbers(request.campaign)
    if unknown := [number for number in request.abandoned if number not in known]:
        allowed = (
            f"the number of a submission: {', '.join(map(str, known))}" if known else "none, since there is no submission yet"
        )
        raise Refused(f"--abandon {unknown[0]}: no such submission of {request.campaign.folder}; allowed: {allowed}")
    found = state(request.campaign, its_id, request.runs, schedulers, request.abandoned, write=writes)
    if not found.known.is_queue_known and executor.is_asked and not request.dry_run:
        raise SchedulerError(found.unreachable)
    if found.unreachable:
        print(f"warning: {found.unreachable}; runs whose state is unknown are left out", file=sys.stderr)
    if request.redo:
        return state_of_redo(found, request.redo.number, request.runs)
    return with_results(found, request.taken_over) if request.taken_over else found


def _changes(request: Request, found: State) -> list[str]:
    return [] if request.redo else changes(request.campaign, request.runs, found)


def _to_submit(request: Request, found: State, left: np.ndarray | None) -> Runs:
    """The runs to submit: in the first round what is missing, up to the limit; later the held-back runs still missing."""
    missing = request.runs.take(found.to_submit(request.retry_failed))
    return missing.take(slice(0, request.limit)) if left is None else missing.take(np.isin(missing.run_id, left))


def _consented(request: Request, planned: Plan | None, doubts: Sequence[str]) -> Header:
    """Ask for consent to the whole plan, then write the campaign's files."""
    if not console.consents(planned, request.yes, doubts):
        what = count(planned.n_runs, "run") if planned else "the changed grid"
        raise Refused(f"not submitted: {'; '.join(doubts) or what}; --yes submits without asking")
    if request.redo:
        request.grid.own.stage(request.grid.dataset, request.data_dir)
        return read_header(request.campaign.manifest)
    header = prepare(request.campaign, request.grid, request.runs, request.data_dir)
    if request.taken_over:
        adopt(request.campaign, header.campaign, request.runs, request.taken_over)
    return header


def _hand_over(request: Request, executor: Executor, number: int, header: Header, decision: Decision) -> int:
    """Claim a submission for the tasks that there is room for, and have it executed. Returns the exit status.

    Raises:
        SubmissionTaken: another submit was first.
    """
    now, commit = decision.now, code_commit()
    if not now.tasks:
        return ALL_WELL
    arrays = arrays_of(header.campaign, number, len(now.tasks), decision.arrays, decision.waits_for)
    redo = {"redo": request.redo.number or number, "asked": request.redo.asked} if request.redo else {}
    others = {**redo, "arrays": arrays, "code_commit": commit, "deadline": request.deadline.text if request.deadline else ""}
    submission = Submission.by_this_process(number, header.campaign, executor.name, now, **others)
    together = (replace(now.execution, runs_together=task.runs_together) for task in now.tasks)
    tasks = (
        Task(
            index,
            header.campaign,
            commit,
            str(request.data_dir),
            execution,
            task.runs,
            task.per_run.wall_s.middle,
            task.per_run.wall_s.high,
            needed_mb(task, decision.first),
        )
        for index, (task, execution) in enumerate(zip(now.tasks, together, strict=True))
    )
    submissions.claim(request.campaign, submission, tasks)
    return executor.execute(request, submission, decision)


def _nothing_to_submit(request: Request, executor: Executor, found: State) -> int:
    """Say that nothing is missing. Returns the exit status."""
    console.show_others(found)
    doubts = _changes(request, found)
    if not (_only_looks(request, executor) or request.redo):
        _consented(request, None, doubts)  # the grid may have become smaller
    done = f"{found.count('done')} of {count(len(found.runs), 'run')} done"
    following = "" if request.redo else f" Next: {next_command(request.campaign, found, request.command)}"
    if request.dry_run and request.taken_over:
        following = " Dry run: nothing was written."  # so a report has nothing to read yet
    print(f"Nothing to submit: {done}.{following}")
    if found.unreachable:
        return NO_SCHEDULER
    return SOME_FAILED if found.is_given_up.any() or found.count("unknown") else ALL_WELL


def _end_of_dry_run(request: Request, unknown: str) -> int:
    """Say where the data are, what is unknown, and that nothing was written. Returns the exit status."""
    verb = "is in" if request.grid.own.is_staged(request.grid.dataset, request.data_dir) else "will be put into"
    print(f"data       {request.grid.dataset} {verb} {request.data_dir}\nDry run: nothing was written.")
    if unknown:
        hint = f"{typed('submit')} --executor local plans for this machine"
        print(f"warning: {unknown}; the limits and the queue of the cluster are unknown; {hint}", file=sys.stderr)
        return NO_SCHEDULER
    return ALL_WELL
