"""How the commands of this room begin and end: without a screen; one mapping of errors to exit statuses."""

import os
import sys
from collections.abc import Callable
from typing import NoReturn

from jobs.files import advice_on
from jobs.printing import NotPrinted, printing


def without_screen() -> None:
    """Before matplotlib is loaded: figures are files here, and it refuses some values of MPLBACKEND that users have."""
    os.environ["MPLBACKEND"] = "agg"


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
        advice: what to type after an error of a file, if nothing better is known.
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
    except BrokenPipeError:
        os._exit(if_closed)
    except OSError as error:
        todo = "; or ".join(filter(None, [advice_on(error), advice]))
        message = f"{error.filename or 'a file'}: {error.strerror or error}" + (f"; {todo}" if todo else "")
    print(f"error: {message}", file=sys.stderr)
    sys.exit(failure)
