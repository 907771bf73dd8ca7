"""What all commands share: exit statuses, showing a plan, asking, finding the campaign, counts and durations in words."""

import argparse
import contextlib
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
from jobs.printing import NotPrinted, printing
from noisy.data import DataError
from noisy.spec import shown

ALL_WELL, SOME_FAILED, WRONG_INPUT, NO_SCHEDULER, INTERRUPTED = 0, 1, 2, 3, 130
_ASK_ABOVE_CPU_H = 10


class Refused(Exception):
    """The command cannot do what was asked. The message says why, and what to do. details: a line for each further problem."""

    def __init__(self, message: str, details: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.details = list(details)


def exit_with(command: Callable[[], int], on_silence: str = "", on_interrupt: str = "") -> NoReturn:
    """Run a command and exit with its status. After an error, print one message and exit with the status of the error.

    Args:
        on_silence: what the message adds if a scheduler does not answer; on_interrupt: what is printed after Ctrl-C.
    """
    try:
        with printing():
            status = command()
        sys.exit(status)
    except Refused as error:
        _say_error(str(error), *error.details)
    except (ManifestError, NotPrinted) as error:
        _say_error(str(error))
    except DataError as error:
        _say_error(error.message, *error.details)
    except UnicodeError as error:  # a name that this locale cannot write
        _say_error(f"{error}; choose a UTF-8 locale, such as LC_ALL=C.UTF-8")
    except SchedulerError as error:
        _say_error(f"{error}{on_silence}")
        sys.exit(NO_SCHEDULER)
    except BrokenPipeError:  # stdout was closed (for example by `head`)
        os._exit(SOME_FAILED)
    except OSError as error:
        advice = advice_on(error)
        _say_error(
            f"{error.filename2 or error.filename or 'a file'}: {error.strerror or error}" + (f"; {advice}" if advice else "")
        )
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):  # its terminal may be gone
            print(on_interrupt, file=sys.stderr, end="\n" if on_interrupt else "", flush=True)
        sys.exit(INTERRUPTED)
    sys.exit(WRONG_INPUT)


def _say_error(message: str, *details: str) -> None:
    print("\n".join([f"error: {message}", *(f"  {line}" for line in details)]), file=sys.stderr)


# What is planned


def show_decision(decision: Decision, found: State, campaign: Campaign, where: str) -> None:
    """Print a plan: runs, tasks, hours, memory, wall time, and the requests to a scheduler."""
    show_others(found)
    planned = decision.whole
    mem_gb, wall_s = planned.mem_mb.scaled(1 / 1000), planned.wall_s
    cores = planned.execution.cpu_threads + planned.execution.data_workers
    unit, hours = ("GPU", planned.gpu_s) if planned.execution.use_cuda else ("CPU", planned.cpu_s)
    low, middle, high = (_hours(seconds / 3600) for seconds in (hours.low, hours.middle, hours.high))
    print(f"campaign   {campaign.folder}")
    print(f"runs       {planned.n_runs} to run; {found.count('done')} of the grid's {len(found.runs)} are done")
    print(f"tasks      {len(planned.tasks)}, {planned.workers} at a time, {count(cores, 'core')} each, {where}")
    print(f"{unit} time   {middle} {unit} hours expected ({low} to {high})")
    print(f"memory     {mem_gb.high:.1f} GB at most, all workers together")
    print(f"wall time  {duration(wall_s.middle)} expected ({duration(wall_s.low)} to {duration(wall_s.high)})", flush=True)
    _show_cancelled(planned, found)
    _show_retries(planned)
    _show_arrays(decision)


def _show_cancelled(planned: Plan, found: State) -> None:
    cancelled = found.runs.run_id[found.places("cancelled")]
    if n := sum(int(np.isin(task.runs.run_id, cancelled).sum()) for task in planned.tasks):
        print(f"cancelled  {n:,} of these were cancelled before, and will run again; remove unwanted ones from the grid")


def _show_retries(planned: Plan) -> None:
    alone = [task.retry for task in planned.tasks if task.retry.mem_mb or task.retry.time_limit_min]
    if alone:
        mem_gb, time_min = max(retry.mem_mb for retry in alone) / 1000, max(retry.time_limit_min for retry in alone)
        more = [f"{mem_gb:.1f} GB"] * (mem_gb > 0) + [f"{time_min:.0f} min"] * (time_min > 0)
        asked = f"each alone in a task that asks for more (up to {' and '.join(more)}), even if you set mem or time"
        print(f"retries    {count(len(alone), 'run')} ran out of memory or time before: {asked}")


def _show_arrays(decision: Decision) -> None:
    if not decision.arrays:
        return
    planned = decision.now
    n_workers, wall_min = sum(array.n_workers for array in decision.arrays), planned.wall_s.middle / 60
    print(f"arrays     {len(decision.arrays)}; about {n_workers / max(wall_min, 1):.1f} workers started per minute")
    for array in decision.arrays:
        asked = array.resources
        gpus = f", {count(asked.gpus, 'GPU')}" if asked.gpus else ""
        each = f"{count(asked.cpus, 'CPU')}{gpus}, {asked.mem_mb / 1000:.1f} GB, {asked.time_limit_min} min each"
        sweep = "; they do what others left" if array.is_sweep else ""
        print(f"           {count(array.n_workers, 'worker')}, {array.parallel} at a time, {each}{sweep}", flush=True)


def show_others(found: State) -> None:
    """Print the tasks of earlier submissions that may still run, and how many runs were given up."""
    warn_of_problems(found)
    for submission, activity in found.activities.items():
        owner = submission.process
        place = "queued or running" if submission.arrays else f"process {owner.pid} on {owner.host}"
        unknown = f"; its process cannot be checked from this host: if it no longer runs, add --abandon {submission.number}"
        note = place + ("" if activity.is_known else unknown)
        print(f"{count(len(activity.tasks), 'task')} of submission {submission.number:04d} still at work ({note})")
    if n_given_up := int(found.is_given_up.sum()):
        left_out = f"{'is' if n_given_up == 1 else 'are'} left out"
        print(f"{count(n_given_up, 'run')} failed {MAX_TRIES} times and {left_out}; --retry-failed tries again")


def warn_of_problems(found: State) -> None:
    """Print which files of a campaign cannot be read."""
    for problem in found.problems:
        print(f"warning: {problem}", file=sys.stderr)


def consents(planned: Plan | None, yes: bool, doubts: Sequence[str] = ()) -> bool:
    """Ask before a large plan is submitted, and before something that few people want (`doubts`).

    Without a terminal nobody can answer. Then a large plan is submitted without asking, but a plan with doubts needs --yes.
    """
    if yes or not (doubts or (planned and planned.cpu_s.middle / 3600 > _ASK_ABOVE_CPU_H)):
        return True
    if not _is_terminal():
        return not doubts
    return asks("".join(f"{doubt}. " for doubt in doubts) + "Go ahead?")


def asks(question: str) -> bool:
    """Ask the user on a terminal. Any other answer than yes counts as no. Without a terminal the answer is no."""
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
    """Add --output-dir, for a command on an existing campaign."""
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
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{shown(text)}: allowed: an integer of at least 1")
    return int(text)


# Words


def count(n: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def duration(seconds: float) -> str:
    """A time in words: `45 s`, `12 min`, `3.4 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 3600:
        return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:,.0f} days"


def quoted(path: Path) -> str:
    """A path as a shell reads it back."""
    return shlex.quote(str(path))


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"
