"""Shards -> one table in which each run counts once, with its history and its bits."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from jobs.campaign import Campaign
from jobs.manifest import Header, read_manifest
from jobs.shard import FINISHED, HISTORY, Shard, no_runs, read_shards
from noisy.spec import RunSpec, spec_of

SPEC_FIELDS = tuple(field.name for field in dataclasses.fields(RunSpec))
CELL_FIELDS = tuple(name for name in SPEC_FIELDS if name != "repeat")
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
# attributes of a shard
_ORIGIN = ("host", "cpu", "device", "cpu_threads", "versions", "code_commit", "data_digest", "job", "attempt")
_SAME_MACHINE = ["cpu", "device", "cpu_threads", "versions"]  # where these agree, results agree bit by bit


@dataclass(frozen=True)
class Merged:
    """A campaign's results.

    planned: a row for every run of the manifest: run_id and the fields of its spec.
    runs: a row for every run with a record, in the manifest's order: the planned columns, those of a shard's `runs`, and
        where it was made. Finished beats failed; among finished records the first in file-name order counts.
    history: float64 (n, 3, epochs), by run as in `runs`: train_loss, test_loss (nats), test_accuracy; NaN where not run.
    correct: uint8 (n, bytes), by run as in `runs`: one bit per test image (numpy.packbits).
    problems: what cannot be trusted, a line each: unreadable shards, damaged records, disagreements.
    notes: what a reader should know, a line each: duplicates, records left out, mixed code commits.
    """

    header: Header
    planned: pd.DataFrame
    runs: pd.DataFrame
    history: np.ndarray
    correct: np.ndarray
    problems: list[str]
    notes: list[str]


def merge(campaign: Campaign) -> Merged:
    """Merge a campaign's shards; reads only, and works while it is running.

    Raises:
        ManifestError: the manifest cannot be read or was changed.
    """
    manifest = read_manifest(campaign.manifest)
    planned = pd.DataFrame(
        [_planned_row(run_id, text) for run_id, text in manifest.runs.items()], columns=["run_id", *SPEC_FIELDS]
    )
    planned["max_train_samples"] = planned["max_train_samples"].astype("Int64")  # <NA> where it is all of them
    shards, problems = _readable(campaign, manifest.header)
    records = _records(shards)
    history = _stacked([np.empty((0, len(HISTORY), 0)), *(shard.history for shard in shards)], np.nan)
    correct = _stacked([np.empty((0, 0), np.uint8), *(shard.correct for shard in shards)], 0)
    in_grid = records["run_id"].isin(manifest.runs)
    ranked = records[in_grid].assign(is_failure=lambda r: ~r["status"].isin(FINISHED)).sort_values("is_failure", kind="stable")
    first = ranked.drop_duplicates("run_id")
    problems += _disagreements(ranked[~ranked["is_failure"]], history, correct) + _mixed_data(first)
    runs = planned.merge(first.drop(columns="is_failure"), on="run_id", how="inner", validate="one_to_one")
    row = runs.pop("row").to_numpy(dtype=int)
    columns = [*_FIRST_COLUMNS, *(name for name in runs.columns if name not in _FIRST_COLUMNS)]
    return Merged(
        manifest.header,
        planned,
        runs[columns],
        history[row],
        correct[row],
        problems,
        _notes(records, in_grid, ranked, first),
    )


def _planned_row(run_id: str, canonical_json: str) -> tuple:
    spec = spec_of(canonical_json)
    values = {name: getattr(spec, name) for name in SPEC_FIELDS}
    if spec.hidden_sizes is not None:
        values["hidden_sizes"] = "-".join(map(str, spec.hidden_sizes))
    return (run_id, *values.values())


def _readable(campaign: Campaign, header: Header) -> tuple[list[Shard], list[str]]:
    shards, problems = [], []
    for shard in read_shards(campaign.shard_paths(), header.campaign):
        if isinstance(shard, str):
            problems.append(shard)
            continue
        problems += [f"{shard.path}: the record of run {run_id} is damaged (crc32); left out" for run_id in shard.damaged]
        shards.append(shard)
    return shards, problems


def _records(shards: list[Shard]) -> pd.DataFrame:
    """All records of all shards in file-name order; `row` is the place of a record in the stacked histories."""
    tables = [
        _table(s.runs, {name: s.attributes.get(name, "") for name in _ORIGIN}, s.path.name) for s in shards if len(s.runs)
    ]
    records = pd.concat(tables or [_table(no_runs(), dict.fromkeys(_ORIGIN, ""), "")], ignore_index=True)
    return records.assign(row=np.arange(len(records)))


def _table(runs: np.ndarray, origin: dict[str, Any], shard: str) -> pd.DataFrame:
    columns = {name: runs[name] for name in runs.dtype.names or () if name not in ("spec", "crc32")}
    decoded = {
        name: np.char.decode(column, "utf-8") if column.dtype.kind == "S" else column for name, column in columns.items()
    }
    return pd.DataFrame(decoded).assign(**origin, shard=shard)


def _stacked(arrays: list[np.ndarray], padding: float) -> np.ndarray:
    """Concatenate along the first axis, padding the last one to the widest."""
    width = max(array.shape[-1] for array in arrays)
    padding_of = [[(0, 0)] * (array.ndim - 1) + [(0, width - array.shape[-1])] for array in arrays]
    return np.concatenate([np.pad(a, widths, constant_values=padding) for a, widths in zip(arrays, padding_of, strict=True)])


def _disagreements(finished: pd.DataFrame, history: np.ndarray, correct: np.ndarray) -> list[str]:
    """Records of one run from like machines must be equal in every bit that training decides."""
    problems = []
    twice = finished[finished.duplicated("run_id", keep=False)]
    for run_id, records in twice.groupby("run_id", sort=False):
        for _, alike in records.groupby(_SAME_MACHINE, sort=False):
            seen: dict[Any, pd.Series] = {}
            for _, record in alike.iterrows():
                seen.setdefault((record["status"], history[record["row"]].tobytes(), correct[record["row"]].tobytes()), record)
            if len(seen) > 1:
                values = "; ".join(
                    f"{r['test_accuracy']!r} (loss {r['test_loss']!r}) in {r['shard']} on {r['host']}" for r in seen.values()
                )
                problems.append(f"run {run_id}: records of like machines disagree: {values}; the first counts")
    return problems


def _mixed_data(first: pd.DataFrame) -> list[str]:
    digests = sorted(set(first["data_digest"]) - {""})
    return (
        [f"runs were trained on different data (digests {', '.join(digests)}): compare the data_dir of every host"]
        if len(digests) > 1
        else []
    )


def _notes(records: pd.DataFrame, in_grid: pd.Series, ranked: pd.DataFrame, first: pd.DataFrame) -> list[str]:
    notes = []
    n_left_out = records[~in_grid]["run_id"].nunique()
    if n_left_out:
        notes.append(f"{n_left_out} recorded runs are no longer in the grid: kept in the shards, left out here")
    n_again = len(ranked) - len(first)
    if n_again:
        notes.append(f"{n_again} records are of runs that were executed again; each run counts once")
    for name in ("code_commit", "versions"):
        values = sorted(set(first[name]))
        if len(values) > 1:
            notes.append(f"runs are of different {name}: {', '.join(values)}")
    return notes
