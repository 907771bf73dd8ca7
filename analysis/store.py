"""results.h5: the merged campaign, one array a column, with named dimensions and units.

Dimensions (HDF5 dimension scales, which xarray knows): `run`, every run of the manifest in its order; `epoch`, from 1; `byte`.
Histories and bits may be larger than memory: they go past HDF5 to their place in the file, row by row. All else is small.
"""

import os
from collections.abc import Mapping
from itertools import pairwise
from typing import BinaryIO

import h5py
import numpy as np
import pandas as pd

from jobs.image import HISTORY

_ON_DISK = (*(f"history_{name}" for name in HISTORY), "correct")
RECORDED = "merge/recorded"  # in a group of its own: xarray opens a file without its groups
_BLOCK_BYTES = 2**24
_SHORT_BYTES = 200
_UNITS = {
    "test_accuracy": "1",
    "test_loss": "nat",
    "wall_s": "s",
    "cpu_s": "s",
    "peak_mem_mb": "MB",
    "finished_at_s": "seconds since 1970-01-01",
    "history_train_loss": "nat",
    "history_test_loss": "nat",
    "history_test_accuracy": "1",
}


class Rows:
    """The histories and bits of a results.h5, read and written by row; shape: (runs, epochs, bytes)."""

    def __init__(self, file: BinaryIO) -> None:
        with h5py.File(file.name, "r", locking=False) as h5:
            arrays = [h5[name] for name in _ON_DISK]
            self._places = [(array.id.get_offset() or 0, array.dtype, array.shape[1]) for array in arrays]
            self.shape: tuple[int, ...] = (*arrays[0].shape, arrays[-1].shape[1])
        self._file = file

    def write(self, rows: np.ndarray, history: np.ndarray, correct: np.ndarray) -> None:
        """Put records into their rows; what is wider than the file (padding for another run of the shard) is cut off.

        Args:
            rows: int64 (k,), ascending.
            history: float64 (k, 3, epochs), as in a shard.
            correct: uint8 (k, bytes), as in a shard.
        """
        bounds = [0, *(np.flatnonzero(np.diff(rows) != 1) + 1), len(rows)] if len(rows) else []
        for (offset, dtype, width), values in zip(self._places, [*history.swapaxes(0, 1), correct], strict=True):
            padded = np.full((len(rows), width), np.nan if dtype.kind == "f" else 0, dtype)
            padded[:, : values.shape[1]] = values[:, :width]
            for start, end in pairwise(bounds):
                self._file.seek(offset + int(rows[start]) * padded[0].nbytes)
                self._file.write(padded[start:end].data)

    def clear(self, rows: np.ndarray) -> None:
        """Rows (ascending) without a record: histories of NaN."""
        n_a_time = max(1, _BLOCK_BYTES // (8 * len(HISTORY) * max(1, self.shape[1])))
        for start in range(0, len(rows), n_a_time):
            some = rows[start : start + n_a_time]
            self.write(some, np.empty((len(some), len(HISTORY), 0)), np.empty((len(some), 0), np.uint8))

    def copy_from(self, other: "Rows") -> None:
        """Take over all rows of a file of the same shape."""
        for (offset, dtype, width), (source, *_) in zip(self._places, other._places, strict=True):
            n_bytes = self.shape[0] * width * dtype.itemsize
            other._file.seek(source)
            self._file.seek(offset)
            for left in range(n_bytes, 0, -_BLOCK_BYTES):
                self._file.write(other._file.read(min(left, _BLOCK_BYTES)))


def lay_out(file: BinaryIO, n_runs: int, n_epochs: int, n_bytes: int) -> Rows:
    """Begin a results.h5 in an empty file: the dimensions, and room for the rows.

    Raises:
        OSError: there is no room.
    """
    with h5py.File(file.name, "w", locking=False) as h5:
        for name, coordinate in (("run", np.arange(n_runs)), ("epoch", np.arange(n_epochs) + 1), ("byte", np.arange(n_bytes))):
            h5.create_dataset(name, data=coordinate).make_scale(name)
        early = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        early.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        early.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        for name in _ON_DISK:
            dimension, dtype = ("byte", "u1") if name == "correct" else ("epoch", "f8")
            space = h5py.h5s.create_simple((n_runs, len(h5[dimension])))
            h5py.h5d.create(h5.id, name.encode(), h5py.h5t.py_create(np.dtype(dtype)), space, early)
            _describe(h5, name, ("run", dimension))
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, os.path.getsize(file.name))  # a full disk is found here, not in the middle
    return Rows(file)


def remember(file: BinaryIO, recorded: bytes) -> None:
    """Keep what was read, for the next merge."""
    with h5py.File(file.name, "r+", locking=False) as h5:
        h5.create_dataset(RECORDED, data=np.frombuffer(recorded, np.uint8))


def add(file: BinaryIO, columns: Mapping[str, np.ndarray | pd.Series], attributes: Mapping[str, object]) -> None:
    """Complete the file: a value for every run (numbers; categories, empty where there is none), and the attributes."""
    with h5py.File(file.name, "r+", locking=False) as h5:
        h5.attrs.update(attributes)
        for name, column in columns.items():
            _create(h5, name, column)
            _describe(h5, name, ("run",))


def _create(h5: h5py.File, name: str, column: np.ndarray | pd.Series) -> None:
    """Texts have a fixed length, UTF-8, if that is short: reading them is quick then."""
    if isinstance(column, np.ndarray):
        h5.create_dataset(name, data=column)
    elif pd.api.types.is_numeric_dtype(column):
        is_nullable = pd.api.types.is_extension_array_dtype(column)
        h5.create_dataset(name, data=column.to_numpy(float, na_value=np.nan) if is_nullable else column.to_numpy())
    else:
        kinds = (kind.encode(errors="backslashreplace") for kind in column.cat.categories)
        texts = np.array([*kinds, b""])  # the last is that of code -1
        values = texts[column.cat.codes]
        if values.dtype.itemsize <= _SHORT_BYTES:
            h5.create_dataset(name, data=values)
        else:
            h5.create_dataset(name, data=values.astype(object), dtype=h5py.string_dtype())


def _describe(h5: h5py.File, name: str, dimensions: tuple[str, ...]) -> None:
    for axis, dimension in enumerate(dimensions):
        h5[name].dims[axis].attach_scale(h5[dimension])
    if name in _UNITS:
        h5[name].attrs["units"] = _UNITS[name]
    if h5[name].dtype.kind == "S":
        h5[name].attrs["_Encoding"] = "utf-8"  # so that xarray shows text
