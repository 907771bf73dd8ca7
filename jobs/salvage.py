"""python -m jobs.salvage < SHARD > ARRAYS: read a shard with a broken seal, in a process that may hang or crash.

ARRAYS is numpy's npz of `runs`, `history`, `correct`, `intact`, and the attributes as JSON. Exit status 1: the shard is
not readable, and standard error says why. Any other: HDF5 crashed, or exceeded the limits below.
"""

import io
import json
import resource
import sys

import numpy as np

from jobs.image import ShardError, parse

_CPU_S = 5
_MEMORY_BYTES = 4 * 10**9


def main() -> None:
    """The command line above."""
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        attributes, runs, history, correct, intact = parse(sys.stdin.buffer.read())
        plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in attributes.items()}
        saved = io.BytesIO()
        np.savez(saved, attributes=json.dumps(plain), runs=runs, history=history, correct=correct, intact=intact)
    except ShardError as error:
        sys.exit(str(error))
    except Exception as error:  # numpy and json raise many kinds
        sys.exit(f"not readable as a shard ({type(error).__name__}: {error})")
    sys.stdout.buffer.write(saved.getvalue())


if __name__ == "__main__":
    main()
