"""Many runs as one value, `Runs`: their cells, and the cell and repeat of each run.

Ids are computed once, when the value is made. The canonical JSON or the `RunSpec` of a run is made only when it is needed. A
million runs take about 25 MB.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from noisy.spec import RunSpec, run_id_of, spec_of

ID = np.dtype("S16")
_REPEAT = re.compile(r'"repeat":(\d+)')


@dataclass(frozen=True)
class Cell:
    """All runs that differ only in `repeat`. spec: the run of repeat 0; before, behind: the JSON around the repeat's number."""

    spec: RunSpec
    before: str
    behind: str

    @classmethod
    def of(cls, run: RunSpec) -> "Cell":
        """The cell of a run."""
        first = replace(run, repeat=0)
        before, _, behind = _split(first.canonical_json())
        return cls(first, before, behind)

    def text(self, repeat: int) -> str:
        """The canonical JSON of one of its runs."""
        return f"{self.before}{repeat}{self.behind}"

    def run(self, repeat: int) -> RunSpec:
        """One of its runs."""
        return replace(self.spec, repeat=repeat)


@dataclass(frozen=True, eq=False)
class Runs:
    """Runs in the order in which results are wanted.

    cells: in the order in which they appear (some may have no run here); cell: int32 (n,), the index in `cells` of each run;
    repeat: int32 (n,); run_id: S16 (n,).
    """

    cells: Sequence[Cell]
    cell: np.ndarray
    repeat: np.ndarray
    run_id: np.ndarray

    @classmethod
    def of_grid(cls, first_runs: Iterable[RunSpec], repeats: int) -> "Runs":
        """All repeats of the cells of these runs, ordered by repeat, so that every cell gets its first repeats early."""
        cells = tuple(dict.fromkeys(map(Cell.of, first_runs)))
        cell = np.tile(np.arange(len(cells), dtype=np.int32), repeats)
        repeat = np.repeat(np.arange(repeats, dtype=np.int32), len(cells))
        texts = (each.text(number) for number in range(repeats) for each in cells)
        return cls(cells, cell, repeat, np.array([run_id_of(text).encode() for text in texts], ID))

    @classmethod
    def of_records(cls, records: Iterable[tuple[bytes, str]]) -> "Runs":
        """The runs of these (run_id, canonical JSON) pairs, whose ids must be right. Each cell is parsed once.

        Raises:
            ValueError: a text is not the canonical JSON of a run.
        """
        cells: list[Cell] = []
        places: dict[tuple[str, str], int] = {}

        def column(record: tuple[bytes, str]) -> tuple[bytes, int, int]:
            before, repeat, behind = _split(record[1])
            place = places.setdefault((before, behind), len(cells))
            if place == len(cells):
                cells.append(Cell(replace(spec_of(record[1]), repeat=0), before, behind))
            return record[0], place, repeat

        columns = np.fromiter(map(column, records), [("run_id", ID), ("cell", np.int32), ("repeat", np.int32)])
        return cls(tuple(cells), *(np.ascontiguousarray(columns[name]) for name in ("cell", "repeat", "run_id")))

    @classmethod
    def of(cls, runs: Iterable[RunSpec]) -> "Runs":
        """Make the value from single runs."""
        return cls.of_records((run.run_id.encode(), run.canonical_json()) for run in runs)

    @classmethod
    def joined(cls, parts: Sequence["Runs"]) -> "Runs":
        """Join at least one part of a value."""
        columns = (np.concatenate([getattr(part, name) for part in parts]) for name in ("cell", "repeat", "run_id"))
        return cls(parts[0].cells, *columns)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Runs) and np.array_equal(self.run_id, other.run_id)  # equal ids are equal runs

    def __len__(self) -> int:
        return len(self.run_id)

    def __iter__(self) -> Iterator[RunSpec]:
        return (self.cells[cell].run(repeat) for cell, repeat in self._pairs())

    def texts(self) -> Iterator[str]:
        """The canonical JSON of every run."""
        return (self.cells[cell].text(repeat) for cell, repeat in self._pairs())

    def ids(self) -> list[str]:
        """The run_id of every run."""
        return self.run_id.astype(str).tolist()

    def take(self, places: np.ndarray | slice) -> "Runs":
        """Some of these runs. places: int64 (k,) indices, a bool (n,) mask, or a slice."""
        return replace(self, cell=self.cell[places], repeat=self.repeat[places], run_id=self.run_id[places])

    def alone(self, places: np.ndarray) -> "Runs":
        """Some of these runs, with no other cells than theirs: int64 (k,), ascending, their places."""
        used, cell = np.unique(self.cell[places], return_inverse=True)
        return Runs([self.cells[i] for i in used], cell.astype(np.int32), self.repeat[places], self.run_id[places])

    def at(self, place: int) -> RunSpec:
        """The run at `place`."""
        return self.cells[self.cell[place]].run(int(self.repeat[place]))

    def places_of(self, run_ids: np.ndarray) -> np.ndarray:
        """int64 (k,): the place of each run_id, S16 (k,); -1 where there is no such run."""
        if not len(self):
            return np.full(len(run_ids), -1)
        order = np.argsort(run_ids)  # looking up neighbours one after the other is four times faster
        nearest = np.empty(len(run_ids), int)
        nearest[order] = self._order[np.searchsorted(self._sorted, run_ids[order]).clip(max=len(self) - 1)]
        return np.where(self.run_id[nearest] == run_ids, nearest, -1)

    def by_cell(self, find: Callable[[RunSpec], Any]) -> list[Any]:
        """`find(run)` for the first run of each cell, in the order of `cells`."""
        return [find(cell.spec) for cell in self.cells]

    def _pairs(self) -> Iterator[tuple[int, int]]:
        return zip(self.cell.tolist(), self.repeat.tolist(), strict=True)

    @cached_property
    def _order(self) -> np.ndarray:
        return np.argsort(self.run_id)

    @cached_property
    def _sorted(self) -> np.ndarray:
        return self.run_id[self._order]


def _split(canonical_json: str) -> tuple[str, int, str]:
    """Split a canonical JSON text into the text before the repeat's number, the repeat, and the text after it."""
    match = _REPEAT.search(canonical_json)
    if match is None:
        raise ValueError(f"not the canonical JSON of a run: {canonical_json!r}")
    return canonical_json[: match.start(1)], int(match[1]), canonical_json[match.end(1) :]
