"""What all commands share: exit statuses, showing a plan, asking, finding the campaign, counts and durations in words."""

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from hpc.planning.retrying import MAX_TRIES
from hpc.planning.tasks import Plan
from hpc.state.runs import State
from hpc.state.scheduler import SchedulerError
from jobs.campaign import Campaign
from jobs.commandline import the_campaign
from jobs.files import advice_on
from jobs.filters import FilterError, Nothing
from jobs.manifest import Manifest, ManifestError, read_manifest
from jobs.printing import NotPrinted, printing
from jobs.printing import count as count  # with the other words of commands
from noisy.data import DataError
from noisy.spec import shown

ALL_WELL, SOME_FAILED, WRONG_INPUT, NO_SCHEDULER, INTERRUPTED = 0, 1, 2, 3, 130
_ASK_ABOVE_CPU_H = 10


class Refused(Exception):
    """The command cannot do what was asked. The message says why and what to do. details: one line for each problem."""

    def __init__(self, message: str, details: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.details = list(details)


def exit_with(command: Callable[[], int], on_silence: str = "", on_interrupt: str = "") -> NoReturn:
    """Run a command and exit with its status. After an error, print one message and exit with the status of the error.

    Args:
        on_silence: added to the message if a scheduler does not answer; on_interrupt: printed after Ctrl-C.
    """
    try:
        with printing():
            status = command()
        sys.exit(status)
    except Refused as error:
        _say_error(str(error), *error.details)
    except FilterError as error:
        _say_error(count(len(error.problems), "problem"), *error.problems)
    except Nothing as error:
        _say_error(f"{error}; the values that there are:", *error.values)
        sys.exit(SOME_FAILED)
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
        try:
            print(on_interrupt, file=sys.stderr, end="\n" if on_interrupt else "", flush=True)
        except OSError:  # its terminal is gone
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # because Python flushes once more when it ends
        sys.exit(INTERRUPTED)
    sys.exit(WRONG_INPUT)


def _say_error(message: str, *details: str) -> None:
    print("\n".join([f"error: {message}", *(f"  {line}" for line in details)]), file=sys.stderr)


# What is known of a campaign


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
    """Ask the user on a terminal. Every answer but yes counts as no. Without a terminal the answer is no."""
    if not _is_terminal():
        return False
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


# The campaign and the runs of a command


def open_campaign(output_dir: Path | None) -> tuple[Campaign, Manifest]:
    """Find the campaign of a command (see jobs/commandline.py), and verify its manifest.

    Raises:
        ManifestError: there is no campaign, or its manifest was changed.
    """
    campaign = the_campaign(output_dir)
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


def duration(seconds: float) -> str:
    """A time in words: `45 s`, `12 min`, `3.4 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 3600:
        return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:,.0f} days"


def hours(n_hours: float) -> str:
    """A number of hours with two significant digits; whole numbers from 10 on."""
    return f"{n_hours:,.0f}" if n_hours >= 10 else f"{n_hours:.2g}"
