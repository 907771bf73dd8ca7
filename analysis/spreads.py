"""Quantiles and trimmed means, for all cells at once."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class Ordered:
    """The values of each cell in ascending order.

    cell: int (n,), ascending; values: float64 (n,), ascending in each cell, without NaN; n: int64 (cells,), number of values.
    All results are float64 (cells,), NaN for a cell without values.
    """

    cell: np.ndarray
    values: np.ndarray
    n: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, cell: np.ndarray, n_cells: int) -> "Ordered":
        """Sort values, float64 (n,), by their cells, int (n,)."""
        order = np.lexsort((values, cell))
        return cls(cell[order], values[order], np.bincount(cell, minlength=n_cells))

    def quantile(self, q: float) -> np.ndarray:
        """The quantile q, in [0, 1], interpolated linearly as in numpy.quantile (type 7 of Hyndman and Fan 1996)."""
        place = (np.maximum(self.n, 1) - 1) * q
        below = np.floor(place).astype(int)
        low, high = self._at(below), self._at(np.ceil(place).astype(int))
        return low + (high - low) * (place - below)

    def interquartile_mean(self) -> np.ndarray:
        """The mean without the lowest and the highest int(n / 4) values, as in scipy.stats.trim_mean(values, 0.25)."""
        cut = self.n // 4
        is_in = (self._place >= cut[self.cell]) & (self._place < (self.n - cut)[self.cell])
        total = np.bincount(self.cell[is_in], self.values[is_in], len(self.n))
        return total / np.where(self.n > 0, self.n - 2 * cut, np.nan)

    @cached_property
    def _start(self) -> np.ndarray:
        return np.cumsum(self.n) - self.n

    @cached_property
    def _place(self) -> np.ndarray:
        """int64 (n,): the place of each value in its cell, from 0."""
        return np.arange(len(self.cell)) - self._start[self.cell]

    def _at(self, place: np.ndarray) -> np.ndarray:
        """The value at a place in each cell, int (cells,)."""
        return np.append(self.values, np.nan)[np.where(self.n > 0, self._start + place, -1)]
