"""python -m hpc.cancel [--filter p=0.9 ...]: cancel runs that are queued or running; asks first.

A task passes over its cancelled runs; a task with nothing left to do is cancelled in Slurm. A cancelled run at which a task is
at work, with others still to do, is finished.

Exit status: 0; 1 not confirmed; 2 the input is wrong; 3 Slurm cannot be reached.
"""

import argparse
import sys

from hpc import cluster
from hpc.cluster import SchedulerError
from hpc.display import asks, count
from hpc.selection import add_campaign_option, filter_option, matching, open_campaign
from hpc.state import State, state
from jobs.campaign import Campaign
from jobs.files import publish
from jobs.manifest import ManifestError
from jobs.taskfile import read_cancelled, read_task_run_ids


def main(argv: list[str] | None = None) -> None:
    """The command line above."""
    parser = argparse.ArgumentParser(prog="python -m hpc.cancel", description="Cancel runs that are queued or running.")
    parser.add_argument(
        "--filter", type=filter_option, action="append", default=[], metavar="FIELD=VALUE", help="such runs only"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    add_campaign_option(parser)
    options = parser.parse_args(argv)
    try:
        sys.exit(_cancel(options))
    except (ManifestError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except SchedulerError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(3)
    except KeyboardInterrupt:
        sys.exit(130)


def _cancel(options: argparse.Namespace) -> int:
    campaign, manifest = open_campaign(options.output_dir)
    found = state(campaign, manifest.header.campaign, manifest.runs)
    if found.unreachable:
        raise SchedulerError(found.unreachable)
    wanted = {run_id for run_id in matching(manifest, options.filter) if found.runs[run_id] in ("queued", "running")}
    if not wanted:
        print("Nothing to cancel: none of these runs is queued or running.")
        return 0
    if not options.yes and not asks(f"Cancel {count(len(wanted), 'run')}?"):
        print(f"Not cancelled: {count(len(wanted), 'run')}; --yes goes ahead without asking.", file=sys.stderr)
        return 1
    elements = _pass_over(campaign, found, wanted)
    cluster.cancel(elements)
    print(f"Cancelled {count(len(wanted), 'run')}, and {count(len(elements), 'task')} of Slurm with nothing left to do.")
    return 0


def _pass_over(campaign: Campaign, found: State, wanted: set[str]) -> list[str]:
    """Write down what tasks are to pass over; returns the elements, as scancel names them, that have nothing left to do."""
    elements = []
    for submission, activity in found.activities.items():
        tasks = read_task_run_ids(campaign.tasks(submission.number))
        its_runs = {run_id for index in activity.tasks for run_id in tasks[index]}
        cancelled = read_cancelled(campaign, submission.number) | (wanted & its_runs)
        publish(campaign.cancelled(submission.number), "".join(f"{run_id}\n" for run_id in sorted(cancelled)).encode())
        for index, element in activity.tasks.items():
            left = set(tasks[index]) - cancelled - found.recorded.done.keys() - found.recorded.failures.keys()
            if element is not None and not left:
                elements.append(element.job_id if element.index is None else f"{element.job_id}_{element.index}")
    return elements


if __name__ == "__main__":
    main()
