"""The contents of a campaign's shards. Workers, commands and the report all read shards by this module.

A file is read again only if it has changed. `read_recorded` keeps what it has read in the file `.recorded` in the campaign's
folder, which may be removed at any time.
"""

import contextlib
import io
import json
import operator
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from jobs.campaign import Campaign
from jobs.files import publish
from jobs.image import FINISHED, is_sealed, no_runs, sealed
from jobs.reading import read_regular
from jobs.shard import Shard, Version, read_shards, version_of
from noisy.runs import ID

RECORDED = "merge/recorded"  # its place in results.h5; in a group of its own, because xarray opens a file without its groups
STATUS = np.dtype("S8")  # as wide as the longest status, diverged
_KINDS = no_runs().dtype
NUMBERS = [name for name in _KINDS.names or () if _KINDS[name].kind != "S" and name != "crc32"]
RECORD = np.dtype([("run_id", ID), ("status", STATUS), *((name, _KINDS[name]) for name in NUMBERS)])
_NPZ = b"PK"  # the first bytes of the remembered state
_SCHEMA = 1  # version of the remembered state; other versions are not read
_REMEMBER_FROM = 50  # number of files; reading fewer again is faster than writing the whole state


@dataclass(frozen=True, eq=False)
class Source:
    """The contents of a file in the folder of shards.

    records: RECORD (n,); messages: index of a failed record -> why it failed; attributes: those of the shard; problem: lines
    that say what is wrong with the file (empty: nothing). A file that cannot be used has no records and no attributes.
    """

    name: str
    version: Version
    records: np.ndarray = field(default_factory=lambda: np.empty(0, RECORD))
    messages: Mapping[int, str] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""

    @classmethod
    def of(cls, path: Path, version: Version, shard: Shard | str) -> "Source":
        """Make a source from a result of `read_shards`."""
        if isinstance(shard, str):
            return cls(path.name, version, problem=shard)
        records = np.empty(len(shard.runs), RECORD)
        for name in RECORD.names or ():
            records[name] = shard.runs[name]
        messages = shard.runs["message"]
        found = {int(i): messages[i].decode(errors="replace") for i in np.flatnonzero(shard.runs["status"] == b"failed")}
        damaged = (f"{path}: the record of run {run_id} is damaged (crc32); left out" for run_id in shard.damaged)
        plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in shard.attributes.items()}
        return cls(path.name, version, records, found, plain, "\n".join(damaged))

    @property
    def task(self) -> tuple[int, int]:
        """(submission, task) that wrote the file; (-1, -1) if it cannot be used."""
        return self.attributes.get("submission", -1), self.attributes.get("task", -1)


@dataclass(frozen=True)
class Attempt:
    """One attempt of a task, as its shard describes it.

    job: the job that executed it, empty if there is none; restart: how often that job was started before; run_id: the run in
    training when the shard was last written, empty if there was none.
    """

    task: int
    attempt: int
    job: str
    restart: int
    run_id: str


