"""noisy logs RUN_ID ... | FILTER ... | --failed: what a run printed, and what is known about its end.

Exit status: 0 shown; 1 no run fits, or a file of the campaign cannot be read; 2 the input is wrong; 3 the scheduler cannot be
reached.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from hpc.console import (
    ALL_WELL,
    NO_SCHEDULER,
    SOME_FAILED,
    exit_with,
    open_campaign,
    warn_of_problems,
)
from hpc.execution.choice import EXECUTORS
from hpc.execution.evidence import failures_of, job_ended, log_parts, logs_of, place_of
from hpc.state.chosen import OFFERED, chosen
from hpc.state.runs import State, state
from jobs.commandline import Parser


def main(argv: list[str] | None = None) -> None:
    """The command line above."""
    parser = Parser("logs", "Show what runs printed, and how they ended.")
    parser.add_campaign(("RUN_ID", "FILTER"), OFFERED)
    parser.add_argument("--failed", action="store_true", help="all runs that failed or are lost")
    options = parser.parse_args(argv)
    if bool(options.run_id) + (options.failed or bool(options.filter)) != 1:
        parser.error("which runs? allowed: run_ids; or --failed, filters or both")
    exit_with(lambda: _logs(options))


def _logs(options: argparse.Namespace) -> int:
    campaign, manifest = open_campaign(options.output_dir)
    found = state(campaign, manifest.header.campaign, manifest.runs, EXECUTORS)
    if options.failed or options.filter:
        meant = chosen(found, options.filter)
        places = (np.intersect1d(meant, found.places("failed", "lost")) if options.failed else meant).tolist()
    else:
        places = [place_of(text, manifest.runs) for text in options.run_id]
    warn_of_problems(found)
    if not places:
        print("No run has failed.")
    logs = logs_of(campaign, found, manifest.runs.run_id[places])
    failures = failures_of(found, manifest.runs.run_id[places])
    for place in places:
        _show(place, found, failures, logs)
    if found.unreachable:
        return NO_SCHEDULER
    return SOME_FAILED if found.problems else ALL_WELL


def _show(place: int, found: State, failures: dict[bytes, list[str]], logs: dict[bytes, list[Path]]) -> None:
    run, key = found.runs.at(place), found.runs.run_id[place]
    run_id = key.decode()
    print(f"== {run_id} {run.label}: {found.of(place)}")
    for outcome in found.outcomes:
        if outcome.run_id == run_id:
            print(f"   {job_ended(outcome)}")
    for message in failures.get(key, ()):
        print(f"   {message}")
    for path in logs.get(key, ()):
        print(f"-- {path}")
        for part in log_parts(path, run_id):
            _print_indented(part)


def _print_indented(lines: Iterable[str]) -> None:
    print("\n".join(f"   {line}" for line in lines))


if __name__ == "__main__":
    main()
