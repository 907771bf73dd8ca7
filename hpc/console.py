"""How commands speak: counts and durations, the plan, consent, which campaign and which runs are meant, exit statuses."""

import argparse
import dataclasses
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np

from hpc.planning.decision import Decision
from hpc.planning.retrying import MAX_TRIES
from hpc.planning.tasks import Plan
from hpc.state.runs import State
from hpc.state.scheduler import SchedulerError
from jobs.campaign import Campaign
from jobs.files import advice_on
from jobs.manifest import Manifest, ManifestError, newest_campaign, read_manifest
from noisy.data import DataError
from noisy.runs import Runs
from noisy.spec import RunSpec

ALL_WELL, SOME_FAILED, WRONG_INPUT, NO_SCHEDULER, INTERRUPTED = 0, 1, 2, 3, 130
_ASK_ABOVE_CPU_H = 10
_FIELDS = tuple(field.name for field in dataclasses.fields(RunSpec))


class Refused(Exception):
    """The command cannot do what was asked; the message says why and what to do. details: further lines, one a problem."""

    def __init__(self, message: str, details: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.details = list(details)


def exit_with(command: Callable[[], int], on_silence: str = "", on_interrupt: str = "") -> NoReturn:
    """Run a command, and exit with its status, or with that of its error after one message.

    Args:
        on_silence, on_interrupt: what to say besides if a scheduler does not answer, and after Ctrl-C.
    """
    try:
        sys.exit(command())
    except Refused as error:
        _say_error(str(error), *error.details)
    except (ManifestError, DataError) as error:
        _say_error(str(error))
    except SchedulerError as error:
        _say_error(f"{error}{on_silence}")
        sys.exit(NO_SCHEDULER)
    except BrokenPipeError:  # stdout was closed (for example by `head`)
        os._exit(SOME_FAILED)
    except OSError as error:
        advice = advice_on(error)
        _say_error(f"{error.filename or 'a file'}: {error.strerror or error}" + (f"; {advice}" if advice else ""))
    except KeyboardInterrupt:
        print(on_interrupt, file=sys.stderr, end="\n" if on_interrupt else "")
        sys.exit(INTERRUPTED)
    sys.exit(WRONG_INPUT)


def _say_error(message: str, *details: str) -> None:
    print("\n".join([f"error: {message}", *(f"  {line}" for line in details)]), file=sys.stderr)


# What is planned


def show_decision(decision: Decision, found: State, campaign: Campaign, where: str) -> None:
    """Print a plan: runs, tasks, hours, memory, wall time, what is asked of a scheduler."""
    show_others(found)
    planned = decision.whole
    mem_gb, wall_s = planned.mem_mb.scaled(1 / 1000), planned.wall_s
    cores = planned.execution.cpu_threads + planned.execution.data_workers
    unit, hours = ("GPU", planned.gpu_s) if planned.execution.use_cuda else ("CPU", planned.cpu_s)
    low, middle, high = (_hours(seconds / 3600) for seconds in (hours.low, hours.middle, hours.high))
    print(f"campaign   {campaign.folder}")
    print(f"runs       {planned.n_runs} to run; of the grid's {len(found.runs)}, {found.count('done')} are done")
    print(f"tasks      {len(planned.tasks)}, {planned.workers} at a time, {count(cores, 'core')} each, {where}")
    print(f"{unit} time   {middle} {unit} hours expected ({low} to {high})")
    print(f"memory     {mem_gb.high:.1f} GB at most, all workers together")
    print(f"wall time  {duration(wall_s.middle)} expected ({duration(wall_s.low)} to {duration(wall_s.high)})", flush=True)
    _show_retries(planned)
    _show_arrays(decision)


def _show_retries(planned: Plan) -> None:
    alone = [task.retry for task in planned.tasks if task.retry.mem_mb or task.retry.time_limit_min]
    if alone:
        mem_gb, time_min = max(retry.mem_mb for retry in alone) / 1000, max(retry.time_limit_min for retry in alone)
        more = [f"{mem_gb:.1f} GB"] * (mem_gb > 0) + [f"{time_min:.0f} min"] * (time_min > 0)
        asked = f"each alone in a task that asks for more (up to {' and '.join(more)}), also where you set mem or time"
        print(f"retries    {count(len(alone), 'run')} ran out of memory or time before: {asked}")


def _show_arrays(decision: Decision) -> None:
    if not decision.arrays:
        return
    planned = decision.now
    task_min = sum(task.cost.wall_s.middle for task in planned.tasks) / len(planned.tasks) / 60
    print(f"arrays     {len(decision.arrays)}; about {planned.workers / max(task_min, 1 / 60):.1f} tasks started per minute")
    for array in decision.arrays:
        asked = array.resources
        gpus = f", {count(asked.gpus, 'GPU')}" if asked.gpus else ""
        each = f"{count(asked.cpus, 'CPU')}{gpus}, {asked.mem_mb / 1000:.1f} GB, {asked.time_limit_min} min each"
        print(f"           {count(len(array.tasks), 'task')}, {array.parallel} at a time, {each}", flush=True)


def show_others(found: State) -> None:
    """Print the tasks of earlier submissions that may still run, and how many runs were given up."""
    for problem in found.recorded.problems:
        print(f"warning: {problem}; its runs are not counted as done", file=sys.stderr)
    for submission, activity in found.activities.items():
        owner = submission.process
        place = "queued or running" if submission.arrays else f"process {owner.pid} on {owner.host}"
        unknown = f"; its process cannot be checked from this host: if it no longer runs, add --abandon {submission.number}"
        note = place + ("" if activity.is_known else unknown)
        print(f"{count(len(activity.tasks), 'task')} of submission {submission.number:04d} still at work ({note})")
    if n_given_up := int(found.is_given_up.sum()):
        print(f"{count(n_given_up, 'run')} failed {MAX_TRIES} times and left out; --retry-failed tries again")


def consents(planned: Plan, yes: bool) -> bool:
    """Ask before much is spent, on a terminal; elsewhere nobody would answer."""
    if yes or planned.cpu_s.middle / 3600 <= _ASK_ABOVE_CPU_H or not _is_terminal():
        return True
    return asks("Go ahead?")


def asks(question: str) -> bool:
    """Put a question to the user on a terminal. Anything but yes counts as no; so does the lack of a terminal."""
    if not _is_terminal():
        return False
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


# Which campaign and which runs a command means


def add_campaign_option(parser: argparse.ArgumentParser) -> None:
    """The option that every command on an existing campaign has."""
    help_text = "the campaign's folder (default: the newest campaign below ./results)"
    parser.add_argument("--output-dir", type=Path, help=help_text)


def open_campaign(output_dir: Path | None) -> tuple[Campaign, Manifest]:
    """The campaign that is meant, and its verified manifest.

    Raises:
        ManifestError: there is none, or it was changed.
    """
    campaign = Campaign(output_dir or newest_campaign(Path("results")))
    return campaign, read_manifest(campaign.manifest)


def positive(text: str) -> int:
    """An integer of at least 1, from a command line.

    Raises:
        argparse.ArgumentTypeError: it is not one.
    """
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r}: allowed: an integer of at least 1")
    return int(text)


