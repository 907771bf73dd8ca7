"""Which record of each run counts, and what was read to find it.

It is kept in results.h5 beside the results, so that a file that has not changed since is not read again.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from analysis.planned import Planned
from analysis.store import Rows
from jobs.image import FINISHED, no_runs
from jobs.shard import Shard, Version

MISSING = "missing"  # the status of a planned run without a record
ORIGIN = (
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
STATUS = np.dtype("S8")  # as wide as the longest, diverged
_RECORD = no_runs().dtype
NUMBERS = [name for name in _RECORD.names or () if _RECORD[name].kind != "S" and name != "crc32"]


class Shrunk(Exception):
    """A file holds less than when it was read before: what it gave cannot be told from the rest."""


@dataclass(frozen=True)
class Source:
    """A file of the folder of shards as it was read.

    version: None if it is still to be read. n_left_out: its records of runs that are not in the grid. problem: what is wrong
    with it, in lines. origin: its attributes ORIGIN.
    """

    name: str
    version: Version | None = None
    n_records: int = 0
    n_left_out: int = 0
    problem: str = ""
    origin: Mapping[str, str] = field(default_factory=lambda: dict.fromkeys(ORIGIN, ""))


@dataclass(frozen=True)
class Again:
    """A record beside the one that counts. shard: its place in the sources; digest: of its status, history and bits."""

    row: int
    shard: int
    status: str
    digest: str
    test_accuracy: float = field(compare=False)
    test_loss: float = field(compare=False)


@dataclass
class Tally:
    """The state of a merge.

    sources: the files, in name order. runs: what counts, by row of the manifest: `status`, the NUMBERS of a shard's `runs`, and
    `shard_index`, its place in the sources (-1: no record). messages: row -> why it failed. again: what was executed again.
    """

    sources: list[Source]
    runs: dict[str, np.ndarray]
    messages: dict[int, str] = field(default_factory=dict)
    again: set[Again] = field(default_factory=set)

    @classmethod
    def empty(cls, n_runs: int, names: Sequence[str]) -> "Tally":
        """Nothing is read yet of the files `names`."""
        runs = {name: np.full(n_runs, np.nan if _RECORD[name].kind == "f" else 0, _RECORD[name]) for name in NUMBERS}
        runs |= {"status": np.full(n_runs, MISSING, STATUS), "shard_index": np.full(n_runs, -1)}
        return cls([Source(name) for name in names], runs)

    def add(self, place: int, shard: Shard, version: Version, planned: Planned, rows: Rows) -> None:
        """Count a shard that is new, or has more records than before.

        Raises:
            Shrunk: it has fewer.
        """
        if len(shard.runs) < self.sources[place].n_records:
            raise Shrunk
        row_of = planned.rows_of(shard.runs["run_id"])
        in_grid = np.flatnonzero(row_of >= 0)
        in_grid = in_grid[np.argsort(row_of[in_grid], kind="stable")]
        is_new = (np.diff(row_of[in_grid], prepend=-1) != 0) & (self.runs["shard_index"][row_of[in_grid]] < 0)
        self._count(place, shard, in_grid[is_new], row_of, rows)
        for record in in_grid[~is_new]:
            self._compare(place, shard, record, row_of, rows)
        damaged = [f"{shard.path}: the record of run {run_id} is damaged (crc32); left out" for run_id in shard.damaged]
        origin = {name: str(shard.attributes.get(name, "")) for name in ORIGIN}
        n_left_out = len(row_of) - len(in_grid)
        self.sources[place] = Source(shard.path.name, version, len(shard.runs), n_left_out, "\n".join(damaged), origin)

    def pass_over(self, place: int, problem: str, version: Version) -> None:
        """Note a file that is of no use.

        Raises:
            Shrunk: it was, before.
        """
        if self.sources[place].n_records:
            raise Shrunk
        self.sources[place] = Source(self.sources[place].name, version, problem=problem)

    def counted(self, row: int, rows: Rows) -> Again:
        """The record that counts of a run, in the form of those beside it."""
        status, shard, accuracy, loss = (
            self.runs[name][row].item() for name in ("status", "shard_index", "test_accuracy", "test_loss")
        )
        return Again(row, shard, status.decode(), _digest(status, *rows.read(row)), accuracy, loss)

    def _count(self, place: int, shard: Shard, records: np.ndarray, row_of: np.ndarray, rows: Rows) -> None:
        """Let these records of a shard, ascending by row, be those that count."""
        if not len(records):
            return
        at, runs = row_of[records], shard.runs[records]
        rows.write(at, shard.history[records], shard.correct[records])
        for name in ("status", *NUMBERS):
            self.runs[name][at] = runs[name]
        self.runs["shard_index"][at] = place
        for i in np.flatnonzero(runs["message"] != b""):
            self.messages[int(at[i])] = runs["message"][i].decode(errors="replace")

    def _compare(self, place: int, shard: Shard, record: np.intp, row_of: np.ndarray, rows: Rows) -> None:
        """A further record of a run: finished beats failed, and then the first in name order counts."""
        row, values = int(row_of[record]), shard.runs[record]
        status, accuracy, loss = (values[name].item() for name in ("status", "test_accuracy", "test_loss"))
        content = _digest(status, shard.history[record], shard.correct[record])
        new, old = Again(row, place, status.decode(), content, accuracy, loss), self.counted(row, rows)
        if new == old or new in self.again:  # read before
            return
        if (new.status not in FINISHED, new.shard) < (old.status not in FINISHED, old.shard):
            self.messages.pop(row, None)
            self._count(place, shard, np.array([record]), row_of, rows)
            new = old
        self.again.add(new)

    def to_json(self) -> str:
        """All but `runs`."""
        again = sorted(self.again, key=lambda one: (one.row, one.shard, one.digest))
        return json.dumps(
            [[asdict(one) for one in self.sources], sorted(self.messages.items()), [asdict(one) for one in again]]
        )

    @classmethod
    def from_json(cls, text: str, runs: dict[str, np.ndarray], names: Sequence[str]) -> "Tally":
        """What `to_json` and `runs` were, with the files `names` in place of those of that time.

        Raises:
            Shrunk: one of those is gone.
        """
        old_sources, messages, again = json.loads(text)
        sources = {name: Source(name) for name in names}
        if not all(source["name"] in sources for source in old_sources):
            raise Shrunk
        for old in old_sources:
            sources[old["name"]] = Source(**{**old, "version": tuple(old["version"])})
        place_of = {name: place for place, name in enumerate(sources)}
        places = np.array([place_of[old["name"]] for old in old_sources] + [-1])  # the last is that of index -1
        runs["shard_index"] = places[runs["shard_index"]]
        moved = {Again(**{**one, "shard": int(places[one["shard"]])}) for one in again}
        return cls(list(sources.values()), runs, {row: message for row, message in messages}, moved)


def _digest(status: bytes, history: np.ndarray, correct: np.ndarray) -> str:
    """Of what training decides, whatever it was padded to."""
    n_epochs = np.flatnonzero(~np.isnan(history).all(axis=0)).max(initial=-1) + 1
    content = [status, np.ascontiguousarray(history[:, :n_epochs]).tobytes(), correct.tobytes().rstrip(b"\0")]
    return hashlib.blake2b(b"|".join(content), digest_size=16).hexdigest()
