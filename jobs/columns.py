"""The columns of results_per_run.csv, for all planned runs, so that runs can be chosen by them (jobs/filters.py).

A column has each distinct value once, and for each run the index of its value. So a million runs take little memory, and each
value is tested only once.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from jobs.image import FINISHED
from jobs.recorded import NUMBERS, Recorded
from noisy.runs import Runs
from noisy.spec import RunSpec

MISSING = "missing"  # the status of a planned run without a record
STATUSES = (*FINISHED, "failed", MISSING)
ORIGIN = (  # attributes of shards that become columns
    "host",
    "cpu",
    "product_route",
    "device",
    "cpu_threads",
    "runs_together",
    "versions",
    "code_commit",
    "data_digest",
    "job",
    "attempt",
)
_OF_CODE = ("extensions", "own_data")  # the code and the data behind a name, which are the same in all of a campaign
SPEC_FIELDS = tuple(field.name for field in dataclasses.fields(RunSpec) if field.name not in _OF_CODE)
PLANNED = ("run_id", *SPEC_FIELDS)  # what is known about a run before it is trained
_TEXTS = {"dataset", "activation", "model_type", "hidden_sizes", "precision"}
_WHOLE = {"seed", "epochs", "batch_size", "max_train_samples", "cpu_threads", "runs_together", "attempt"}


@dataclass(frozen=True, eq=False)
class Column:
    """A value for each run.

    values: float64 or int64 (k,), where NaN is an empty value; or k texts, where "" is an empty value. place: int (n,), the
    index of each run's value; -1: the last one. is_whole: whether the numbers are integers, even if they are stored as float64.
    allowed: the only texts that a run of any campaign may have; empty: any.
    """

    values: np.ndarray | Sequence[str]
    place: np.ndarray
    is_whole: bool = False
    allowed: Sequence[str] = ()

    @property
    def is_number(self) -> bool:
        """Whether the values are numbers."""
        return isinstance(self.values, np.ndarray)

    def texts(self) -> list[str]:
        """Each of `values`, written as in the CSV."""
        return ["" if value is None else str(value) for value in self._plain(slice(None))]

    def at(self, places: np.ndarray) -> list[Any]:
        """The values of some runs: int, float or text; None for an empty number."""
        return self._plain(self.place[places])

    def _plain(self, chosen: np.ndarray | slice) -> list[Any]:
        if not isinstance(self.values, np.ndarray):
            return list(self.values) if isinstance(chosen, slice) else [self.values[place] for place in chosen.tolist()]
        to = int if self.is_whole else float
        return [None if value != value else to(value) for value in self.values[chosen].tolist()]


class Columns(Mapping[str, Column]):
    """The columns of some runs by name, in the order of the CSV. Each is made when it is needed."""

    def __init__(self, makers: Mapping[str, Callable[[], Column]]) -> None:
        self._makers = makers
        self._made: dict[str, Column] = {}

    def __getitem__(self, name: str) -> Column:
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)

    def __contains__(self, name: object) -> bool:
        return name in self._makers

    def __or__(self, others: Mapping[str, Callable[[], Column]]) -> "Columns":
        """These columns together with others."""
        return Columns({**self._makers, **others})


def planned_columns(runs: Runs) -> Columns:
    """The columns that follow from the manifest: PLANNED."""
    makers: dict[str, Callable[[], Column]] = {"run_id": lambda: Column(runs.ids(), np.arange(len(runs)))}
    for name in SPEC_FIELDS:
        makers[name] = partial(_of_cells, runs, name)
    makers["repeat"] = lambda: Column(*np.unique(runs.repeat.astype(np.int64), return_inverse=True), is_whole=True)
    return Columns(makers)


def columns_of(runs: Runs, recorded: Recorded) -> Columns:
    """All columns. Those of a run without a record are empty, and its status is MISSING."""
    found = _Found(runs, recorded)
    makers: dict[str, Callable[[], Column]] = {"status": found.status}
    makers |= {name: partial(found.number, name) for name in NUMBERS}
    makers |= {name: partial(found.origin, name) for name in ORIGIN}
    makers |= {"shard": lambda: Column([*(source.name for source in recorded.sources), ""], found.source)}
    return planned_columns(runs) | makers | {"message": found.message}


class _Found:
    """The record of each run that counts, and its values."""

    def __init__(self, runs: Runs, recorded: Recorded) -> None:
        self._runs, self._recorded = runs, recorded

    @cached_property
    def record(self) -> np.ndarray:
        """int64 (n,): the record that counts; -1 if there is none."""
        row = self._runs.places_of(self._recorded.records["run_id"][self._recorded.counting])
        record = np.full(len(self._runs), -1)
        record[row[row >= 0]] = self._recorded.counting[row >= 0]
        return record

    @cached_property
    def source(self) -> np.ndarray:
        """int64 (n,): the place in `sources` of this record; -1 if there is none."""
        return np.append(self._recorded.source, -1)[self.record]

    def status(self) -> Column:
        kinds, place = np.unique(self._recorded.records["status"], return_inverse=True)
        return Column([*kinds.astype(str).tolist(), MISSING], np.append(place, -1)[self.record], allowed=STATUSES)

    def number(self, name: str) -> Column:
        values = self._recorded.records[name]
        return Column(np.append(values.astype(float), np.nan), self.record, is_whole=values.dtype.kind == "i")

    def origin(self, name: str) -> Column:
        values = [source.attributes.get(name, "") for source in self._recorded.sources]
        if name in _WHOLE:
            return Column(np.array([*(np.nan if value == "" else value for value in values), np.nan], float), self.source, True)
        return Column([*map(str, values), ""], self.source)

    def message(self) -> Column:
        failed = np.flatnonzero(self._recorded.records["status"] == b"failed")
        place = np.full(len(self._recorded.records) + 1, -1)
        place[failed] = np.arange(len(failed))
        return Column([*map(self._recorded.message, failed.tolist()), ""], place[self.record])


def _of_cells(runs: Runs, name: str) -> Column:
    """A field of the runs' cells."""
    values = [getattr(cell.spec, name) for cell in runs.cells]
    distinct = {value: place for place, value in enumerate(dict.fromkeys(values))}
    place = np.array([distinct[value] for value in values], np.int64)[runs.cell]
    if name in _TEXTS:
        return Column([_text(value) for value in distinct], place)
    return Column(np.array([np.nan if value is None else value for value in distinct]), place, name in _WHOLE)


def _text(value: str | tuple[int, ...] | None) -> str:
    return "" if value is None else value if isinstance(value, str) else "-".join(map(str, value))
