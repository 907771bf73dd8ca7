"""The runs that a campaign plans, as columns, so that a million fit in memory."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jobs.manifest import Header, read_manifest
from noisy.runs import Runs
from noisy.spec import DATASETS, RunSpec

SPEC_FIELDS = tuple(field.name for field in dataclasses.fields(RunSpec))
CELL_FIELDS = tuple(name for name in SPEC_FIELDS if name != "repeat")
MISSING = "missing"  # the status of a planned run without a record


@dataclass(frozen=True)
class Planned:
    """A manifest. cells: the table of `runs.cells` (`cells_of`)."""

    header: Header
    runs: Runs
    cells: pd.DataFrame

    @property
    def n_epochs(self) -> int:
        """Epochs of the longest run."""
        return int(self.cells["epochs"].max()) if len(self.cells) else 0

    @property
    def n_bytes(self) -> int:
        """Bytes that hold one bit per test image."""
        return max((-(-DATASETS[name].n_test // 8) for name in set(self.cells["dataset"])), default=0)

    def columns(self) -> dict[str, Any]:
        """run_id and SPEC_FIELDS of every run, in this order; texts as categories."""
        run_id, cells = np.array(self.runs.ids(), object), self.cells.take(self.runs.cell)
        return {"run_id": run_id} | {name: self.runs.repeat if name == "repeat" else cells[name].array for name in SPEC_FIELDS}


def read_planned(path: Path) -> Planned:
    """Read and verify a manifest.

    Raises:
        ManifestError: as `jobs.manifest.read_manifest`.
    """
    manifest = read_manifest(path)
    return Planned(manifest.header, manifest.runs, cells_of(manifest.runs))


def cells_of(runs: Runs) -> pd.DataFrame:
    """CELL_FIELDS of each of `runs.cells`; texts as categories, hidden_sizes as text, `1024-512-256`."""
    rows = runs.by_cell(lambda spec: [getattr(spec, name) for name in CELL_FIELDS])
    table = pd.DataFrame(rows, columns=list(CELL_FIELDS))
    table["hidden_sizes"] = [None if sizes is None else "-".join(map(str, sizes)) for sizes in table["hidden_sizes"]]
    table["max_train_samples"] = table["max_train_samples"].astype("Int64")  # <NA> means all
    return table.assign(**table.select_dtypes(exclude="number").astype("category"))
