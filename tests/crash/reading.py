"""What the project's own reader finds in a state: read in processes of their own, since HDF5 may crash or hang on it."""

import dataclasses
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

from hpc.state import submissions
from jobs.campaign import Campaign
from jobs.image import Record, ShardError, is_sealed, parse
from jobs.manifest import ManifestError, MissingError, read_manifest
from jobs.shard import Shard, read_shards
from jobs.taskfile import read_task_runs
from tests.crash.states import State
from tests.crash.writers import campaign_in

CPU_LIMIT_S = 0.5  # for what takes some milliseconds; CPU time, since a busy machine must not fail a reader
_COLUMNS = [column.name for column in dataclasses.fields(Record) if column.name not in ("history", "correct")]


@dataclasses.dataclass(frozen=True)
class Reading:
    """found: what is as it was written, named as the writer acknowledges it; problems: all else that the reader meets."""

    found: tuple[str, ...]
    problems: tuple[str, ...]


Read = Callable[[Iterable[State]], Iterator[Reading]]  # one reading a state, in order


@contextmanager
def readers(written: list[Record]) -> Iterator[Read]:
    """One reading process a core; they know what was written."""
    texts = {record.run_id: _text(dataclasses.asdict(record), record.history, record.correct) for record in written}
    n = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(n) as threads:
        processes = [_Process(Path(folder), texts) for _ in range(n)]
        idle = SimpleQueue[_Process]()
        for process in processes:
            idle.put(process)

        def read(state: State) -> Reading:
            process = idle.get()
            try:
                return process.read(state)
            finally:
                idle.put(process)

        try:
            yield lambda states: threads.map(read, states)
        finally:
            for process in processes:
                process.stop()


class _Process:
    """A child that reads one state after the other, and its successors."""

    def __init__(self, *arguments: Any) -> None:
        self._arguments = arguments
        self._start()

    def read(self, state: State) -> Reading:
        self._pipe.send(state)
        try:
            return self._pipe.recv()
        except EOFError:
            self.stop()
            self._start()
            return Reading((), (f"the reader died, or took more than {CPU_LIMIT_S} CPU s",))

    def stop(self) -> None:
        self._child.kill()
        self._child.join()
        self._pipe.close()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, its_end = context.Pipe()
        self._child = context.Process(target=_serve, args=(its_end, *self._arguments), daemon=True)
        self._child.start()
        its_end.close()


def _serve(pipe: Connection, folder: Path, texts: dict[str, str]) -> None:
    while True:
        state = pipe.recv()
        signal.setitimer(signal.ITIMER_PROF, CPU_LIMIT_S)  # ends the process, also within HDF5
        with tempfile.TemporaryDirectory(dir=folder) as fresh:
            pipe.send(_read_state(Path(fresh), state, texts))


def put(folder: Path, state: State) -> Campaign:
    """Make a state in an empty folder; the campaign in it."""
    for name, content in state.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return campaign_in(folder)


def _read_state(folder: Path, state: State, texts: dict[str, str]) -> Reading:
    campaign = put(folder, state)
    its_id, found, problems = _beginning(campaign)
    for shard in _shards(campaign, its_id):
        if isinstance(shard, str):
            problems.append(shard)
            continue
        problems += [f"run {run_id}: damaged" for run_id in shard.damaged]
        for run, history, correct in zip(shard.runs, shard.history, shard.correct, strict=True):
            row = {name: run[name].decode() if isinstance(run[name], bytes) else run[name].item() for name in _COLUMNS}
            if _text(row, history, correct) == texts.get(row["run_id"]):
                found.append(row["run_id"])
            else:
                problems.append(f"run {row['run_id']}: not what was written")
    return Reading(tuple(found), tuple(problems))


def _beginning(campaign: Campaign) -> tuple[str, list[str], list[str]]:
    """The campaign's id (empty if it has none yet), and what is found of its manifest and its first submission."""
    found, problems, its_id = list[str](), list[str](), ""
    try:
        its_id = read_manifest(campaign.manifest).header.campaign
        found.append("manifest")
    except MissingError:
        pass
    except ManifestError as error:
        problems.append(str(error))
    try:
        for submission in submissions.read_all(campaign):
            read_task_runs(campaign.tasks(submission.number))
            found.append("submission")
    except ManifestError as error:
        problems.append(str(error))
    return its_id, found, problems


def _shards(campaign: Campaign, its_id: str) -> Iterator[Shard | str]:
    """As `read_shards`; but what that gives to a process of its own, a file without a seal, is parsed here: this is one."""
    for path in campaign.shard_paths():
        content = path.read_bytes()
        if is_sealed(content):
            yield from read_shards([path], its_id)
            continue
        try:
            yield Shard.of(path, parse(content))
        except ShardError as error:
            yield str(error)


def _text(columns: dict[str, Any], history: np.ndarray, correct: np.ndarray) -> str:
    """All of a record, without the padding that a shard gives it."""
    epochs = history[:, ~np.isnan(history).all(axis=0)]
    return repr([[columns[name] for name in _COLUMNS], epochs.tolist(), correct.tobytes().rstrip(b"\0")])
