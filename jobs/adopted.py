"""Records from elsewhere as shards of a campaign: of an archive, of a results.h5, or of a campaign that is merged into it.

An adopted shard has the id of its new campaign, and 0 as its submission, which no submission of a campaign has. So nobody takes
it for a shard of a task that is at work. Host, versions, code and all else stay as they were: they say where a record is from.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from jobs.campaign import Campaign, shard_prefix
from jobs.image import HISTORY, SCHEMA_VERSION, Record, image, is_file_sealed
from jobs.manifest import Manifest, ManifestError, read_manifest
from jobs.recorded import NUMBERS, RECORDED, Recorded
from jobs.shard import Shard

_LEFT_OUT = ("attributes_crc32", "current_run")


@dataclass(frozen=True)
class Origin:
    """Records of one shard of another campaign. attributes: the shard's own."""

    attributes: Mapping[str, Any]
    records: list[Record]

    @classmethod
    def of_shard(cls, shard: Shard) -> "Origin":
        """All intact records of a shard."""
        names = [name for name in shard.runs.dtype.names or () if name != "crc32"]
        records = [
            Record(history=history, correct=correct, **{name: _plain(row[name]) for name in names})
            for row, history, correct in zip(shard.runs, shard.history, shard.correct, strict=True)
        ]
        return cls(shard.attributes, records)

    def unseen(self, seen: set[bytes]) -> "Origin":
        """Its records that are not in `seen`, which they join. Copies of one record are one training, not several."""
        new = list[Record]()
        for record in self.records:
            content = _content(record, str(self.attributes.get("host", "")))
            if content not in seen:
                seen.add(content)
                new.append(record)
        return replace(self, records=new)

    def adopted(self, campaign_id: str, place: int) -> tuple[str, bytes]:
        """The name and the bytes of the shard that the campaign with this id gets.

        Args:
            place: a number for it; it becomes the number of the task.
        """
        kept = {name: value for name, value in self.attributes.items() if name not in _LEFT_OUT}
        own = {"schema_version": SCHEMA_VERSION, "campaign": campaign_id, "submission": 0, "task": place, "part": 0}
        attributes = {**kept, **own, "current_run": "", "adopted_from": self.attributes["campaign"]}
        content = image(self.records, attributes)
        token = hashlib.sha256(content).hexdigest()[:6]
        return f"{shard_prefix(0, place, int(self.attributes['attempt']))}{token}-p00.h5", content


class NoResults(ManifestError):
    """There is no results.h5 of the manifest beside it, or it cannot be read. The message names it."""