@dataclass(frozen=True, eq=False)
class Recorded:
    """All sources, in name order. Records are numbered in the same order.

    campaign: the id of the campaign; shards of other campaigns cannot be used (empty: any campaign). records: RECORD (n,), the
    records of all sources; those of each source are a slice of it.
    """

    campaign: str
    sources: tuple[Source, ...] = ()
    records: np.ndarray = field(default_factory=lambda: np.empty(0, RECORD))

    def updated(self, paths: Iterable[Path], seen: Callable[[Shard], None] | None = None) -> "Recorded":
        """The current contents of these files. Only new and changed files are read, and those that could not be used before.

        Args:
            paths: in name order.
            seen: is called with each shard that is read.
        """
        known = {source.name: source for source in self.sources}
        sources = []
        for path in paths:
            version = version_of(path)  # the version before reading, so that a change during the reading is noticed next time
            source = known.get(path.name)
            if source is None or source.version != version or not source.attributes:
                shard = next(iter(read_shards([path], self.campaign)))
                source = Source.of(path, version, shard)
                if seen and isinstance(shard, Shard):
                    seen(shard)
            sources.append(source)
        if len(sources) == len(self.sources) and all(map(operator.is_, sources, self.sources)):
            return self  # with all that was computed of it
        return self.of(self.campaign, sources)

    @classmethod
    def of(cls, campaign: str, sources: Sequence[Source]) -> "Recorded":
        """The value with these sources, in name order."""
        records = np.concatenate([np.empty(0, RECORD), *(source.records for source in sources)])
        parts = np.split(records, np.cumsum([len(source.records) for source in sources[:-1]], dtype=int))
        joined = (replace(source, records=part) for source, part in zip(sources, parts, strict=False))
        return cls(campaign, tuple(joined), records)

    def only(self, submissions: Collection[int]) -> "Recorded":
        """What the shards of some submissions say."""
        sources = tuple(source for source in self.sources if source.task[0] in submissions)
        return Recorded(self.campaign, sources, np.concatenate([np.empty(0, RECORD), *(one.records for one in sources)]))

    @cached_property
    def source(self) -> np.ndarray:
        """int64 (n,): the index in `sources` of each record."""
        return np.repeat(np.arange(len(self.sources)), [len(source.records) for source in self.sources])

    @cached_property
    def is_finished(self) -> np.ndarray:
        """bool (n,): whether each record says that its run is done."""
        return np.isin(self.records["status"], np.array(FINISHED, STATUS))

    @cached_property
    def task(self) -> np.ndarray:
        """int64 (n, 2): submission and task that wrote each record."""
        return np.array([source.task for source in self.sources], np.int64).reshape(-1, 2)[self.source]

    @cached_property
    def counting(self) -> np.ndarray:
        """int64 (k,), ascending: for each run, the record that counts: the first finished one, else the first failed one."""
        order = np.lexsort((~self.is_finished, self.records["run_id"]))  # stable
        run_ids = self.records["run_id"][order]
        is_first = np.ones(len(order), bool)
        is_first[1:] = run_ids[1:] != run_ids[:-1]
        return np.sort(order[is_first])

    @cached_property
    def at_hand(self) -> dict[tuple[int, int], str]:
        """(submission, task) -> the run that its last attempt was training when its shard was last written; empty if none."""
        last: dict[tuple[int, int], tuple[int, int, str]] = {}
        for source in self.sources:
            if source.attributes:
                place = tuple(source.attributes[name] for name in ("attempt", "part", "current_run"))
                last[source.task] = max(last.get(source.task, place), place, key=lambda one: one[:2])
        return {task: run_id for task, (_, _, run_id) in last.items()}

    @cached_property
    def attempts(self) -> dict[int, list[Attempt]]:
        """submission -> the attempts of its tasks. Several parts of one shard count as one attempt."""
        last: dict[str, Mapping[str, Any]] = {}
        for source in self.sources:
            if source.attributes:
                stem = source.name.rpartition("-p")[0]
                last[stem] = max(last.get(stem, source.attributes), source.attributes, key=lambda one: one["part"])
        found: dict[int, list[Attempt]] = {}
        for one in last.values():
            where = str(one.get("job", "")), int(one.get("job_restart", 0))
            found.setdefault(one["submission"], []).append(Attempt(one["task"], one["attempt"], *where, one["current_run"]))
        return found

    @cached_property
    def distinct(self) -> np.ndarray:
        """int64 (k,), ascending: all records without copies. A record that was taken over has one if its shard comes back."""
        if not any("adopted_from" in source.attributes for source in self.sources):
            return np.arange(len(self.records))
        columns = [np.unique(self.records[name], return_inverse=True)[1] for name in RECORD.names or ()]
        return np.sort(np.unique(np.stack(columns, axis=1), axis=0, return_index=True)[1])

    @property
    def problems(self) -> list[str]:
        """One line for each file with a problem."""
        return [line for source in self.sources for line in source.problem.splitlines()]

    def message(self, record: int) -> str:
        """The message of a failed record; empty for other records."""
        place = int(self.source[record])
        return self.sources[place].messages.get(record - int(np.searchsorted(self.source, place)), "")

    def to_bytes(self) -> bytes:
        """The object as bytes, with a checksum."""
        described = [
            [s.name, s.version, len(s.records), list(s.messages.items()), dict(s.attributes), s.problem] for s in self.sources
        ]
        memory = io.BytesIO()
        np.savez(
            memory,
            schema=_SCHEMA,
            campaign=np.bytes_(self.campaign.encode()),
            sources=np.bytes_(json.dumps(described).encode()),
            records=self.records,
        )
        return sealed(memory)

    @classmethod
    def from_bytes(cls, campaign: str, content: bytes) -> "Recorded":
        """The inverse of `to_bytes`. There are no sources if the bytes are damaged or of another campaign or version."""
        if not (is_sealed(content) and content.startswith(_NPZ)):  # in the same way as shards
            return cls(campaign)
        with np.load(io.BytesIO(content), allow_pickle=False) as saved:
            if saved["schema"] != _SCHEMA or saved["campaign"].item() != campaign.encode():
                return cls(campaign)
            described, records = json.loads(saved["sources"].item()), saved["records"]
        if records.dtype != RECORD:
            return cls(campaign)
        ends = np.cumsum([n for _, _, n, *_ in described])
        sources = (
            Source(name, tuple(version), records[end - n : end], dict(messages), attributes, problem)
            for end, (name, version, n, messages, attributes, problem) in zip(ends, described, strict=True)
        )
        return cls(campaign, tuple(sources), records)


def read_recorded(campaign: Campaign, campaign_id: str) -> Recorded:
    """Read the shards of the campaign with this id. Uses the remembered state, and renews it after reading many files."""
    content = b""
    with contextlib.suppress(OSError):
        content = read_regular(campaign.remembered)
    before = Recorded.from_bytes(campaign_id, content)
    found = before.updated(campaign.shard_paths())
    n_read = len({source.version for source in found.sources} - {source.version for source in before.sources})
    if n_read >= _REMEMBER_FROM:
        with contextlib.suppress(OSError):  # a read-only campaign can still be read
            publish(campaign.remembered, found.to_bytes())
    return found
