"""Puts records that were replaced beside the others: they no longer count, and nothing of them is lost.

A whole shard is copied first. Then the shard is written again without the replaced records, or removed if it has no other. A
crash between these steps leaves a record in both places, and the same command goes on.
"""

import functools
from collections.abc import Collection
from pathlib import Path

import numpy as np

from hpc.state.again import before
from hpc.state.known import Known
from jobs.campaign import Campaign
from jobs.files import make_folder, publish, sync_folder
from jobs.image import image
from jobs.reading import read_regular
from jobs.recorded import Recorded, Source
from jobs.shard import read_shard


def shards_with(known: Known, redo: int, run_ids: np.ndarray) -> list[Source]:
    """The shards with records of these runs, S16 (n,), that are not of this redo."""
    numbers = before(known, redo)
    sources = (source for source in known.recorded.sources if source.task[0] in numbers)
    return [source for source in sources if np.isin(source.records["run_id"], run_ids).any()]


def replace_records(campaign: Campaign, sources: Collection[Source], redo: int, run_ids: np.ndarray) -> int:
    """Put the records of these runs, S16 (n,), in these shards beside; returns their number.

    Raises:
        OSError, ShardError: a shard cannot be read or written. It is then as it was.
    """
    archive, n_records = campaign.replaced(redo), 0
    if sources:
        make_folder(archive)
    for source in sources:
        path, copy = campaign.shards / source.name, archive / source.name
        shard = read_shard(path)
        is_replaced = np.isin(shard.runs["run_id"], run_ids)
        if not copy.exists():  # else it is the whole shard, from a command that was interrupted
            publish(copy, read_regular(path))
        if is_replaced.all():
            path.unlink()
            sync_folder(campaign.shards)
        else:
            publish(path, image([shard.record(i) for i in np.flatnonzero(~is_replaced).tolist()], shard.attributes))
        n_records += int(is_replaced.sum())
    return n_records


def ever_recorded(campaign: Campaign, recorded: Recorded) -> list[Source]:
    """All shards with all records that they ever had, also those that were replaced: what their runs used was used.

    Raises:
        ManifestError: a folder of replaced shards cannot be read.
    """
    before = _before(recorded.campaign, tuple(campaign.replaced_paths()))
    names = {source.name for source in before}
    return [*before, *(source for source in recorded.sources if source.name not in names)]


@functools.lru_cache(maxsize=1)
def _before(campaign_id: str, paths: tuple[Path, ...]) -> list[Source]:
    """Read shards that never change; those that cannot be read are left out."""
    return [source for source in Recorded(campaign_id).updated(paths).sources if source.attributes]
