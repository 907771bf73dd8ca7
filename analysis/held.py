"""Protection of earlier results: a report does not replace them by fewer runs unless the user asks for it."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from analysis.ending import ELSEWHERE
from analysis.planned import MISSING
from analysis.store import read_table
from jobs.adopted import only_in_results
from jobs.campaign import Campaign
from jobs.image import FINISHED, is_file_sealed
from jobs.printing import count
from jobs.reading import brief, open_regular
from jobs.recorded import Recorded
from jobs.typed import quoted, typed
from noisy.runs import Runs

PER_RUN_CSV = "results_per_run.csv"
_COLUMNS = ["run_id", "status", "shard"]
_MOST_NAMED = 10  # shards
_ACCEPT = "add --accept-fewer"


class Refused(Exception):
    """No report is made, because results would be lost or cannot be read. The message says why and what to do."""


def refuse_losses(store: Path, recorded: Recorded, shards: Path) -> None:
    """Compare the last results with the records that can be read now, whether or not their runs are still planned.

    Args:
        store: the results.h5 that a report would replace.
        recorded: the current contents of the shards.
        shards: the folder of the shards.

    Raises:
        Refused: results would be lost.
    """
    path, before = _held(store)
    lost = before[~_is_kept(before, recorded)]
    if len(lost):
        which = f"{len(lost)} of its {count(len(before), 'run')}"
        first = f"{path}: {which} can no longer be read from the shards; nothing was written"
        back = _way_back(store, recorded, Campaign(shards.parent))
        todo = f"restore them (is a file system not mounted?), {back}{ELSEWHERE}, or {_ACCEPT} to lose these runs"
        raise Refused("\n  ".join([first, *_gone(lost["shard"], shards), *recorded.problems[:_MOST_NAMED], todo]))


def refuse_part(store: Path, runs: Runs, own_folder: Path) -> None:
    """See that a report on some runs replaces no results of others, and is not taken for that of all runs.

    Args:
        own_folder: the campaign's.

    Raises:
        Refused: it would replace some, or be in the campaign's own folder.
    """
    path, before = _held(store)
    n_others = int((~before["run_id"].isin(runs.ids())).sum())
    if not n_others and store.parent.resolve() == own_folder.resolve():
        raise Refused(
            f"{own_folder}: the campaign's own folder is for the report on all runs; nothing was written; {ELSEWHERE}"
        )
    if n_others:
        raise Refused(f"{path}: {n_others} of its {len(before)} runs do not fit the filter; nothing was written; {ELSEWHERE}")


def _way_back(store: Path, recorded: Recorded, campaign: Campaign) -> str:
    """What takes lost records back from results.h5; empty if it has none of them."""
    done = recorded.records["run_id"][recorded.is_finished]
    kept = only_in_results(campaign, done) if store.parent == campaign.folder else None
    if not kept:
        return ""
    grid, folder = quoted(campaign.grid), quoted(campaign.folder)
    command = f"{typed('submit')} --grid {grid} --output-dir {folder} --from {folder}"
    return f"take {count(len(kept[1]), 'run')} back from results.h5 with `{command}`, "


def _is_kept(before: pd.DataFrame, recorded: Recorded) -> pd.Series:
    """bool (n,): whether each run still has a record (a finished one, if it was finished before)."""
    run_ids = recorded.records["run_id"].astype(str)
    was_finished = before["status"].isin(FINISHED)
    return before["run_id"].isin(run_ids[recorded.is_finished]) | (~was_finished & before["run_id"].isin(run_ids))


def _held(store: Path) -> tuple[Path, pd.DataFrame]:
    """The last results: the file that was read (the CSV if results.h5 is damaged), and run_id, status and shard of its runs.

    Raises:
        Refused: the last results cannot be read.
    """
    csv = store.with_name(PER_RUN_CSV)
    if is_file_sealed(store):
        table = read_table(store, _COLUMNS)
        return store, table[table["status"] != MISSING]
    if not (store.exists() or csv.exists()):
        return csv, pd.DataFrame(columns=_COLUMNS)
    try:
        with open_regular(csv) as file:
            return csv, pd.read_csv(file, usecols=_COLUMNS, dtype=str)
    except (OSError, ValueError) as error:
        which = f"{store} is damaged or of an earlier version, and {csv}" if store.exists() else f"{csv}"
        todo = f"move the old results away, {ELSEWHERE}, or {_ACCEPT}"
        raise Refused(
            f"{which} cannot be read ({brief(error)}), so a new report may lose runs; nothing was written; {todo}"
        ) from error


def _gone(shard: pd.Series, shards: Path) -> Iterator[str]:
    """A line for each shard that has lost runs. shard: the shard of each lost run."""
    n_lost = shard.value_counts(sort=False)
    for name, n in list(n_lost.items())[:_MOST_NAMED]:
        what = "no longer has all its records" if (shards / str(name)).exists() else "is gone"
        yield f"{shards / str(name)} {what}: {n} run{'' if n == 1 else 's'}"
    if len(n_lost) > _MOST_NAMED:
        yield f"and {len(n_lost) - _MOST_NAMED} more files"
