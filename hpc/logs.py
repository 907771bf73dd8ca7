"""noisy logs RUN_ID ... | FILTER ... | --failed: what a run printed, and what is known about its end.

Exit status: 0; 1 no run fits, or a file of the campaign cannot be read; 2 the input is wrong; 3 the scheduler cannot be
reached.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np

from hpc.console import (
    ALL_WELL,
    NO_SCHEDULER,
    SOME_FAILED,
    Refused,
    exit_with,
    open_campaign,
    warn_of_problems,
)
from hpc.execution.choice import EXECUTORS
from hpc.state.chosen import chosen
from hpc.state.runs import State, state
from jobs.campaign import Campaign
from jobs.commandline import Parser
from jobs.reading import brief, read_regular
from jobs.tasklog import part_about
from noisy.runs import Runs

_TAIL_LINES = 30


def main(argv: list[str] | None = None) -> None:
    """The command line above."""
    parser = Parser("logs", "What runs printed, and how they ended.")
    parser.add_campaign(("RUN_ID", "FILTER"))
    parser.add_argument("--failed", action="store_true", help="all runs that failed or are lost")
    options = parser.parse_args(argv)
    if bool(options.run_id) + (options.failed or bool(options.filter)) != 1:
        parser.error("either run_ids, or filters and --failed")
    exit_with(lambda: _logs(options))


def _logs(options: argparse.Namespace) -> int:
    campaign, manifest = open_campaign(options.output_dir)
    found = state(campaign, manifest.header.campaign, manifest.runs, EXECUTORS)
    if options.failed or options.filter:
        meant = chosen(found, options.filter)
        places = (np.intersect1d(meant, found.places("failed", "lost")) if options.failed else meant).tolist()
    else:
        places = [_place(text, manifest.runs) for text in options.run_id]
    warn_of_problems(found)
    if not places:
        print("No run has failed.")
    logs = _logs_of(campaign, found, manifest.runs.run_id[places])
    failures = _failures_of(found, manifest.runs.run_id[places])
    for place in places:
        _show(place, found, failures, logs)
    if found.unreachable:
        return NO_SCHEDULER
    return SOME_FAILED if found.problems else ALL_WELL


def _place(text: str, runs: Runs) -> int:
    places = np.flatnonzero(np.char.startswith(runs.run_id, text.encode()))
    if len(places) != 1:
        which = "matches no run" if not len(places) else f"matches {len(places)} runs"
        raise Refused(f"run_id: {text!r} {which} of this campaign; results_per_run.csv lists them")
    return int(places[0])


def _logs_of(campaign: Campaign, found: State, wanted: np.ndarray) -> dict[bytes, list[Path]]:
    """run_id -> the logs of those that executed the tasks which hold it, for each wanted run, S16."""
    logs = defaultdict(list)
    for each in (each for each in found.known.submitted if each.submission.executor):
        holds = np.isin(each.tasks.run_id, wanted)
        for run_id, task in zip(each.tasks.run_id[holds].tolist(), each.tasks.task[holds].tolist(), strict=True):
            for job in each.jobs_of(task, found.recorded):
                logs[run_id].append(EXECUTORS[each.submission.executor].log_of(campaign, each.submission, task, job))
    return logs


def _failures_of(found: State, wanted: np.ndarray) -> dict[bytes, list[str]]:
    """run_id -> why it failed, each time, for each wanted run, S16."""
    failures = defaultdict(list)
    records = found.recorded.records["run_id"]
    for record in np.flatnonzero(~found.recorded.is_finished & np.isin(records, wanted)):
        failures[records[record]].append(found.recorded.message(int(record)))
    return failures


def _show(place: int, found: State, failures: dict[bytes, list[str]], logs: dict[bytes, list[Path]]) -> None:
    run, key = found.runs.at(place), found.runs.run_id[place]
    run_id = key.decode()
    print(f"== {run_id} {run.label}: {found.of(place)}")
    for outcome in found.outcomes:
        if outcome.run_id == run_id:
            asked = f"asked for {outcome.mem_mb} MB, {outcome.time_limit_min} min"
            print(f"   job {outcome.job} on {outcome.node or 'no node'}: {outcome.said} ({asked})")
    for message in failures[key]:
        print(f"   {message}")
    for path in logs[key]:
        print(f"-- {path}")
        _show_log(path, run_id)


def _show_log(path: Path, run_id: str) -> None:
    """The parts of a log that are about one run; the end of the log if there is no such part."""
    try:
        lines = _lines(path)
    except FileNotFoundError:
        lines = ["(no output yet)"]
    except OSError as error:
        lines = [f"(cannot be read: {brief(error)})"]
    for part in part_about(lines, run_id) or [lines[-_TAIL_LINES:]]:
        _print_indented(part)


@lru_cache(maxsize=8)
def _lines(path: Path) -> list[str]:
    """The lines of a log. All runs of a worker share one log, in which they follow each other."""
    return read_regular(path).decode(errors="replace").splitlines()


def _print_indented(lines: Iterable[str]) -> None:
    print("\n".join(f"   {line}" for line in lines))


if __name__ == "__main__":
    main()
