"""The planned runs of a campaign as columns, so that a million fit in memory."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.datasets import remember
from jobs.columns import MISSING, SPEC_FIELDS, planned_columns
from jobs.filters import FilterError, matching, terms_of
from jobs.manifest import Header, read_manifest
from noisy.runs import Runs

__all__ = ["CELL_FIELDS", "MISSING", "SPEC_FIELDS", "Planned", "cells_of", "read_planned"]
CELL_FIELDS = tuple(name for name in SPEC_FIELDS if name != "repeat")


@dataclass(frozen=True)
class Planned:
    """A manifest, or a part of it. cells: the table of `runs.cells` (`cells_of`); is_part: whether a filter left out runs."""

    header: Header
    runs: Runs
    cells: pd.DataFrame
    is_part: bool = False

    @property
    def n_epochs(self) -> int:
        """Epochs of the longest run."""
        return int(self.cells["epochs"].max()) if len(self.cells) else 0

    @property
    def n_bytes(self) -> int:
        """Bytes that hold one bit per test image."""
        return max((-(-cell.spec.data.n_test // 8) for cell in self.runs.cells), default=0)

    def columns(self) -> dict[str, Any]:
        """run_id and SPEC_FIELDS of every run, in this order; text columns are categories."""
        run_id, cells = np.array(self.runs.ids(), object), self.cells.take(self.runs.cell)
        return {"run_id": run_id} | {name: self.runs.repeat if name == "repeat" else cells[name].array for name in SPEC_FIELDS}


def read_planned(path: Path, filters: Sequence[str] = ()) -> Planned:
    """Read and verify a manifest.

    Args:
        filters: only runs that fit these (jobs/filters.py). Only what was planned is a column here: a report on runs that were
            chosen by their results would be biased.

    Raises:
        ManifestError: as `jobs.manifest.read_manifest`.
        FilterError, Nothing: a filter means nothing, or fits no run.
    """
    manifest = read_manifest(path)
    if not filters:
        return Planned(manifest.header, manifest.runs, cells_of(manifest.runs))
    columns = planned_columns(manifest.runs)
    try:
        terms = terms_of(filters, columns)
    except FilterError as error:
        why = " (a report is on runs that are chosen by what was planned, not by results)"
        raise FilterError([text + why * (": no column " in text) for text in error.problems]) from error
    runs = manifest.runs.alone(matching(terms, columns, len(manifest.runs)))
    digest = hashlib.sha256(runs.run_id.tobytes()).hexdigest()
    return Planned(replace(manifest.header, n_runs=len(runs), digest=digest), runs, cells_of(runs), is_part=True)


def cells_of(runs: Runs) -> pd.DataFrame:
    """CELL_FIELDS of each of `runs.cells`. Text columns are categories; hidden_sizes is text, such as `1024-512-256`."""
    remember(runs)
    rows = runs.by_cell(lambda spec: [getattr(spec, name) for name in CELL_FIELDS])
    table = pd.DataFrame(rows, columns=list(CELL_FIELDS))
    table["hidden_sizes"] = [None if sizes is None else "-".join(map(str, sizes)) for sizes in table["hidden_sizes"]]
    table["max_train_samples"] = table["max_train_samples"].astype("Int64")  # <NA> means all
    return table.assign(**table.select_dtypes(exclude="number").astype("category"))
