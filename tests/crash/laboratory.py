"""Crash a new campaign at every point, in every way: `python -m tests.crash.laboratory` prints what a reader then finds.

Five writers: the project's; the same without the fsync of its files, without that of its folders, and without that of the
folders which hold a new folder; and a naive one. The last four prove that the laboratory finds losses
where there are some. The crash points are those of tests/crash/history.py, the states those of tests/crash/states.py, the
reader is the project's own.
"""

import argparse
import hashlib
import itertools
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from tests.crash.history import Acknowledge, Event, SyncFile, SyncFolder, record_history
from tests.crash.reading import Read, Reading, readers
from tests.crash.states import FAULT_MODELS, State
from tests.crash.writers import records

IS_STRUCK_OUT: dict[str, Callable[[Event], bool]] = {
    "project": lambda event: False,
    "project, files not synced": lambda event: isinstance(event, SyncFile),
    "project, folders not synced": lambda event: isinstance(event, SyncFolder),
    "project, new folders not synced": lambda event: isinstance(event, SyncFolder) and event.name in OUTER,
}
OUTER = (".", "results")  # they get the names of new folders, and of nothing else
BATCH = 200  # states in memory at one time


@dataclass(frozen=True)
class Row:
    """How many different states a writer's crash may leave; in how many of them something is wrong, and where first.

    lost: what was acknowledged before the crash is not found as it was written; doubled: it is found twice; unreadable: the
    reader refuses a file, crashes, or finds a record that is damaged or was never written.
    """

    writer: str
    fault_model: str
    crash_points: int
    states: int
    lost: int
    doubled: int
    unreadable: int
    first_loss: str


def histories(appends: int, records_per_part: int) -> dict[str, list[Event]]:
    """writer -> what it does in its folder."""
    project = _record("project", appends, records_per_part)
    struck_out = {name: [event for event in project if not is_it(event)] for name, is_it in IS_STRUCK_OUT.items()}
    return {**struck_out, "naive": _record("naive", appends, records_per_part)}


def examine(writer: str, history: list[Event], model: str, read: Read, known: dict[bytes, Reading]) -> Row:
    """Every crash point of one writer under one fault model. known: readings by digest of the state, filled."""
    last_points: dict[bytes, int] = {}  # at which most was acknowledged
    points = set()
    states = iter(tqdm(FAULT_MODELS[model](history), desc=f"{writer}; {model}", unit=" states", disable=None, leave=False))
    while batch := list(itertools.islice(states, BATCH)):
        unknown = {}
        for point, state in batch:
            points.add(point)
            digest = _digest(state)
            last_points[digest] = max(point, last_points.get(digest, 0))
            if digest not in known:
                unknown[digest] = state
        known.update(zip(unknown, read(unknown.values()), strict=True))
    return _row(writer, model, history, points, [(point, known[digest]) for digest, point in last_points.items()])


def _record(writer: str, *numbers: int) -> list[Event]:
    with tempfile.TemporaryDirectory(prefix="crash-") as folder:
        program = [sys.executable, "-m", "tests.crash.writers", writer, folder, *map(str, numbers)]
        return record_history(program, Path(folder))


def _row(writer: str, model: str, history: list[Event], points: set[int], found: list[tuple[int, Reading]]) -> Row:
    missing = [(point, _acknowledged(history[:point]) - set(reading.found), reading.problems) for point, reading in found]
    losses = sorted((point, sorted(what), problems) for point, what, problems in missing if what)
    return Row(
        writer,
        model,
        len(points),
        len(found),
        len(losses),
        sum(len(reading.found) > len(set(reading.found)) for _, reading in found),
        sum(bool(reading.problems) for _, reading in found),
        "after event {}: {} lost; {}".format(*losses[0]) if losses else "",
    )


def _acknowledged(events: list[Event]) -> set[str]:
    return {event.what for event in events if isinstance(event, Acknowledge)}


def _digest(state: State) -> bytes:
    parts = [(name, hashlib.sha256(content).digest()) for name, content in sorted(state.items())]
    return hashlib.sha256(repr(parts).encode()).digest()


def main() -> None:
    """Print the table of docs/guarantees.md."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.laboratory", description=__doc__.split("\n")[0])
    parser.add_argument("--appends", type=int, default=12, help="records that each writer appends (default: %(default)s)")
    parser.add_argument("--per-part", type=int, default=8, help="records at which a new part begins (default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.appends < 2 or arguments.per_part < 1:
        parser.error(f"--appends {arguments.appends} --per-part {arguments.per_part}: allowed: at least 2, at least 1")
    print("| writer | fault model | crash points | states | lost | doubled | unreadable |\n|---|---|---|---|---|---|---|")
    with readers(records(arguments.appends)) as read:
        for writer, history in histories(arguments.appends, arguments.per_part).items():
            known: dict[bytes, Reading] = {}
            for model in FAULT_MODELS:
                row = examine(writer, history, model, read, known)
                numbers = (row.crash_points, row.states, row.lost, row.doubled, row.unreadable)
                print(f"| {writer} | {model} | {' | '.join(f'{n:,}' for n in numbers)} |", flush=True)


if __name__ == "__main__":
    main()
