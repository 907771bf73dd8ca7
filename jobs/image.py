"""The bytes of a shard: their layout, how they are made, and how they are read.

`runs`     compound (n,): one record for each run; the last field is a crc32 of the whole record
`history`  float64 (n, 3, epochs): train_loss, test_loss, test_accuracy by epoch, padded with NaN
`correct`  uint8 (n, bytes): one bit per test image, right or wrong (numpy.packbits)
attributes schema_version, campaign, submission, task, attempt, part, code_commit, host, cpu, versions, ..., their crc32
seal       15 bytes after the HDF5 data: `crc32=`, the crc32 of all earlier bytes in hexadecimal, and a line end
"""

import contextlib
import io
import math
import time
import zlib
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import numpy as np

from jobs.reading import crc32_of, open_regular

SCHEMA_VERSION = 1
HISTORY = ("train_loss", "test_loss", "test_accuracy")
FINISHED = ("ok", "chance", "diverged")  # statuses of a done run; the only other status is "failed"
SEAL = b"crc32=%08x\n"  # the last bytes of a file, with the crc32 of all bytes before them
SIGNATURE = b"\x89HDF\r\n\x1a\n"  # the first bytes of HDF5 files
_NEEDED: dict[str, Any] = {  # attributes that readers rely on
    **dict.fromkeys(("campaign", "current_run"), str),
    **dict.fromkeys(("submission", "task", "attempt", "part"), (int, np.integer)),
}

# Strings have a fixed length, that of the longest one in the file. They survive damage that destroys variable-length strings.
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
_TEXTS = tuple(name for name, kind, _ in _COLUMNS if kind == "S")

# attributes, runs, history, correct, intact: bool (n,), whether the crc32 of a record is right
Body: TypeAlias = tuple[dict[str, Any], np.ndarray, np.ndarray, np.ndarray, np.ndarray]


class ShardError(Exception):
    """A shard cannot be read or trusted. The message names the file and the reason."""


@dataclass(frozen=True)
class Record:
    """The result of one execution of a run: the columns of `runs`, the history and the bits of `RunResult`."""

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


def image(records: list[Record], attributes: dict[str, Any]) -> bytes:
    """The bytes of a shard with these records."""
    runs, history, correct = _arrays(records)
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        file.attrs.update(attributes, attributes_crc32=_attributes_crc32(attributes))
        table = file.create_dataset("runs", data=runs)
        for name, _, unit in _COLUMNS:
            table.attrs[f"unit_{name}"] = unit
        file.create_dataset("history", data=history).attrs.update(
            quantities=list(HISTORY), units=["nat", "nat", "fraction"], dimensions="run quantity epoch"
        )
        file.create_dataset("correct", data=correct).attrs.update(
            dimensions="run byte", packing="numpy.packbits, most significant bit first"
        )
    return sealed(memory)


def sealed(memory: io.BytesIO) -> bytes:
    """Add the seal to a file in memory, and return its content without copying it, because it may be large."""
    with memory.getbuffer() as content:
        seal = _seal(content)
    memory.seek(0, io.SEEK_END)
    memory.write(seal)
    return memory.getvalue()


def _seal(content: bytes | memoryview) -> bytes:
    return SEAL % zlib.crc32(content)


def is_sealed(content: bytes) -> bool:
    """Whether the seal fits, so that every byte is as it was written."""
    return content.endswith(_seal(memoryview(content)[: -len(_seal(b""))]))


def is_file_sealed(path: Path) -> bool:
    """As `is_sealed`, for a file of any size; false if it cannot be read."""
    with contextlib.suppress(OSError), open_regular(path) as file:
        n_bytes = path.stat().st_size - len(SEAL % 0)
        return n_bytes > 0 and SEAL % crc32_of(file, n_bytes) == file.read()
    return False


def parse(content: bytes) -> Body:
    """Read the bytes of a shard.

    Raises:
        ShardError: it is not a shard of this or an earlier schema version; the message does not name the file.
    """
    try:
        with h5py.File(h5py.h5f.open_file_image(content)) as file:
            attributes = _attributes(file)
            _check_attributes(attributes)
            runs, history, correct = (_read(file, name, len(content)) for name in ("runs", "history", "correct"))
        if not (len(runs) == len(history) == len(correct) and history.shape[1] == len(HISTORY)):
            shapes = f"runs {runs.shape}, history {history.shape}, correct {correct.shape}"
            raise ShardError(f"not readable as a shard ({shapes})")
        intact = runs["crc32"] == _crc32s(runs, history, correct)
        for name in _TEXTS:
            b"\n".join(runs[name][intact].tolist()).decode()
    except ShardError:
        raise
    except Exception as error:  # h5py raises OSError, KeyError, ValueError, RuntimeError, TypeError on damaged files
        raise ShardError(f"not readable as a shard ({type(error).__name__}: {error})") from error
    return attributes, runs, history, correct, intact


