"""A task's log: how its lines are written, and how the part about one run is found."""

import contextlib
import os
import re
from collections.abc import Sequence
from datetime import datetime, timezone

_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ "
_END = re.compile(rf"(?:{_TIME})?\d+/\d+ ([0-9a-f]{{16}})\b")  # logs of earlier versions have no times


def say(text: str) -> None:
    """Print lines. Each begins with the time (UTC, ISO 8601, to the second).

    If a log cannot be written (for example because the disk is full), the task goes on. The text is not buffered, because a
    buffer that
    cannot be flushed would change the exit status.
    """
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    lines = "".join(f"{now} {line}\n" for line in text.splitlines())
    with contextlib.suppress(OSError):
        os.write(1, lines.encode(errors="backslashreplace"))


def end_of_run(number: int, n_runs: int, run_id: str, what: str) -> str:
    """The line that ends run `number` (from 1) of the `n_runs` of an attempt. `part_about` relies on its form."""
    return f"{number}/{n_runs} {run_id} {' '.join(what.splitlines())}"


def part_about(lines: Sequence[str], run_id: str) -> list[list[str]]:
    """The parts of a log about a run, one for each end of it: all lines since the end of the run before."""
    parts, begin = list[list[str]](), 0
    for place, line in enumerate(lines):
        if match := _END.match(line):
            if match[1] == run_id:
                parts.append(list(lines[begin : place + 1]))
            begin = place + 1
    return parts


def without_time(line: str) -> str:
    """A line of a log without the time at its beginning."""
    return re.sub(f"^{_TIME}", "", line)
