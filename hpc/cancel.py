"""noisy cancel [p=0.9 ...]: cancel runs that are queued or running; asks first.

Workers skip cancelled runs. If nothing else of a submission is left to do, its workers are cancelled in the scheduler.
Otherwise, a worker that is training a cancelled run finishes it and goes on with the others.

Exit status: 0 cancelled, or nothing to cancel; 1 not confirmed, no run fits, or a file of the campaign cannot be read; 2 the
input is wrong; 3 the
scheduler cannot be reached.
"""

import argparse
import sys

import numpy as np

from hpc.console import (
    ALL_WELL,
    SOME_FAILED,
    asks,
    count,
    exit_with,
    open_campaign,
    warn_of_problems,
)
from hpc.execution.choice import EXECUTORS
from hpc.state.chosen import OFFERED, chosen
from hpc.state.known import Submitted, done_for, recorded_by
from hpc.state.runs import State, state
from hpc.state.scheduler import SchedulerError
from jobs.campaign import Campaign
from jobs.commandline import Parser
from jobs.files import publish
from noisy.runs import ID


def main(argv: list[str] | None = None) -> None:
    """The command line above."""
    parser = Parser("cancel", "Cancel runs that are queued or running.")
    parser.add_campaign(columns=OFFERED)
    parser.add_argument("--yes", action="store_true", help="do not ask")
    options = parser.parse_args(argv)
    exit_with(lambda: _cancel(options))


def _cancel(options: argparse.Namespace) -> int:
    campaign, manifest = open_campaign(options.output_dir)
    found = state(campaign, manifest.header.campaign, manifest.runs, EXECUTORS)
    if found.unreachable:
        raise SchedulerError(found.unreachable)
    warn_of_problems(found)
    meant = chosen(found, options.filter)
    at_work = np.union1d(found.places("queued", "running"), found.under_redo)
    wanted, unknown = (np.intersect1d(meant, places) for places in (at_work, found.places("unknown")))
    status = SOME_FAILED if found.problems or len(unknown) else ALL_WELL
    if len(unknown):
        print(f"warning: {count(len(unknown), 'run')} may be queued or running, and cannot be cancelled", file=sys.stderr)
    if not len(wanted):
        print("Nothing to cancel: none of these runs is known to be queued or running.")
        return status
    if not options.yes and not asks(f"Cancel {count(len(wanted), 'run')} of {campaign.folder}?"):
        print(f"Not cancelled: {count(len(wanted), 'run')}; --yes cancels without asking.", file=sys.stderr)
        return SOME_FAILED
    n_jobs = 0
    for submitted in found.known.submitted:
        jobs = _pass_over(campaign, found, submitted, manifest.runs.run_id[wanted])
        if jobs:
            EXECUTORS[submitted.submission.executor].cancel(jobs)
        n_jobs += len(jobs)
    workers = f"{count(n_jobs, 'worker')} with nothing left to do"
    print(f"Cancelled {count(len(wanted), 'run')}, and {workers}. Campaign: {campaign.folder}")
    return status


def _pass_over(campaign: Campaign, found: State, submitted: Submitted, wanted: np.ndarray) -> list[str]:
    """Write down which of the wanted runs (S16) the workers of a submission must skip.

    Returns:
        The jobs of workers that have nothing left to do.
    """
    tasks, number = submitted.tasks, submitted.submission.number
    at_work = submitted.activity.tasks if submitted.activity else {}
    is_wanted = np.isin(tasks.run_id, wanted) & np.isin(tasks.task, list(at_work))
    if not is_wanted.any():
        return []
    passed_over = tasks.run_id[is_wanted].astype(str).tolist()
    publish(campaign.new_cancelled(number), "".join(f"{run_id}\n" for run_id in passed_over).encode())
    cancelled = np.array([*submitted.cancelled, *passed_over], ID)
    done = done_for(found.known)[submitted.submission.redo]
    over = np.concatenate([cancelled, done, recorded_by(found.recorded, number)])
    with_work = set(tasks.task[~np.isin(tasks.run_id, over)].tolist())
    if submitted.submission.is_claimed:
        workers = submitted.activity.workers if submitted.activity and not with_work else ()
        return [worker.job for worker in workers if worker.job is not None]
    ended = sorted(set(tasks.task[is_wanted].tolist()) - with_work)
    return [job for task in ended if (job := at_work[task].job) is not None]


if __name__ == "__main__":
    main()
