"""The shard: the HDF5 file that one attempt of one task writes. Layout, append, read.

`runs`     compound (n,): one record a run, the last field a crc32 of the whole record
`history`  float64 (n, 3, epochs): train_loss, test_loss, test_accuracy by epoch, padded with NaN
`correct`  uint8 (n, bytes): one bit per test image, right or wrong (numpy.packbits)
attributes schema_version, campaign, submission, task, attempt, part, code_commit, host, cpu, versions, ...

An append builds the whole small file anew in memory and publishes it (jobs/files.py): nothing is modified in place, so
a reader needs no lock and no repair, and a killed writer leaves what it had acknowledged.
"""

import errno
import io
import secrets
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from jobs.campaign import shard_prefix
from jobs.files import publish

SCHEMA_VERSION = 1
RECORDS_PER_PART = 256
HISTORY = ("train_loss", "test_loss", "test_accuracy")
Version = tuple[int, int, int]
FINISHED = ("ok", "chance", "diverged")  # statuses of a run that is done; the other one is "failed"

# Strings are as wide as the longest in the file: fixed-length ones survive what variable-length ones do not.
_COLUMNS: tuple[tuple[str, str, str], ...] = (  # name, dtype, unit
    ("run_id", "S", ""),
    ("spec", "S", "canonical JSON"),
    ("status", "S", "ok, chance, diverged or failed"),
    ("message", "S", "why a run failed"),
    ("test_accuracy", "<f8", "fraction"),
    ("test_loss", "<f8", "nat"),
    ("n_correct", "<i4", "test images"),
    ("n_test", "<i4", "test images"),
    ("n_parameters", "<i8", ""),
    ("wall_s", "<f8", "s"),
    ("cpu_s", "<f8", "s"),
    ("peak_mem_mb", "<f8", "10**6 bytes"),
    ("finished_at_s", "<f8", "s since 1970-01-01 UTC"),
    ("crc32", "<u4", "zlib.crc32 of the record's other bytes, its history and its correct"),
)


class ShardError(Exception):
    """A shard cannot be read or trusted; the message names the file and why."""


@dataclass(frozen=True)
class Record:
    """What is kept of one execution of a run: the columns of `runs`, the history and the bits of `RunResult`."""

    run_id: str
    spec: str
    status: str
    message: str = ""
    test_accuracy: float = np.nan
    test_loss: float = np.nan
    n_correct: int = 0
    n_test: int = 0
    n_parameters: int = 0
    wall_s: float = np.nan
    cpu_s: float = np.nan
    peak_mem_mb: float = np.nan
    finished_at_s: float = field(default_factory=time.time)
    history: np.ndarray = field(default_factory=lambda: np.empty((3, 0)))  # float64 (3, epochs), rows as in HISTORY
    correct: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint8))


@dataclass(frozen=True)
class Shard:
    """A shard as read. Arrays as in the module's description; damaged: run_ids (n,) of records whose crc32 is wrong."""

    path: Path
    attributes: dict[str, Any]
    runs: np.ndarray
    history: np.ndarray
    correct: np.ndarray
    damaged: tuple[str, ...]


class ShardWriter:
    """Writes the shard of one attempt. One writer per name: a random token keeps a zombie and its successor apart."""

    def __init__(self, folder: Path, submission: int, task: int, attempt: int, attributes: dict[str, Any]) -> None:
        self._stem = folder / f"{shard_prefix(submission, task, attempt)}{secrets.token_hex(3)}"
        own = {"schema_version": SCHEMA_VERSION, "submission": submission, "task": task, "attempt": attempt}
        self._attributes = {**attributes, **own}
        self._part = 0
        self._records: list[Record] = []

    def start(self, current_run: str) -> None:
        """Publish an empty shard before the first training: it proves rights, quota and rename, and names the run at work.

        Raises:
            OSError: results could not be kept here.
        """
        self._publish([], current_run)

    def append(self, record: Record, current_run: str = "") -> None:
        """Add a record; when this returns, it is kept whatever happens. `current_run`: the run that is begun next.

        Raises:
            OSError: the record is not kept (disk full, quota, ...); the earlier ones are untouched.
        """
        records = [*self._records, record]
        self._publish(records, current_run)
        if len(records) == RECORDS_PER_PART:
            self._part, records = self._part + 1, []
        self._records = records

    def _publish(self, records: list[Record], current_run: str) -> None:
        attributes = {**self._attributes, "part": self._part, "current_run": current_run}
        publish(Path(f"{self._stem}-p{self._part:02d}.h5"), _image(records, attributes))


def read_shard(path: Path) -> Shard:
    """Read a whole shard.

    Raises:
        ShardError: it is not a readable shard of this or an earlier schema version.
    """
    try:
        with _open(path) as file:
            attributes = _attributes(file)
            _check_version(path, attributes)
            runs, history, correct = (_read(file, name) for name in (b"runs", b"history", b"correct"))
            if not len(runs) == len(history) == len(correct):
                raise ShardError(f"{path}: {len(runs)} runs with {len(history)} histories and {len(correct)} rows of bits")
            intact = runs["crc32"] == _crc32s(runs, history, correct)
    except ShardError:
        raise
    except Exception as error:  # h5py raises OSError, KeyError, ValueError, RuntimeError, TypeError on damaged files
        raise ShardError(f"{path}: not readable as a shard ({type(error).__name__}: {error})") from error
    damaged = tuple(run_id.decode(errors="replace") for run_id in runs["run_id"][~intact])
    return Shard(path, attributes, runs[intact], history[intact], correct[intact], damaged)


