"""How the commands of this room begin and end: without settings of libraries; one mapping of errors to exit statuses."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from jobs.files import advice_on
from jobs.filters import FilterError, Nothing
from jobs.printing import NotPrinted, count, printing
from noisy.loading import loading

ELSEWHERE = "write elsewhere with --to DIR"  # advice


@contextmanager
def without_settings() -> Iterator[None]:
    """A block that imports what draws, without the user's settings of matplotlib and scipy.

    So no setting changes a file of a report, and a wrong one ends in no traceback.
    """
    os.environ |= {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}
    os.environ.pop("SOURCE_DATE_EPOCH", None)
    with loading():
        with _elsewhere():  # a `matplotlibrc` in the current folder would count more than MATPLOTLIBRC
            import matplotlib  # noqa: F401
        yield


@contextmanager
def _elsewhere() -> Iterator[None]:
    """A block with another current folder. Afterwards the earlier one is current again, even if it was removed.

    Nothing changes on Windows, and where the user may not enter the current folder.
    """
    try:
        here = os.open(".", getattr(os, "O_PATH", os.O_RDONLY)) if hasattr(os, "fchdir") else -1
    except OSError:
        here = -1
    if here < 0:
        yield
        return
    os.chdir(Path(__file__).parent)
    try:
        yield
    finally:
        os.fchdir(here)
        os.close(here)


def exit_with(
    command: Callable[[], int],
    wrong: tuple[type[Exception], ...],
    refused: tuple[type[Exception], ...] = (),
    advice: str = "",
    if_closed: int = 1,
) -> NoReturn:
    """Run a command, and exit with its status, or with that of its error, which is printed.

    Args:
        wrong, refused: errors whose message says all; their statuses are 2 and 1.
        advice: what to type if a file cannot be written, and nothing better is known.
        if_closed: the status if standard output was closed. All files are written by then.
    """
    told: tuple[type[Exception], ...] = (*wrong, *refused, NotPrinted)
    failure = 2
    try:
        with printing():
            status = command()
        sys.exit(status)
    except KeyboardInterrupt:
        sys.exit(130)
    except told as error:
        message, failure = str(error), 1 if isinstance(error, refused) else 2
    except FilterError as error:
        message = "\n  ".join([count(len(error.problems), "problem"), *error.problems])
    except Nothing as error:
        message, failure = "\n  ".join([f"{error}; the values that there are:", *error.values]), 1
    except BrokenPipeError:
        os._exit(if_closed)
    except OSError as error:
        is_only_read = Path(str(error.filename or "")).name == "manifest.jsonl"
        todo = "; or ".join(filter(None, [advice_on(error), "" if is_only_read else advice]))
        message = f"{error.filename or 'a file'}: {error.strerror or error}" + (f"; {todo}" if todo else "")
    print(f"error: {message}", file=sys.stderr)
    sys.exit(failure)
