"""Which record of each planned run counts, and the table of these records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from analysis.planned import MISSING, Planned
from jobs.columns import ORIGIN
from jobs.image import FINISHED
from jobs.recorded import NUMBERS, RECORD, Recorded
from noisy.runs import Runs

_FIRST_COLUMNS = (
    "run_id",
    "model_type",
    "activation",
    "p",
    "repeat",
    "status",
    "test_accuracy",
    "test_loss",
    "n_correct",
    "n_test",
)


@dataclass(frozen=True, eq=False)
class Counted:
    """The records of a campaign, matched with its planned runs.

    row: int64 (n,), the place in the manifest of each record's run; -1 if the grid no longer has this run.
    record: int64 (n_runs,), the record that counts for each planned run; -1 if there is none.
    """

    recorded: Recorded
    row: np.ndarray
    record: np.ndarray

    @classmethod
    def of(cls, recorded: Recorded, runs: Runs) -> "Counted":
        """Match all records with the planned runs."""
        row = runs.places_of(recorded.records["run_id"])
        counting = recorded.counting[row[recorded.counting] >= 0]
        record = np.full(len(runs), -1)
        record[row[counting]] = counting
        return cls(recorded, row, record)

    @cached_property
    def source(self) -> np.ndarray:
        """int64 (n_runs,): the place in `recorded.sources` of the record that counts; -1 if there is none."""
        return np.append(self.recorded.source, -1)[self.record]

    def rank(self, place_of: Mapping[str, int]) -> np.ndarray:
        """int64 (n_runs,): the rank (`rank_of`) of the record that counts; larger than any other if there is none.

        Args:
            place_of: name of a file -> its place in name order. Files that it does not have get a negative rank.
        """
        n = len(place_of)
        places = np.array([place_of.get(source.name, -1 - n) for source in self.recorded.sources], int)
        return np.append(rank_of(self.recorded.is_finished, places[self.recorded.source], n), 2 * n)[self.record]

    def of_sources(self, name: str) -> list[str]:
        """An attribute of each source as text; empty if the source does not have it."""
        return [str(source.attributes.get(name, "")) for source in self.recorded.sources]

    def table(self, planned: Planned) -> pd.DataFrame:
        """`analysis.merge.Merged.runs`. Text columns are categories, which take a byte or two per run."""
        has_record = self.record >= 0
        counting, records = self.record[has_record], self.recorded.records
        columns: dict[str, Any] = planned.columns()
        for name in NUMBERS:
            columns[name] = np.full(len(self.record), np.nan if RECORD[name].kind == "f" else 0, RECORD[name])
            columns[name][has_record] = records[name][counting]
        status = np.full(len(self.record), MISSING, RECORD["status"])
        status[has_record] = records["status"][counting]
        kinds = np.unique(status)
        columns["status"] = _categories(kinds.astype(str), np.searchsorted(kinds, status))
        columns |= {name: _categories(self.of_sources(name), self.source) for name in ORIGIN}
        columns["shard"] = _categories([source.name for source in self.recorded.sources], self.source)
        failed = np.flatnonzero(status == b"failed")
        place = np.full(len(self.record), -1)
        place[failed] = np.arange(len(failed))
        columns["message"] = _categories([self.recorded.message(record) for record in self.record[failed]], place)
        order = [*_FIRST_COLUMNS, *(name for name in columns if name not in _FIRST_COLUMNS)]
        return pd.DataFrame({name: columns[name] for name in order}, copy=False)


def is_finished(status: np.ndarray) -> np.ndarray:
    """bool (n,): whether a record of this status, S (n,), says that its run is done."""
    return np.isin(status, np.array(FINISHED, "S"))


def rank_of(is_finished: np.ndarray, place: np.ndarray | int, n_places: int) -> np.ndarray:
    """int64 (n,): ranks; the record of a run with the smallest rank counts: finished before failed, then by file name."""
    return place + n_places * ~is_finished


def _categories(values: Sequence[str] | np.ndarray, index: np.ndarray) -> pd.Categorical:
    """The value at each index; missing for -1."""
    kinds, codes = np.unique(np.array(values, dtype=str), return_inverse=True)
    return pd.Categorical.from_codes(np.append(codes, -1)[index], kinds)
