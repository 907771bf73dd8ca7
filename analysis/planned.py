"""The runs that a campaign plans, as columns: a million fit in memory."""

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from jobs.manifest import Header, read_header, read_runs
from noisy.spec import DATASETS, RunSpec, spec_of, split_repeat

SPEC_FIELDS = tuple(field.name for field in dataclasses.fields(RunSpec))
CELL_FIELDS = tuple(name for name in SPEC_FIELDS if name != "repeat")


@dataclass(frozen=True)
class Planned:
    """A manifest. run_id: S16 (n,), in its order; repeat: int32 (n,); cell: int32 (n,), the row in `cells`.

    cells: CELL_FIELDS of every cell, in the order in which they appear; hidden_sizes as text, `1024-512-256`.
    """

    header: Header
    run_id: np.ndarray
    repeat: np.ndarray
    cell: np.ndarray
    cells: pd.DataFrame

    def rows_of(self, run_ids: np.ndarray) -> np.ndarray:
        """int64 (k,): the row of each run_id, S16 (k,); -1 where the grid has no such run."""
        if not len(self.run_id):
            return np.full(len(run_ids), -1)
        nearest = self._order[np.searchsorted(self._sorted, run_ids).clip(max=len(self.run_id) - 1)]
        return np.where(self.run_id[nearest] == run_ids, nearest, -1)

    @property
    def n_epochs(self) -> int:
        """Of the longest run."""
        return int(self.cells["epochs"].max()) if len(self.cells) else 0

    @property
    def n_bytes(self) -> int:
        """That hold one bit for each test image."""
        return max((-(-DATASETS[name].n_test // 8) for name in set(self.cells["dataset"])), default=0)

    def table(self) -> pd.DataFrame:
        """A row for every run: run_id and SPEC_FIELDS; texts as categories."""
        texts = self.cells.select_dtypes(exclude="number").astype("category")
        table = self.cells.assign(**texts).take(self.cell).reset_index(drop=True)
        table.insert(0, "run_id", np.char.decode(self.run_id).astype(object))
        return table.assign(repeat=self.repeat)[["run_id", *SPEC_FIELDS]]

    @cached_property
    def _order(self) -> np.ndarray:
        return np.argsort(self.run_id)

    @cached_property
    def _sorted(self) -> np.ndarray:
        return self.run_id[self._order]


def read_planned(path: Path) -> Planned:
    """Read and verify a manifest.

    Raises:
        ManifestError: as `jobs.manifest.read_manifest`.
    """
    numbers: dict[tuple[str, str], int] = {}  # of cells
    specs: list[RunSpec] = []

    def row(run: tuple[str, str]) -> tuple[bytes, int, int]:
        before, repeat, behind = split_repeat(run[1])
        number = numbers.setdefault((before, behind), len(specs))
        if number == len(specs):
            specs.append(spec_of(run[1]))
        return run[0].encode(), repeat, number

    columns = np.fromiter(map(row, read_runs(path)), [("run_id", "S16"), ("repeat", np.int32), ("cell", np.int32)])
    rows = [{name: getattr(spec, name) for name in CELL_FIELDS} for spec in specs]
    table = pd.DataFrame(rows, columns=list(CELL_FIELDS))
    table["hidden_sizes"] = [None if sizes is None else "-".join(map(str, sizes)) for sizes in table["hidden_sizes"]]
    table["max_train_samples"] = table["max_train_samples"].astype("Int64")  # <NA> where it is all of them
    run_ids, repeats, cells = (np.ascontiguousarray(columns[name]) for name in ("run_id", "repeat", "cell"))
    return Planned(read_header(path), run_ids, repeats, cells, table)