def filter_option(text: str) -> tuple[str, object]:
    """`p=0.9` as (field, value).

    Raises:
        argparse.ArgumentTypeError: there is no such field.
    """
    name, equals, value = text.partition("=")
    if name not in _FIELDS or not equals:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed: FIELD=VALUE with FIELD one of {', '.join(_FIELDS)}")
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        return name, value


def matching(runs: Runs, filters: Sequence[tuple[str, object]]) -> np.ndarray:
    """int64 (k,), ascending: the places of the runs that fit every filter.

    Raises:
        Refused: no run does.
    """
    of_cells = [(name, value) for name, value in filters if name != "repeat"]
    fits = np.array(runs.by_cell(lambda run: all(_fits(getattr(run, name), value) for name, value in of_cells)), bool)[
        runs.cell
    ]
    for name, value in filters:
        if name == "repeat":
            fits &= runs.repeat == (value if type(value) is int else -1)
    if not fits.any():
        wanted = " ".join(f"{name}={value}" for name, value in filters)
        raise Refused(f"no run of the campaign has {wanted}; python -m hpc.status --cells lists what it has")
    return np.flatnonzero(fits)


def _fits(found: object, value: object) -> bool:
    if isinstance(found, tuple):  # hidden_sizes: [16, 8], 16-8 as the CSV writes it, or 16
        return value in (list(found), "-".join(map(str, found))) or [value] == list(found)
    return found == value and isinstance(found, bool) == isinstance(value, bool)


# Words


def count(n: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def duration(seconds: float) -> str:
    """A time in words: `45 s`, `12 min`, `3.4 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"


def report_command(campaign: Campaign) -> str:
    """What to type for the results."""
    return f"python -m analysis.report --output-dir {quoted(campaign.folder)}"


def quoted(path: Path) -> str:
    """A path as a shell reads it back."""
    return shlex.quote(str(path))


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"
