"""Printing by commands: characters that cannot be shown are escaped, a failure to print is an error, and 1 has no plural."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class NotPrinted(Exception):
    """Standard output could not be written. The message says why."""


@contextmanager
def printing() -> Iterator[None]:
    """A context for everything that a command does. At its end, all printed text has left the process.

    Raises:
        BrokenPipeError: nobody reads standard output any more.
        NotPrinted: standard output cannot be written, for example because the disk is full.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    more, is_interrupted = "", False
    try:
        yield
    except KeyboardInterrupt:  # its terminal may be gone
        is_interrupted = True
        raise
    except OSError as error:
        more = "" if error.filename else "\n"  # if standard output caused the error, it fails again here
        raise
    finally:
        try:
            if sys.stdout:
                print(more, end="", flush=True)
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # because Python flushes once more when it ends
            if isinstance(error, BrokenPipeError):
                raise
            if not is_interrupted:
                raise NotPrinted(f"standard output: {error.strerror}; not everything was printed") from error


def count(n: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")
