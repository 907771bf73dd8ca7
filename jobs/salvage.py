"""python -m jobs.salvage < SHARD > ARRAYS: read a shard with a broken seal, in a process that may hang or crash.

ARRAYS is numpy's npz of `runs`, `history`, `correct`, `intact`, and the attributes as JSON. Exit status 1: the shard is
not readable, and standard error says why. Any other status: HDF5 crashed, or exceeded the limits below.
"""

import contextlib
import io
import json
import sys

import numpy as np

from jobs.image import ShardError, parse

try:
    import resource
except ImportError:  # Windows, where only the time of this process is limited (jobs/shard.py)
    resource = None  # type: ignore[assignment]

_LIMITS = {"RLIMIT_CPU": 5, "RLIMIT_AS": 4 * 10**9, "RLIMIT_CORE": 0}  # seconds, bytes, bytes


def main() -> None:
    """The command line above."""
    for name, most in _LIMITS.items() if resource else ():
        with contextlib.suppress(ValueError):  # macOS refuses a limit on memory below what the process has reserved
            resource.setrlimit(getattr(resource, name), (most, most))
    try:
        arrays = salvage(sys.stdin.buffer.read())
    except ShardError as error:
        sys.exit(str(error))
    sys.stdout.buffer.write(arrays)


def salvage(content: bytes) -> bytes:
    """The arrays of a shard, as npz. HDF5 may hang or crash on damaged content.

    Raises:
        ShardError: it is not readable.
    """
    try:
        attributes, runs, history, correct, intact = parse(content)
        plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in attributes.items()}
        saved = io.BytesIO()
        np.savez(saved, attributes=json.dumps(plain), runs=runs, history=history, correct=correct, intact=intact)
    except ShardError:
        raise
    except Exception as error:  # numpy and json raise many types
        raise ShardError(f"not readable as a shard ({type(error).__name__}: {error})") from error
    return saved.getvalue()


if __name__ == "__main__":
    main()