def no_runs() -> np.ndarray:
    """The table `runs` of a shard without records, (0,). Its dtype has all columns."""
    return _arrays([])[0]


def _check_attributes(attributes: dict[str, Any]) -> None:
    """Check the version, the attributes that readers need, and the checksum.

    Raises:
        ShardError: one of them is wrong.
    """
    version = attributes.get("schema_version")
    if not isinstance(version, int | np.integer):
        raise ShardError(f"not readable as a shard (schema version {version})")
    if version > SCHEMA_VERSION:
        raise ShardError(f"schema version {version}, and this version of the code reads 1 to {SCHEMA_VERSION}; update the code")
    kinds: dict[str, Any] = dict.fromkeys(attributes, (str, int, np.integer)) | _NEEDED
    wrong = [name for name, kind in kinds.items() if not isinstance(attributes.get(name), kind)]
    if wrong:
        raise ShardError(f"not readable as a shard (attributes missing or of another kind: {', '.join(map(ascii, wrong))})")
    expected = attributes.pop("attributes_crc32", None)
    if expected is not None and expected != _attributes_crc32(attributes):
        raise ShardError("not readable as a shard (attributes are damaged: crc32)")


def _attributes_crc32(attributes: dict[str, Any]) -> int:
    return zlib.crc32("\n".join(f"{name}={value}" for name, value in sorted(attributes.items())).encode())


# Reading uses h5py's low-level interface, because the high-level one takes four times as long.


def _attributes(file: h5py.File) -> dict[str, Any]:
    found = {}
    for i in range(h5py.h5a.get_num_attrs(file.id)):
        attribute = h5py.h5a.open(file.id, index=i)
        value = np.empty(attribute.shape, _dtype(attribute.get_type().encode()))
        attribute.read(value)
        content: Any = value[()]
        found[attribute.name.decode(errors="replace")] = content.decode() if type(content) is bytes else content
    return found


def _read(file: h5py.File, name: str, most_bytes: int) -> np.ndarray:
    """A whole dataset."""
    dataset = h5py.h5d.open(file.id, name.encode())
    kind = dataset.get_type()
    found, shape = _dtype(kind.encode()), dataset.shape
    dtype = _wanted(name, found)  # equal to the dtype found, but without h5py's metadata, which numpy.savez cannot write
    # With another dtype, the same bytes are other values. A checksum of bytes does not notice this.
    if found != dtype or len(shape) != {"runs": 1, "history": 3, "correct": 2}[name]:
        raise ShardError(f"not readable as a shard ({name}: columns missing or of another kind)")
    if dtype.itemsize * math.prod(shape) > most_bytes:  # reading a dataset of a damaged size could take any amount of memory
        raise ShardError(f"not readable as a shard ({name}: of shape {shape}, more than the file holds)")
    values = np.empty(shape, dtype)
    dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, values, mtype=kind)
    return values


@lru_cache
def _dtype(encoded_type: bytes) -> np.dtype:
    return h5py.h5t.decode(encoded_type).dtype


def _wanted(name: str, found: np.dtype) -> np.dtype:
    """The dtype that a dataset must have, with the string lengths of the dtype `found`."""
    if name != "runs":
        return np.dtype("<f8" if name == "history" else "u1")
    widths = {name: found[name].itemsize for name in found.names or ()}
    return np.dtype([(name, f"S{widths.get(name, 1)}" if kind == "S" else kind) for name, kind, _ in _COLUMNS])


def _arrays(records: list[Record]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    texts = {name: [getattr(r, name).encode(errors="backslashreplace") for r in records] for name in _TEXTS}
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
    """uint32 (n,): the crc32 of the bytes of each record in the file."""
    n_own_bytes = runs.dtype.itemsize - runs.dtype["crc32"].itemsize  # the crc32 is the last field
    own, rows, bits = _bytes_of(runs)[:, :n_own_bytes], _bytes_of(history), _bytes_of(correct)
    crc32s = [zlib.crc32(c, zlib.crc32(b, zlib.crc32(a))) for a, b, c in zip(own, rows, bits, strict=True)]
    return np.array(crc32s, dtype=np.uint32)


def _bytes_of(records: np.ndarray) -> np.ndarray:
    """uint8 (n, bytes of a record): a view of the same memory."""
    n_bytes = records[:1].nbytes if len(records) else 0
    return np.ascontiguousarray(records).view(np.uint8).reshape(len(records), n_bytes)
