"""Merge shards into results.h5 and a table in which each run counts once.

results.h5 has a list of the files from which it was made. Files that have not changed since then are not read again. This list
is used only if the checksum of the whole file is right.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np
import pandas as pd
from tqdm import tqdm

from analysis import doubts
from analysis.counted import Counted, is_finished, rank_of
from analysis.datasets import own_files
from analysis.held import Refused, refuse_losses, refuse_part
from analysis.planned import Planned, read_planned
from analysis.store import Rows, complete, lay_out, remember
from jobs.campaign import Campaign
from jobs.files import replacing
from jobs.image import is_file_sealed
from jobs.recorded import RECORDED, Recorded
from jobs.shard import Shard, read_shards, version_of

_STORE_VERSION = 5  # of the layout of results.h5; a file of another version is made again


@dataclass(frozen=True)
class Merged:
    """A campaign's results.

    planned: the manifest.
    runs: a row for every planned run, in the manifest's order: run_id, the fields of its spec, the columns of a shard's `runs`,
    where it was trained, and the shard's name. status is MISSING if there is no record. A finished record counts more than a
    failed one; of several finished records, the one in the first file by name counts.
    problems: lines on what cannot be trusted: unreadable files, damaged records, records that differ.
    notes: lines on what a reader should know: duplicates, records left out, mixed code commits.
    """

    planned: Planned
    runs: pd.DataFrame
    problems: list[str]
    notes: list[str]


def merge(campaign: Campaign, store: Path, accept_fewer: bool = False, filters: Sequence[str] = ()) -> Merged:
    """Merge a campaign's shards into `store` (results.h5). This works while the campaign is running.

    Args:
        accept_fewer: replace the last results even if they have runs whose records can no longer be read.
        filters: only the runs that fit these, as in `read_planned`.

    Raises:
        ManifestError: the manifest cannot be read or was changed.
        FilterError, Nothing: a filter means nothing, or fits no run.
        Refused: the folder of shards cannot be read, or results would be lost. Nothing is written.
        OSError: the store cannot be written; the old one is not changed.
    """
    planned, paths = read_planned(campaign.manifest, filters), _shard_paths(campaign)
    if filters and not accept_fewer:
        refuse_part(store, planned.runs, campaign.folder)
    previous = _previous(store, planned)
    if _is_current(previous, paths):
        counted = Counted.of(previous, planned.runs)
        runs = counted.table(planned)
    else:
        store.parent.mkdir(parents=True, exist_ok=True)
        counted, runs = _update(store, planned, paths, previous, None if accept_fewer else campaign.shards)
    problems = doubts.problems(counted, planned.runs, campaign.shards)
    notes = [*doubts.notes(counted, planned.is_part), *own_files(planned.runs)]
    return Merged(planned, runs, list(problems), notes)


def look_at(campaign: Campaign) -> Merged:
    """As `merge`, but nothing is written. Files that are in the campaign's results.h5 are not read again.

    Raises:
        ManifestError: the manifest cannot be read or was changed.
        Refused: the folder of shards cannot be read.
    """
    planned, paths = read_planned(campaign.manifest), _shard_paths(campaign)
    counted = Counted.of(_previous(campaign.folder / "results.h5", planned).updated(paths), planned.runs)
    problems = doubts.problems(counted, planned.runs, campaign.shards)
    return Merged(planned, counted.table(planned), list(problems), [*doubts.notes(counted), *own_files(planned.runs)])


def as_stored(store: Path, manifest: Path) -> Merged:
    """What a results.h5 says, without the shards that it was made from; problems and notes are empty.

    Raises:
        ManifestError: the manifest cannot be read or was changed.
        Refused: results.h5 is damaged, of another version of the code, or not of this manifest.
    """
    planned = read_planned(manifest)
    previous = _previous(store, planned)
    if not previous.sources:
        raise Refused(f"{store}: it is damaged, of another version of the code, or not of the manifest beside it")
    return Merged(planned, Counted.of(previous, planned.runs).table(planned), [], [])


def _previous(store: Path, planned: Planned) -> Recorded:
    """What the store was made from; nothing if there is none, if it is damaged, or if its manifest or layout has changed."""
    if is_file_sealed(store):
        with h5py.File(store, "r", locking=False) as h5:
            if (h5.attrs["store_version"], h5.attrs["manifest"]) == (_STORE_VERSION, _text(planned)):
                return Recorded.from_bytes(planned.header.campaign, h5[RECORDED][()].tobytes())
    return Recorded(planned.header.campaign)


def _shard_paths(campaign: Campaign) -> list[Path]:
    """As `Campaign.shard_paths`, but an existing path that is not a folder, such as a broken link, is refused."""
    try:
        if os.path.lexists(campaign.shards):
            os.listdir(campaign.shards)
        return campaign.shard_paths()
    except OSError as error:
        raise Refused(f"{campaign.shards}: cannot be read ({error.strerror}); nothing was written") from error


def _is_current(previous: Recorded, paths: list[Path]) -> bool:
    """Whether there is nothing to add: no file is new, changed or gone, and files that could not be used still cannot."""
    if not previous.sources or [(s.name, s.version) for s in previous.sources] != [(p.name, version_of(p)) for p in paths]:
        return False
    unusable = (path for source, path in zip(previous.sources, paths, strict=True) if not source.attributes)
    return not any(isinstance(shard, Shard) for shard in read_shards(unusable, previous.campaign))


def _update(
    store: Path, planned: Planned, paths: list[Path], previous: Recorded, shards: Path | None
) -> tuple[Counted, pd.DataFrame]:
    """Read what has changed, and write the store. shards: their folder; None: results may be lost."""
    with replacing(store) as file:
        rows = lay_out(file, len(planned.runs), planned.n_epochs, planned.n_bytes)
        if previous.sources:
            with store.open("rb") as old:
                rows.copy_from(Rows(old))
        counted, is_complete = _fill(rows, planned, paths, previous)
        if not is_complete:
            counted, _ = _fill(rows, planned, paths, Recorded(planned.header.campaign))
        if shards:
            refuse_losses(store, counted.recorded, shards)
        if not (previous.sources and is_complete):
            rows.clear(np.flatnonzero(counted.record < 0))
        runs = _finish(file, planned, counted)
    return counted, runs


def _finish(file: BinaryIO, planned: Planned, counted: Counted) -> pd.DataFrame:
    """Write all but the rows of a results.h5; returns the table of its runs."""
    remember(file, counted.recorded.to_bytes())
    runs = counted.table(planned)
    attributes = {"store_version": _STORE_VERSION, "campaign": planned.header.campaign, "manifest": _text(planned)}
    complete(file, {**runs, "run_id": planned.runs.run_id}, attributes)
    return runs


def forget_place(store: Path, planned: Planned) -> None:
    """Write a results.h5 again as it would be on any disk: it does not remember the shards' inodes and times any more."""
    recorded = _previous(store, planned)
    placeless = Recorded.of(recorded.campaign, [replace(source, version=(0, 0, 0)) for source in recorded.sources])
    with replacing(store) as file:
        rows = lay_out(file, len(planned.runs), planned.n_epochs, planned.n_bytes)
        with store.open("rb") as old:
            rows.copy_from(Rows(old))
        _finish(file, planned, Counted.of(placeless, planned.runs))


