"""Writing and reading shards. A shard is the HDF5 file of one attempt of one task (jobs/image.py has its layout).

Each append builds the whole small file again in memory and publishes it (jobs/files.py). Nothing is modified in place. So a
reader needs no lock and no repair, and if a writer is killed, all acknowledged records stay.

HDF5 hangs or crashes on some damaged files. So only files with an intact seal are parsed here. A file with a broken seal is
parsed in a separate process (jobs/salvage.py), and its records with a right checksum are used.
"""

import errno
import io
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jobs.campaign import shard_prefix
from jobs.files import advice_on, publish
from jobs.image import SCHEMA_VERSION, SIGNATURE, Body, Record, ShardError, image, is_sealed, parse
from jobs.provenance import PROJECT_ROOT
from jobs.reading import open_regular

RECORDS_PER_PART = 256
Version = tuple[int, int, int]
_MOST_BYTES = 10**9  # in a shard; 256 records with thousands of epochs take much less
_SALVAGE_S = 60  # for a process that may use 5 s of CPU time, on a busy machine


class NotKept(Exception):
    """Results cannot be written. The message says where, why and what to do."""


@dataclass(frozen=True)
class Shard:
    """The contents of a shard. Arrays as in jobs/image.py; damaged: run_ids (n,) of records with a wrong crc32."""

    path: Path
    attributes: dict[str, Any]
    runs: np.ndarray
    history: np.ndarray
    correct: np.ndarray
    damaged: tuple[str, ...]

    @classmethod
    def of(cls, path: Path, body: Body) -> "Shard":
        """The part of a file's contents that can be trusted."""
        attributes, runs, history, correct, intact = body
        damaged = tuple(run_id.decode(errors="replace") for run_id in runs["run_id"][~intact])
        return cls(path, attributes, runs[intact], history[intact], correct[intact], damaged)

    def record(self, i: int) -> Record:
        """One of its records, as it can be written again."""
        row = {name: self.runs[name][i].item() for name in self.runs.dtype.names or () if name != "crc32"}
        fields: dict[str, Any] = {name: value.decode() if isinstance(value, bytes) else value for name, value in row.items()}
        return Record(**fields, history=self.history[i], correct=self.correct[i])


class ShardWriter:
    """Writes the shard of one attempt. A random token in the name keeps it apart from another writer of the same attempt."""

    def __init__(self, folder: Path, submission: int, task: int, attempt: int, attributes: dict[str, Any]) -> None:
        self._stem = folder / f"{shard_prefix(submission, task, attempt)}{secrets.token_hex(3)}"
        own = {"schema_version": SCHEMA_VERSION, "submission": submission, "task": task, "attempt": attempt}
        self._attributes = {**attributes, **own}
        self._part = 0
        self._records: list[Record] = []
        self._named: str | None = None  # current_run of the file on disk

    def begin(self, run_id: str) -> None:
        """Record which run is trained from now on (empty: none). Writes nothing if the shard already names it.

        The first call publishes a shard without records. This tests permissions, quota and rename before the first training.

        Raises:
            NotKept: results cannot be written here.
        """
        if run_id != self._named:
            self._publish(self._records, run_id)

    def append(self, record: Record, current_run: str = "") -> None:
        """Add a record. When this returns, the record survives a crash of the machine. current_run: the run that begins next.

        Raises:
            NotKept: the record is not kept (disk full, quota, ...); the earlier ones are untouched.
        """
        records = [*self._records, record]
        self._publish(records, current_run)
        if len(records) == RECORDS_PER_PART:
            self._part, records = self._part + 1, []
        self._records = records

    def _publish(self, records: list[Record], current_run: str) -> None:
        attributes = {**self._attributes, "part": self._part, "current_run": current_run}
        path, content = Path(f"{self._stem}-p{self._part:02d}.h5"), image(records, attributes)
        try:
            publish(path, content)
        except OSError as error:
            advice = advice_on(error)
            then = f"{advice}, then " if advice else ""
            raise NotKept(f"{path}: {error.strerror or error}; {then}submit again") from error
        self._named = current_run


def read_shard(path: Path) -> Shard:
    """Read a whole shard.

    Raises:
        ShardError: it is not a readable shard of this or an earlier schema version.
    """
    try:
        content = _content(path)
        body = parse(content) if is_sealed(content) else _salvaged(content)
    except ShardError as error:
        raise ShardError(f"{path}: {error}") from error
    except Exception as error:  # numpy raises many types for what it cannot read
        reason = getattr(error, "strerror", "") or f"{type(error).__name__}: {error}"
        raise ShardError(f"{path}: not readable as a shard ({reason})") from error
    return Shard.of(path, body)


def read_shards(paths: Iterable[Path], campaign: str) -> Iterator[Shard | str]:
    """Yield each shard of the campaign with this id; for any other file, a text that says what is wrong with it.

    Args:
        campaign: empty accepts shards of any campaign.
    """
    for path in paths:
        try:
            shard = read_shard(path)
        except ShardError as error:
            yield str(error)
            continue
        its_campaign = shard.attributes.get("campaign")
        if campaign in ("", its_campaign):
            yield shard
        else:
            yield f"{path}: of campaign {its_campaign}, not of {campaign}, which manifest.jsonl names; left out"


def version_of(path: Path) -> Version:
    """Values that change whenever the file is written: inode, size in bytes, and time in ns (because inodes are reused).

    Zeros if there is no file, for example behind a broken link. `read_shard` then says what is wrong.
    """
    try:
        status = path.stat()
    except OSError:
        return 0, 0, 0
    return status.st_ino, status.st_size, status.st_mtime_ns


def _content(path: Path) -> bytes:
    """All bytes of a regular file. On NFS the file may be missing during a rename, so it is tried again."""
    for tries_left in (2, 1, 0):
        try:
            with open_regular(path) as file:
                if os.fstat(file.fileno()).st_size > _MOST_BYTES:
                    raise ShardError(f"not readable as a shard (not a file of at most {_MOST_BYTES:,} bytes)")
                content = file.read()
            if not content.startswith(SIGNATURE):
                raise ShardError(f"not readable as a shard (not HDF5: it begins with {content[:8]!r})")
            return content
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ESTALE) or not tries_left:
                raise
            time.sleep(0.1)
    raise AssertionError


def _salvaged(content: bytes) -> Body:
    """As `parse`, but in a separate process, which may hang or crash."""
    command = [sys.executable, "-m", "jobs.salvage"]
    try:
        done = subprocess.run(command, input=content, capture_output=True, cwd=PROJECT_ROOT, timeout=_SALVAGE_S)
    except subprocess.TimeoutExpired:
        raise ShardError(f"not readable as a shard (damaged: HDF5 gave no answer in {_SALVAGE_S} s)") from None
    if done.returncode == 1:
        raise ShardError(done.stderr.decode(errors="replace").strip())
    if done.returncode:
        raise ShardError(f"not readable as a shard (damaged: HDF5 hangs or crashes, status {done.returncode})")
    with np.load(io.BytesIO(done.stdout), allow_pickle=False) as saved:
        return json.loads(str(saved["attributes"])), *(saved[name] for name in ("runs", "history", "correct", "intact"))
