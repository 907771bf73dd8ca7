"""The bits of a results.h5: which test images each run has right. They may not fit into memory, so rows are read singly."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np

from jobs.reading import open_regular


class Bits:
    """The array `correct` of an open results.h5. n_bytes: bytes of a row."""

    def __init__(self, path: Path, descriptor: int) -> None:
        with h5py.File(path, "r", locking=False) as h5:
            self._offset, self.n_bytes = h5["correct"].id.get_offset() or 0, h5["correct"].shape[1]
        self._descriptor = descriptor

    def of(self, rows: np.ndarray) -> np.ndarray:
        """The packed bits of some runs. They are read without HDF5, which takes a hundred times as long for scattered rows.

        Args:
            rows: int64 (k,), ascending.

        Returns:
            uint8 (k, n_bytes), as from numpy.packbits.

        Raises:
            OSError: the file cannot be read, or is too short.
        """
        found = np.empty((len(rows), self.n_bytes), np.uint8)
        bounds = [0, *(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)] if len(rows) else []
        for start, end in pairwise(bounds):
            n_read = os.preadv(self._descriptor, [found[start:end].data], self._offset + int(rows[start]) * self.n_bytes)
            if n_read != found[start:end].nbytes:
                raise OSError(f"results.h5 ends before the bits of run {int(rows[start])}")
        return found


@contextmanager
def open_bits(store: Path) -> Iterator[Bits]:
    """Open the bits of a results.h5.

    Raises:
        OSError: it cannot be opened.
    """
    with open_regular(store) as file:
        yield Bits(store, file.fileno())


def error_variance(bits: Bits, rows: np.ndarray, cell: np.ndarray, n_correct: np.ndarray, n_cells: int) -> np.ndarray:
    """The sum over images i of c_i (n - c_i) / (n (n - 1)): the sample variance of right or wrong over the n runs of a cell.

    Runs are read in the order of the manifest, one of each cell at a time, so that neighbours in the file are read together.

    Args:
        rows: int64 (k,), the finished runs, as rows of the file.
        cell: int (k,), the cell of each run.
        n_correct: int (k,), the number of bits that should be set. If the bits contradict it, the cell's value is NaN.
        n_cells: the number of all cells.

    Returns:
        float64 (n_cells,); NaN for cells with fewer than two runs.
    """
    n, right = np.bincount(cell, minlength=n_cells), np.bincount(cell, n_correct, n_cells)
    order = np.lexsort((rows, cell))
    rows, start = rows[order], np.cumsum(n) - n
    variance = np.full(n_cells, np.nan)
    n_a_time = max(1, _COUNTERS // max(1, 8 * bits.n_bytes))
    several = np.flatnonzero(n > 1)
    for first in range(0, len(several), n_a_time):
        cells = several[first : first + n_a_time]
        count = _count(bits, rows, start[cells], n[cells])
        is_right = count.sum(axis=1, dtype=np.uint64) == right[cells]
        variance[cells] = np.where(is_right, variance_of_counts(count, n[cells]), np.nan)
    return variance


def variance_of_counts(count: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Sum over the images of c (n - c) / (n (n - 1)).

    Args:
        count: uint8 or uint32 (k, images), c: the number of runs that are right on each image.
        n: int (k,), numbers of runs, at least 2.

    Returns:
        float64 (k,).
    """
    is_small = count.dtype == np.uint8  # then squares fit into 16 bits, which is several times faster
    squares = np.square(count, dtype=np.uint16 if is_small else float).sum(axis=1, dtype=np.uint64 if is_small else float)
    total, runs = count.sum(axis=1, dtype=np.uint64), n.astype(float)
    return (runs * total - squares) / (runs * (runs - 1))


_COUNTERS = 2**18  # images at once; with more, most time goes into new pages of memory


def _count(bits: Bits, rows: np.ndarray, start: np.ndarray, n: np.ndarray) -> np.ndarray:
    """uint (cells, images): the number of runs of each cell that are right. The runs of a cell are rows[start : start + n]."""
    shape, most = (len(n), 8 * bits.n_bytes), n.max()
    count = np.zeros(shape, np.uint8 if most < 256 else np.uint32)
    for first in range(0, most, 255):
        few = np.zeros(shape, np.uint8)  # additions of bytes are the fastest
        for place in range(first, min(first + 255, most)):
            has_one = np.flatnonzero(n > place)
            its_rows = rows[start[has_one] + place]
            order = np.argsort(its_rows)
            few[has_one[order]] += np.unpackbits(bits.of(its_rows[order]), axis=1)
        count += few
    return count