def read_shards(paths: Iterable[Path], campaign: str) -> Iterator[Shard | str]:
    """Each shard of the campaign with this id, in turn; what is wrong with a file, in words, where it is not one.

    Args:
        campaign: empty if any campaign will do.
    """
    for path in paths:
        try:
            shard = read_shard(path)
        except ShardError as error:
            yield str(error)
            continue
        its_campaign = shard.attributes.get("campaign")
        yield (
            f"{path}: of campaign {its_campaign}, not of {campaign}; left out" if campaign not in ("", its_campaign) else shard
        )


def version_of(path: Path) -> Version:
    """What changes whenever the file is written: inode, size in bytes, time in ns (file systems reuse inodes)."""
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def no_runs() -> np.ndarray:
    """The table `runs` of a shard without records, (0,): its columns and their kinds."""
    return _arrays([])[0]


# Through h5py's low-level interface: its comforts take three quarters of the time.


def _attributes(file: h5py.File) -> dict[str, Any]:
    found = {}
    for i in range(h5py.h5a.get_num_attrs(file.id)):
        attribute = h5py.h5a.open(file.id, index=i)
        value = np.empty(attribute.shape, _dtype(attribute.get_type().encode()))
        attribute.read(value)
        content: Any = value[()]
        found[attribute.name.decode()] = content.decode(errors="replace") if isinstance(content, bytes) else content
    return found


def _read(file: h5py.File, name: bytes) -> np.ndarray:
    """A whole dataset."""
    dataset = h5py.h5d.open(file.id, name)
    kind = dataset.get_type()
    values = np.empty(dataset.shape, _dtype(kind.encode()))
    dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, values, mtype=kind)
    return values


@lru_cache
def _dtype(encoded_type: bytes) -> np.dtype:
    return h5py.h5t.decode(encoded_type).dtype


def _open(path: Path) -> h5py.File:
    """HDF5's own locks are off: they fail on NFS and GPFS, and would stop a writer. A rename on NFS may need another look."""
    for tries_left in (2, 1, 0):
        try:
            return h5py.File(path, "r", locking=False)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ESTALE) or not tries_left:
                raise
            time.sleep(0.1)
    raise AssertionError


def _check_version(path: Path, attributes: dict[str, Any]) -> None:
    version = attributes.get("schema_version")
    if version is None or int(version) > SCHEMA_VERSION:
        raise ShardError(
            f"{path}: schema version {version}, and this version of the code reads 1 to {SCHEMA_VERSION}; update the code"
        )


def _image(records: list[Record], attributes: dict[str, Any]) -> bytes:
    runs, history, correct = _arrays(records)
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        file.attrs.update(attributes)
        table = file.create_dataset("runs", data=runs)
        for name, _, unit in _COLUMNS:
            table.attrs[f"unit_{name}"] = unit
        file.create_dataset("history", data=history).attrs.update(
            quantities=list(HISTORY), units=["nat", "nat", "fraction"], dimensions="run quantity epoch"
        )
        file.create_dataset("correct", data=correct).attrs.update(
            dimensions="run byte", packing="numpy.packbits, most significant bit first"
        )
    return memory.getvalue()


def _arrays(records: list[Record]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    texts = {name: [getattr(r, name).encode() for r in records] for name, kind, _ in _COLUMNS if kind == "S"}
    dtype = [(name, f"S{max([1, *map(len, texts[name])])}" if kind == "S" else kind) for name, kind, _ in _COLUMNS]
    runs = np.zeros(len(records), dtype)
    for name, kind, _ in _COLUMNS:
        if name != "crc32":
            runs[name] = texts[name] if kind == "S" else [getattr(r, name) for r in records]
    history = np.full((len(records), len(HISTORY), max([0, *(r.history.shape[1] for r in records)])), np.nan)
    correct = np.zeros((len(records), max([0, *(len(r.correct) for r in records)])), np.uint8)
    for i, record in enumerate(records):
        history[i, :, : record.history.shape[1]] = record.history
        correct[i, : len(record.correct)] = record.correct
    runs["crc32"] = _crc32s(runs, history, correct)
    return runs, history, correct


def _crc32s(runs: np.ndarray, history: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """uint32 (n,): the crc32 of each record as it lies in the file."""
    n_own_bytes = runs.dtype.itemsize - runs.dtype["crc32"].itemsize  # the crc32 is the last field
    own, rows, bits = _bytes_of(runs)[:, :n_own_bytes], _bytes_of(history), _bytes_of(correct)
    crc32s = [zlib.crc32(c, zlib.crc32(b, zlib.crc32(a))) for a, b, c in zip(own, rows, bits, strict=True)]
    return np.array(crc32s, dtype=np.uint32)


def _bytes_of(records: np.ndarray) -> np.ndarray:
    """uint8 (n, bytes of a record): the same memory."""
    n_bytes = records[:1].nbytes if len(records) else 0
    return np.ascontiguousarray(records).view(np.uint8).reshape(len(records), n_bytes)
