"""The records of runs that were trained again: the one that counted, and the new one."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpc.state.known import Known
from jobs.campaign import Campaign
from jobs.duplicates import digest
from jobs.recorded import Recorded
from jobs.shard import Shard, read_shards


@dataclass(frozen=True)
class Trained:
    """A finished record. digest: equal for equal bits; attributes: of its shard, whose name is `shard`."""

    status: str
    accuracy: float
    n_test: int
    digest: int
    attributes: Mapping[str, Any]
    shard: str


@dataclass(frozen=True)
class Pair:
    """Two records of one run."""

    run_id: bytes
    old: Trained
    new: Trained


def pairs(campaign: Campaign, known: Known, redo: int, run_ids: np.ndarray) -> list[Pair]:
    """Both records of each of these runs, S16 (n,), that this redo has finished and that has another finished record."""
    new = known.of_redo(redo).recorded
    old = known.recorded.only(before(known, redo))
    found = [dict(_trained(campaign, recorded, run_ids)) for recorded in (old, new)]
    return [
        Pair(run_id, found[0][run_id], found[1][run_id]) for run_id in run_ids.tolist() if all(run_id in one for one in found)
    ]


def before(known: Known, redo: int) -> set[int]:
    """The submissions whose records are not of this redo."""
    numbers = {each.submission.number for each in known.submitted if each.submission.redo == redo}
    return {source.task[0] for source in known.recorded.sources if source.attributes} - numbers


def _trained(campaign: Campaign, recorded: Recorded, run_ids: np.ndarray) -> Iterator[tuple[bytes, Trained]]:
    """The finished record that counts of each of these runs. The shards with them are read whole."""
    counting = recorded.counting[recorded.is_finished[recorded.counting]]
    counting = counting[np.isin(recorded.records["run_id"][counting], run_ids)]
    wanted: dict[int, set[bytes]] = {}
    for source, run_id in zip(recorded.source[counting].tolist(), recorded.records["run_id"][counting].tolist(), strict=True):
        wanted.setdefault(source, set()).add(run_id)
    names = [recorded.sources[source].name for source in wanted]
    shards = read_shards((campaign.shards / name for name in names), recorded.campaign)
    for name, shard, its_runs in zip(names, shards, wanted.values(), strict=True):
        if isinstance(shard, Shard):  # it may have gone meanwhile
            for i in np.flatnonzero(np.isin(shard.runs["run_id"], np.array(sorted(its_runs)))):
                row = shard.runs[i]
                numbers = row["status"].decode(), float(row["test_accuracy"]), int(row["n_test"])
                yield (
                    bytes(row["run_id"]),
                    Trained(*numbers, digest(row, shard.history[i], shard.correct[i]), shard.attributes, name),
                )
