"""What cannot be trusted in a campaign's records (problems), and what a reader should know (notes). Each is one line."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.counted import Counted, is_finished
from jobs.duplicates import ALONE, SAME_MACHINE, digest
from jobs.shard import Shard, read_shards
from noisy.runs import Runs

_RUN = ["row", "machine"]
_CONTENT = np.dtype([("row", int), ("machine", int), ("digest", "u8"), ("accuracy", float), ("loss", float), ("place", int)])


def problems(counted: Counted, runs: Runs, shards: Path) -> Iterator[str]:
    """Lines on files and records that cannot be used, records that disagree, and different data. shards: their folder."""
    yield from counted.recorded.problems
    yield from _disagreements(counted, runs, shards)
    digests = _values(counted, "data_digest") - {""}
    if len(digests) > 1:
        together = ", ".join(sorted(digests))
        yield f"runs were trained on different data (digests {together}): compare the data_dir of every host"


def notes(counted: Counted, is_part: bool = False) -> Iterator[str]:
    """Records left out, runs that were executed again, and different code. is_part: whether a filter left out runs."""
    n_left_out = np.count_nonzero(counted.row < 0)
    if is_part:
        yield f"this is a part of the campaign; records of runs that the filter leaves out: {n_left_out}"
    elif n_left_out:
        yield f"records of runs that are no longer in the grid: {n_left_out}; they stay in the shards and are left out here"
    n_again = np.count_nonzero(counted.row[counted.recorded.distinct] >= 0) - np.count_nonzero(counted.record >= 0)
    if n_again:
        yield f"records of runs that were executed again: {n_again}; each run counts once"
    for name in ("code_commit", "versions"):
        values = sorted(_values(counted, name))
        if len(values) > 1:
            yield f"the runs do not all have the same {name}: {', '.join(values)}"
    executed, submitted = (counted.of_sources(name) for name in ("code_commit", "submitted_commit"))
    is_other = np.array([one not in ("", other) for one, other in zip(submitted, executed, strict=True)] + [False])
    n_other = np.count_nonzero(is_other[counted.source])
    if n_other:
        yield f"runs that were executed with another commit than they were submitted with: {n_other}"


def _values(counted: Counted, name: str) -> set[str]:
    """The values of an attribute over all shards with a record that counts."""
    values = counted.of_sources(name)
    return {values[place] for place in np.unique(counted.source) if place >= 0}


def _disagreements(counted: Counted, runs: Runs, shards: Path) -> Iterator[str]:
    """Lines on records of one run from equal machines that are not equal in all bits of the results.

    Records of runs that were trained together are not compared, because other runs of a group change the order of sums and so
    the rounding.
    """
    sources = counted.recorded.sources
    seen = pd.DataFrame(np.fromiter(_contents(counted, runs, shards), _CONTENT)).drop_duplicates([*_RUN, "digest"])
    seen = seen[seen.duplicated(_RUN, keep=False)].sort_values("row", kind="stable")
    for (row, _), records in seen.groupby(_RUN, sort=False):
        values = "; ".join(
            f"{record.accuracy!r} (loss {record.loss!r}) in {sources[record.place].name} on "
            f"{sources[record.place].attributes.get('host', '')}"
            for record in records.itertuples()
        )
        yield f"run {runs.run_id[row].decode()}: records from equal machines differ: {values}; the first counts"


def _contents(counted: Counted, runs: Runs, shards: Path) -> Iterator[tuple]:
    """_CONTENT of finished records, for runs with several of them from equal machines. Their shards are read again."""
    recorded = counted.recorded
    _, machine = np.unique(
        ["|".join(one) for one in zip(*map(counted.of_sources, SAME_MACHINE), strict=True)], return_inverse=True
    )
    is_alone = np.isin(counted.of_sources("runs_together"), ALONE)
    compared = np.flatnonzero((counted.row >= 0) & recorded.is_finished & is_alone[recorded.source])
    pairs = pd.DataFrame({"row": counted.row[compared], "machine": machine[recorded.source[compared]]}, compared)
    again = pairs.index[pairs.duplicated(keep=False)]
    is_again = np.zeros(len(runs) + 1, bool)  # the last one is for row -1
    is_again[counted.row[again]] = True
    places = np.unique(recorded.source[again]).tolist()
    paths = (shards / recorded.sources[place].name for place in places)
    for place, shard in zip(places, read_shards(paths, recorded.campaign), strict=True):
        if isinstance(shard, Shard):  # it may have been removed meanwhile
            row = runs.places_of(shard.runs["run_id"])
            for i in np.flatnonzero(is_again[row] & is_finished(shard.runs["status"])):
                accuracy, loss = (shard.runs[i][name] for name in ("test_accuracy", "test_loss"))
                yield row[i], machine[place], digest(shard.runs[i], shard.history[i], shard.correct[i]), accuracy, loss, place
