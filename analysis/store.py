"""results.h5: the merged results of a campaign, one array for each column, with named dimensions and units.

Dimensions (HDF5 dimension scales, which xarray knows): `run`, the runs of the manifest in its order; `epoch`, from 1; `byte`.
Histories and bits may not fit into memory, so they are written row by row to their places in the file, without HDF5. Everything
else is small. A seal as in a shard follows the HDF5 data, so that a single changed bit is found before HDF5 opens the file.
"""

import errno
import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np
import pandas as pd

from analysis.columns import PER_RUN
from jobs.image import HISTORY, SEAL
from jobs.reading import crc32_of
from jobs.recorded import RECORDED

_ON_DISK = (*(f"history_{name}" for name in HISTORY), "correct")
_BLOCK_BYTES = 2**24
_SHORT_BYTES = 200
_SPARE_BYTES = 2**17  # room for what HDF5 writes besides values


class Rows:
    """Reads and writes rows of the histories and bits of a results.h5. shape: (runs, epochs, bytes)."""

    def __init__(self, file: BinaryIO) -> None:
        with h5py.File(file.name, "r", locking=False) as h5:
            arrays = [h5[name] for name in _ON_DISK]
            self._places = [(array.id.get_offset() or 0, array.dtype, array.shape[1]) for array in arrays]
            self.shape: tuple[int, ...] = (*arrays[0].shape, arrays[-1].shape[1])
        self._file = file

    def write(self, rows: np.ndarray, history: np.ndarray, correct: np.ndarray) -> None:
        """Write records into their rows. Padding that is wider than the file (for another run of the shard) is cut off.

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
        """Clear rows (ascending) without a record: their histories become NaN."""
        n_a_time = max(1, _BLOCK_BYTES // (8 * len(HISTORY) * max(1, self.shape[1])))
        for start in range(0, len(rows), n_a_time):
            some = rows[start : start + n_a_time]
            self.write(some, np.empty((len(some), len(HISTORY), 0)), np.empty((len(some), 0), np.uint8))

    def copy_from(self, other: "Rows") -> None:
        """Copy all rows from a file of the same shape."""
        for (offset, dtype, width), (source, *_) in zip(self._places, other._places, strict=True):
            n_bytes = self.shape[0] * width * dtype.itemsize
            other._file.seek(source)
            self._file.seek(offset)
            for left in range(n_bytes, 0, -_BLOCK_BYTES):
                self._file.write(other._file.read(min(left, _BLOCK_BYTES)))


def lay_out(file: BinaryIO, n_runs: int, n_epochs: int, n_bytes: int) -> Rows:
    """Begin a results.h5 in an empty file, with the dimensions and with room for the rows.

    Raises:
        OSError: there is no room.
    """
    empty = io.BytesIO()
    h5py.File(empty, "w").close()
    file.write(empty.getvalue())
    n_values = n_runs * (8 * len(HISTORY) * n_epochs + n_bytes)
    with _in_hdf5(file, n_values + 8 * (n_runs + n_epochs + n_bytes)) as h5:
        for name, coordinate in (("run", np.arange(n_runs)), ("epoch", np.arange(n_epochs) + 1), ("byte", np.arange(n_bytes))):
            h5.create_dataset(name, data=coordinate).make_scale(name)
        early = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        early.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        early.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        early.set_obj_track_times(False)  # so that equal results have equal bytes
        for name in _ON_DISK:
            dimension, dtype = ("byte", "u1") if name == "correct" else ("epoch", "f8")
            space = h5py.h5s.create_simple((n_runs, len(h5[dimension])))
            h5py.h5d.create(h5.id, name.encode(), h5py.h5t.py_create(np.dtype(dtype)), space, early)
            _describe(h5, name, ("run", dimension))
    return Rows(file)


def remember(file: BinaryIO, recorded: bytes) -> None:
    """Write what was read, for the next merge.

    Raises:
        OSError: there is no room.
    """
    with _in_hdf5(file, len(recorded)) as h5:
        h5.create_dataset(RECORDED, data=np.frombuffer(recorded, np.uint8))


def complete(file: BinaryIO, columns: Mapping[str, np.ndarray | pd.Series], attributes: Mapping[str, object]) -> None:
    """Add the columns (numbers, or categories, which are empty if a run has no value), the attributes, and the seal.

    Raises:
        OSError: there is no room.
    """
    with _in_hdf5(file, sum(map(_most_bytes, columns.values()))) as h5:
        h5.attrs.update(attributes)
        for name, column in columns.items():
            array = _array(column)
            is_long = array.dtype.kind == "S" and array.dtype.itemsize > _SHORT_BYTES  # short strings are quick to read
            h5.create_dataset(name, data=array, dtype=h5py.string_dtype() if is_long else None)
            _describe(h5, name, ("run",))
    file.seek(0)
    file.write(SEAL % crc32_of(file))


def read_table(store: Path, names: list[str]) -> pd.DataFrame:
    """Columns of a sealed file, as strings."""
    with h5py.File(store, "r", locking=False) as h5:
        return pd.DataFrame({name: h5[name].asstr()[()] for name in names})


def differing(store: Path, columns: Mapping[str, np.ndarray | pd.Series]) -> list[str]:
    """The names of columns for which a sealed file does not hold these values."""
    with h5py.File(store, "r", locking=False) as h5:
        return [name for name, column in columns.items() if name not in h5 or not _holds(h5[name][()], _array(column))]


def _holds(stored: np.ndarray, array: np.ndarray) -> bool:
    if array.dtype.kind == "S":
        return stored.tolist() == array.tolist()
    return np.array_equal(stored, array, equal_nan=array.dtype.kind == "f")


@contextmanager
def _in_hdf5(file: BinaryIO, most_bytes: int) -> Iterator[h5py.File]:
    """Open the file with HDF5, after making room for `most_bytes` more, because HDF5 may crash on a full disk.

    At the end, HDF5 gives back the room that was not needed.
    """
    file.flush()
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), os.path.getsize(file.name), most_bytes + _SPARE_BYTES)
    try:
        with h5py.File(file.name, "r+", locking=False) as h5:
            yield h5
    except RuntimeError as error:
        raise OSError(errno.EIO, f"HDF5 cannot write it ({error})", file.name) from error


def _most_bytes(column: np.ndarray | pd.Series) -> int:
    """The most bytes that a column needs in the file."""
    if isinstance(column, np.ndarray) or pd.api.types.is_numeric_dtype(column):
        return column.nbytes
    lengths = np.array([*(len(kind.encode(errors="backslashreplace")) for kind in column.cat.categories), 0])
    longest = int(lengths.max())
    return len(column) * longest if longest <= _SHORT_BYTES else int(lengths[column.cat.codes].sum()) + 48 * len(column)


def _array(column: np.ndarray | pd.Series) -> np.ndarray:
    """An array of numbers, or of UTF-8 strings with a dtype S."""
    if isinstance(column, np.ndarray):
        return column
    if pd.api.types.is_numeric_dtype(column):
        is_nullable = pd.api.types.is_extension_array_dtype(column)
        return column.to_numpy(float, na_value=np.nan) if is_nullable else column.to_numpy()
    kinds = (kind.encode(errors="backslashreplace") for kind in column.cat.categories)
    texts = np.array([*kinds, b""])  # the last one is for code -1
    return texts[column.cat.codes]


def _describe(h5: h5py.File, name: str, dimensions: tuple[str, ...]) -> None:
    for axis, dimension in enumerate(dimensions):
        h5[name].dims[axis].attach_scale(h5[dimension])
    unit, h5[name].attrs["long_name"] = PER_RUN[name]
    if unit:
        h5[name].attrs["units"] = unit
    if h5[name].dtype.kind == "S":
        h5[name].attrs["_Encoding"] = "utf-8"  # so that xarray shows text