@dataclass(frozen=True, eq=False)
class Results:
    """What results.h5 has of the runs of the manifest beside it: in an unpacked archive, or in a campaign's folder.

    folder: of both files; recorded: as it was read from the shards; rows: int64 (n_runs,), the row of each run of the manifest.
    It is -1 for a run that results.h5 does not have, or whose record there was replaced by a redo since.
    """

    folder: Path
    manifest: Manifest
    recorded: Recorded
    rows: np.ndarray

    @classmethod
    def of(cls, folder: Path) -> "Results":
        """Read the manifest and what results.h5 remembers.

        Raises:
            ManifestError: the manifest cannot be read.
            NoResults: results.h5 cannot be read, or is of another campaign.
        """
        manifest, store = read_manifest(folder / "manifest.jsonl"), folder / "results.h5"
        rows = np.full(len(manifest.runs) + 1, -1)  # the last is that of runs that are no longer in the grid
        found = Recorded(manifest.header.campaign)
        with suppress(KeyError, ValueError):  # of another version of the code
            if is_file_sealed(store):
                with h5py.File(store, "r", locking=False) as h5:
                    run_ids = h5["run_id"][()]
                    found = Recorded.from_bytes(found.campaign, h5[RECORDED][()].tobytes())
        if not found.sources:
            raise NoResults(f"{store}: cannot be read, or is not of the manifest beside it")
        rows[manifest.runs.places_of(run_ids)] = np.arange(len(run_ids))
        rows[manifest.runs.places_of(_replaced_since(Campaign(folder), found))] = -1
        return cls(folder, manifest, found, rows[:-1])

    @cached_property
    def counting(self) -> np.ndarray:
        """int64 (n_runs,): the record that counts of each run of the manifest; -1 if there is none."""
        place = self.manifest.runs.places_of(self.recorded.records["run_id"][self.recorded.counting])
        counting = np.full(len(self.manifest.runs) + 1, -1)
        counting[place] = self.recorded.counting
        return np.where(self.rows < 0, -1, counting[:-1])

    def finished(self) -> np.ndarray:
        """int64 (k,), ascending: the places in the manifest of runs that are done."""
        is_done = np.append(self.recorded.is_finished, False)
        return np.flatnonzero(is_done[self.counting])

    def origins(self, places: np.ndarray) -> Iterator[Origin]:
        """The records that count of these runs (places in the manifest), by the shards that they were in."""
        places = places[self.counting[places] >= 0]
        if not len(places):
            return
        places = places[np.argsort(self.rows[places])]  # h5py reads rows in their order
        source = self.recorded.source[self.counting[places]]
        with h5py.File(self.folder / "results.h5", "r", locking=False) as h5:
            for number in np.unique(source):
                chosen = places[source == number]
                rows, texts = self.rows[chosen], self.manifest.runs.take(chosen).texts()
                history = np.stack([h5[f"history_{name}"][rows] for name in HISTORY], axis=1)
                each = zip(self.counting[chosen], texts, history, h5["correct"][rows], strict=True)
                yield Origin(self.recorded.sources[number].attributes, [self._record(*one) for one in each])

    def _record(self, number: int, spec: str, history: np.ndarray, correct: np.ndarray) -> Record:
        row = self.recorded.records[number]
        numbers = {name: row[name].item() for name in NUMBERS}
        n_epochs = np.flatnonzero(~np.isnan(history).all(axis=0)).max(initial=-1) + 1
        bits = correct[: -(-numbers["n_test"] // 8)]
        texts = {"run_id": row["run_id"].decode(), "spec": spec, "status": row["status"].decode()}
        return Record(**texts, **numbers, message=self.recorded.message(number), history=history[:, :n_epochs], correct=bits)


def only_in_results(campaign: Campaign, done: np.ndarray) -> tuple[Results, np.ndarray] | None:
    """The results of a campaign, and the places in its manifest of runs that are done in results.h5, but not in the shards.

    done: S16 (n,), the runs that are done in the shards. None if there is no such run, or if results.h5 cannot be trusted.
    """
    with suppress(ManifestError, OSError):
        results = Results.of(campaign.folder)
        places = results.finished()
        places = places[~np.isin(results.manifest.runs.run_id[places], done)]
        if len(places):
            return results, places
    return None


def _replaced_since(campaign: Campaign, recorded: Recorded) -> np.ndarray:
    """S16 (k,): runs whose records that count were put beside by `noisy redo --replace` after results.h5 was written.

    recorded: what results.h5 remembers. A shard in it is of that time if it has as many records as its copy of before.
    """
    copies = {one.name: len(one.records) for one in Recorded(recorded.campaign).updated(campaign.replaced_paths()).sources}
    is_before = np.array([len(one.records) == copies.get(one.name, -1) for one in recorded.sources], bool)
    return recorded.records["run_id"][recorded.counting[is_before[recorded.source[recorded.counting]]]]


def _content(record: Record, host: str) -> bytes:
    """16 bytes that stand for all that a record says, whatever the padding of its arrays."""
    texts = [host, *(repr(getattr(record, each.name)) for each in fields(record) if each.name not in ("history", "correct"))]
    n_epochs = np.flatnonzero(~np.isnan(record.history).all(axis=0)).max(initial=-1) + 1
    arrays = np.ascontiguousarray(record.history[:, :n_epochs]).tobytes() + b"|" + record.correct.tobytes().rstrip(b"\0")
    return hashlib.blake2b("|".join(texts).encode() + arrays, digest_size=16).digest()


def _plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value.item()
