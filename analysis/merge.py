"""Shards -> results.h5 and a table, in which each run counts once.

Files that have not changed since results.h5 was made are not read again; without it, all are.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from tqdm import tqdm

from analysis.planned import Planned, read_planned
from analysis.store import Rows, add, lay_out
from analysis.tally import NUMBERS, ORIGIN, STATUS, Again, Shrunk, Tally
from jobs.campaign import Campaign
from jobs.files import replacing
from jobs.image import FINISHED
from jobs.manifest import Header
from jobs.shard import read_shards, version_of

_STORE_VERSION = 3  # of the layout of results.h5: one of another is made anew
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
_SAME_MACHINE = ("cpu", "product_route", "device", "cpu_threads", "versions")  # where these agree, results agree bit by bit


@dataclass(frozen=True)
class Merged:
    """A campaign's results.

    runs: a row for every planned run, in the manifest's order: run_id, the fields of its spec, the columns of a shard's
        `runs`, where it was made, and the file's name. status is MISSING where there is no record. Finished beats failed;
        among finished records the first in file-name order counts.
    problems: what cannot be trusted, a line each: unreadable files, damaged records, disagreements.
    notes: what a reader should know, a line each: duplicates, records left out, mixed code commits.
    """

    header: Header
    runs: pd.DataFrame
    problems: list[str]
    notes: list[str]


def merge(campaign: Campaign, store: Path) -> Merged:
    """Merge a campaign's shards into `store` (results.h5); works while it is running.

    Raises:
        ManifestError: the manifest cannot be read or was changed.
        OSError: the store cannot be written; the old one is untouched.
    """
    planned, paths = read_planned(campaign.manifest), campaign.shard_paths()
    try:
        tally, runs = _update(store, planned, paths, _previous(store, planned, paths))
    except Shrunk:
        tally, runs = _update(store, planned, paths, None)
    return Merged(planned.header, runs, _problems(store, planned, tally), _notes(tally))


def _previous(store: Path, planned: Planned, paths: list[Path]) -> Tally | None:
    """What the store was made of; None if there is none, or it is of another manifest or layout."""
    try:
        with h5py.File(store, "r", locking=False) as h5:
            if (h5.attrs["store_version"], h5.attrs["manifest"]) != (_STORE_VERSION, _text(planned)):
                return None
            runs = {name: h5[name][()] for name in (*NUMBERS, "shard_index")} | {"status": h5["status"][()].astype(STATUS)}
            return Tally.from_json(h5["tally"][()].decode(), runs, [path.name for path in paths])
    except (OSError, KeyError, ValueError, TypeError, Shrunk):
        return None


def _update(store: Path, planned: Planned, paths: list[Path], previous: Tally | None) -> tuple[Tally, pd.DataFrame]:
    """Read what changed, and write the store if anything did."""
    tally = previous or Tally.empty(len(planned.run_id), [path.name for path in paths])
    versions = [version_of(path) for path in paths]  # before they are read: what is written meanwhile is read again next time
    changed = [place for place, version in enumerate(versions) if tally.sources[place].version != version]
    if previous and not changed:
        return tally, _table(planned, tally)
    with replacing(store) as file:
        rows = lay_out(file, len(planned.run_id), planned.n_epochs, planned.n_bytes)
        if previous:
            with store.open("rb") as old:
                rows.copy_from(Rows(old))
        progress = tqdm(changed, "reading shards", leave=False, delay=1, disable=None)
        shards = read_shards((paths[place] for place in changed), planned.header.campaign)
        for place, shard in zip(progress, shards, strict=True):
            if isinstance(shard, str):
                tally.pass_over(place, shard, versions[place])
            else:
                tally.add(place, shard, versions[place], planned, rows)
        if not previous:
            rows.clear(np.flatnonzero(tally.runs["shard_index"] < 0))
        runs = _table(planned, tally)
        attributes = {"store_version": _STORE_VERSION, "campaign": planned.header.campaign, "manifest": _text(planned)}
        add(file, {**runs, "run_id": planned.run_id, "shard_index": tally.runs["shard_index"]}, tally.to_json(), attributes)
    return tally, runs


def _text(planned: Planned) -> str:
    return json.dumps(asdict(planned.header))


def _table(planned: Planned, tally: Tally) -> pd.DataFrame:
    """`Merged.runs`; texts are categories, which take a byte or two a run."""
    shard = tally.runs["shard_index"]
    table = planned.table().assign(**{name: tally.runs[name] for name in NUMBERS})
    table["status"] = pd.Categorical(tally.runs["status"].astype(str))
    for name in ORIGIN:
        table[name] = _categories([source.origin[name] for source in tally.sources], shard)
    table["shard"] = _categories([source.name for source in tally.sources], shard)
    its_message = np.full(len(table), -1)
    its_message[list(tally.messages)] = np.arange(len(tally.messages))
    table["message"] = _categories(list(tally.messages.values()), its_message)
    return table[[*_FIRST_COLUMNS, *(name for name in table if name not in _FIRST_COLUMNS)]]


def _categories(values: list[str], index: np.ndarray) -> pd.Categorical:
    """The value at each index; none at -1."""
    kinds, codes = np.unique(np.array(values, dtype=str), return_inverse=True)
    return pd.Categorical.from_codes(np.append(codes, -1)[index], kinds)


def _problems(store: Path, planned: Planned, tally: Tally) -> list[str]:
    problems = [line for source in tally.sources for line in source.problem.splitlines()]
    if tally.again:
        with store.open("rb") as file:
            problems += _disagreements(planned, tally, Rows(file))
    digests = _values(tally, "data_digest") - {""}
    if len(digests) > 1:
        together = ", ".join(sorted(digests))
        problems.append(f"runs were trained on different data (digests {together}): compare the data_dir of every host")
    return problems


def _disagreements(planned: Planned, tally: Tally, rows: Rows) -> Iterator[str]:
    """Records of one run from like machines must be equal in every bit that training decides.

    Of runs that were trained together only the law agrees: with others in company, sums are rounded in another order.
    """
    by_row = defaultdict(list)
    for one in tally.again:
        by_row[one.row].append(one)
    for row in sorted(by_row):
        like: dict[tuple[str, ...], dict[str, Again]] = defaultdict(dict)  # machine -> content -> the first record of it
        for one in sorted([tally.counted(row, rows), *by_row[row]], key=lambda one: one.shard):
            origin = tally.sources[one.shard].origin
            if one.status in FINISHED and origin["runs_together"] in ("", "1"):  # earlier shards do not say it: alone
                machine = tuple(origin[name] for name in _SAME_MACHINE)
                like[machine].setdefault(one.digest, one)
        for seen in like.values():
            if len(seen) > 1:
                values = "; ".join(_value(one, tally) for one in seen.values())
                run_id = planned.run_id[row].decode()
                yield f"run {run_id}: records of like machines disagree: {values}; the first counts"


def _value(one: Again, tally: Tally) -> str:
    source = tally.sources[one.shard]
    return f"{one.test_accuracy!r} (loss {one.test_loss!r}) in {source.name} on {source.origin['host']}"


def _values(tally: Tally, name: str) -> set[str]:
    """What an attribute is in the shards of which records count."""
    used = np.unique(tally.runs["shard_index"])
    return {tally.sources[place].origin[name] for place in used if place >= 0}


def _notes(tally: Tally) -> list[str]:
    notes = []
    n_left_out = sum(source.n_left_out for source in tally.sources)
    if n_left_out:
        notes.append(f"{n_left_out} records are of runs that are no longer in the grid: kept in the shards, left out here")
    if tally.again:
        notes.append(f"{len(tally.again)} records are of runs that were executed again; each run counts once")
    for name in ("code_commit", "versions"):
        values = sorted(_values(tally, name))
        if len(values) > 1:
            notes.append(f"runs are of different {name}: {', '.join(values)}")
    return notes