def _fill(rows: Rows, planned: Planned, paths: list[Path], previous: Recorded) -> tuple[Counted, bool]:
    """Read the files that are new or changed, and write the histories and bits of records that count into their rows.

    Returns:
        The records that count, and whether all of them are in the rows. If a record that counted is gone, another record counts
        in its place, which may be in a file that was not read.
    """
    place_of = {path.name: place for place, path in enumerate(paths)}
    rank = Counted.of(previous, planned.runs).rank(place_of)  # ranks of the records in the rows

    def seen(shard: Shard) -> None:
        row = planned.runs.places_of(shard.runs["run_id"])
        its_rank = rank_of(is_finished(shard.runs["status"]), place_of[shard.path.name], len(paths))
        order = np.lexsort((its_rank, row))  # stable, so the first of equal ranks counts
        best = order[np.diff(row[order], prepend=-1) > 0]
        best = best[its_rank[best] <= rank[row[best]]]
        rank[row[best]] = its_rank[best]
        rows.write(row[best], shard.history[best], shard.correct[best])

    progress = tqdm(paths, "reading shards", leave=False, delay=1, disable=None)
    counted = Counted.of(previous.updated(progress, seen), planned.runs)
    return counted, np.array_equal(rank, counted.rank(place_of))


def _text(planned: Planned) -> str:
    return json.dumps(asdict(planned.header))
