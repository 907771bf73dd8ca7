"""What a task prints: every line begins with the time, and the part about a run is found again."""

import contextlib
import os
import re
from collections.abc import Sequence
from datetime import datetime, timezone

_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ "
_END = re.compile(rf"(?:{_TIME})?\d+/\d+ ([0-9a-f]{{16}})\b")  # logs of earlier versions have no times


def say(text: str) -> None:
    """Print lines, each behind the time (UTC, ISO 8601, to the second).

    A log that cannot be written (disk full, say) stops no task: so nothing stays in a buffer that would fail at the end.
    """
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    lines = "".join(f"{now} {line}\n" for line in text.splitlines())
    with contextlib.suppress(OSError):
        os.write(1, lines.encode(errors="backslashreplace"))


def end_of_run(number: int, n_runs: int, run_id: str, what: str) -> str:
    """The line that ends run `number` (from 1) of the `n_runs` of an attempt, on which `part_about` relies."""
    return f"{number}/{n_runs} {run_id} {' '.join(what.splitlines())}"


def part_about(lines: Sequence[str], run_id: str) -> list[list[str]]:
    """The parts of a log about a run, one for each time that it ended: all lines since the end of the run before it."""
    parts, begin = list[list[str]](), 0
    for place, line in enumerate(lines):
        if match := _END.match(line):
            if match[1] == run_id:
                parts.append(list(lines[begin : place + 1]))
            begin = place + 1
    return parts


def without_time(line: str) -> str:
    """A line of a log as it was given to `say`."""
    return re.sub(f"^{_TIME}", "", line)
