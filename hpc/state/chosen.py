"""Which runs of a campaign fit a filter (jobs/filters.py). In addition to the columns of the per-run CSV there is `state`."""

from collections.abc import Iterable

import numpy as np

from hpc.state.runs import STATES, State
from jobs.columns import ORIGIN, STATUSES, Column, Columns, columns_of
from jobs.filters import matching, terms_of
from jobs.recorded import NUMBERS

OFFERED = {  # by a shell that completes a filter: the columns that are not in the manifest, with their values if they are few
    "status": STATUSES,
    "state": STATES,
    **dict.fromkeys((*NUMBERS, *ORIGIN, "shard", "message"), ()),
}


def all_columns(found: State) -> Columns:
    """The columns by which the runs of a campaign can be chosen and shown."""
    return columns_of(found.runs, found.recorded) | {"state": lambda: Column(STATES, found.code, allowed=STATES)}


def chosen(found: State, words: Iterable[str]) -> np.ndarray:
    """int64 (k,), ascending: the places of the runs that fit these filters.

    Raises:
        FilterError: a word is not a filter.
        Nothing: no run fits.
    """
    columns = all_columns(found)
    return matching(terms_of(words, columns), columns, len(found.runs))
