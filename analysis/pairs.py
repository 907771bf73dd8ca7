"""Pairs of runs with the same repeat, in cells that are compared."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.planned import CELL_FIELDS
from jobs.image import FINISHED

_RUNS_A_TIME = 2**20


@dataclass(frozen=True, eq=False)
class Finished:
    """Finished runs, sorted by cell and repeat.

    cell, repeat: int64 (n,); accuracy: float64 (n,), fractions; is_ok: bool (n,), whether the run trained; row: int64 (n,), the
    label of each run in the original table; start, n: int64 (cells,): the runs of a cell are start to start + n - 1.
    """

    cell: np.ndarray
    repeat: np.ndarray
    accuracy: np.ndarray
    is_ok: np.ndarray
    row: np.ndarray
    start: np.ndarray
    n: np.ndarray

    @classmethod
    def of(cls, per_run: pd.DataFrame, cell: np.ndarray, n_cells: int) -> "Finished":
        """Select the finished runs. cell: int (n,), the cell of each run; runs with a negative one are left out."""
        is_in = per_run["status"].isin(FINISHED).to_numpy() & (cell >= 0)
        cell, repeat = cell[is_in].astype(np.int64), per_run["repeat"].to_numpy()[is_in].astype(np.int64)
        order = np.lexsort((repeat, cell))
        n = np.bincount(cell, minlength=n_cells)
        chosen = np.flatnonzero(is_in)[order]
        accuracy, is_ok = per_run["test_accuracy"].to_numpy()[chosen], (per_run["status"] == "ok").to_numpy()[chosen]
        return cls(cell[order], repeat[order], accuracy, is_ok, per_run.index.to_numpy()[chosen], np.cumsum(n) - n, n)

    def pairs(
        self, first: np.ndarray, second: np.ndarray, runs_a_time: int = _RUNS_A_TIME
    ) -> Iterator[tuple[slice, np.ndarray, np.ndarray, np.ndarray]]:
        """Yield the pairs of runs with the same repeat, for some comparisons at a time.

        Args:
            first, second: int (k,), the cells of each comparison.
            runs_a_time: roughly how many runs are handled at a time.

        Yields:
            The comparisons of this part; for each pair of runs, its comparison (ascending, from 0 in this part) and the places
            of both runs.
        """
        width = int(self.repeat.max(initial=0)) + 1
        key = self.cell * width + self.repeat
        ends = np.cumsum(self.n[second])
        done = 0
        while done < len(first):
            before = ends[done - 1] if done else 0
            end = max(done + 1, int(np.searchsorted(ends, before + runs_a_time, side="right")))
            n = self.n[second[done:end]]
            comparison = np.repeat(np.arange(end - done), n)
            place = np.arange(len(comparison)) - np.repeat(np.cumsum(n) - n, n) + self.start[second[done:end]][comparison]
            wanted = first[done:end][comparison] * width + self.repeat[place]
            partner = np.searchsorted(key, wanted).clip(max=max(0, len(key) - 1))
            is_pair = key[partner] == wanted if len(key) else np.zeros(0, bool)
            yield slice(done, end), comparison[is_pair], partner[is_pair], place[is_pair]
            done = end


def codes(column: pd.Series) -> np.ndarray:
    """int64 (n,): a number for each value, in the order of first appearance. Missing values count as equal."""
    return np.asarray(pd.factorize(column, use_na_sentinel=False)[0], np.int64)


def same(table: pd.DataFrame, fields: Sequence[str]) -> np.ndarray:
    """int64 (n,): a number for each row; rows that agree in all fields have the same one."""
    code = np.zeros(len(table), np.int64)
    for name in fields:
        its = codes(table[name])
        if its.any():
            code = codes(pd.Series(code * (its.max() + 1) + its))
    return code


def cells_of_runs(per_run: pd.DataFrame, cells: pd.DataFrame) -> np.ndarray:
    """int64 (n,): the row in `cells` of each run; -1 if no row agrees with it in all CELL_FIELDS."""
    code_run, code_cell = np.zeros(len(per_run), np.int64), np.zeros(len(cells), np.int64)
    for name in CELL_FIELDS:
        place = {value: i for i, value in enumerate(dict.fromkeys(map(plain, cells[name])))}
        its_run, kinds = pd.factorize(per_run[name], use_na_sentinel=False)
        its_place = np.array([place.get(plain(kind), -1) for kind in kinds], np.int64)[its_run]
        its_cell = np.array([place[plain(value)] for value in cells[name]], np.int64)
        code_run = np.where((code_run < 0) | (its_place < 0), -1, code_run * len(place) + its_place)
        code_cell = code_cell * len(place) + its_cell
        kept = np.unique(code_cell)  # small numbers again, so that many fields fit into 64 bits
        code_run, code_cell = _found(kept, code_run), np.searchsorted(kept, code_cell)
    order = np.argsort(code_cell)
    place_of_code = np.append(order, -1)
    return place_of_code[np.where(code_run < 0, -1, np.searchsorted(code_cell[order], code_run))]


def _found(kept: np.ndarray, code: np.ndarray) -> np.ndarray:
    """The place of each code in `kept`, which is ascending; -1 if it is not there."""
    if not len(kept):
        return np.full(len(code), -1)
    place = np.searchsorted(kept, code).clip(max=len(kept) - 1)
    return np.where(kept[place] == code, place, -1)


def plain(value: Any) -> Any:
    """A value of a cell as a plain Python value; None if it is missing."""
    return None if pd.isna(value) else value
