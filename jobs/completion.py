"""Shell completion of filters and run_ids, with names and values from the campaign's manifest."""

import contextlib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from jobs.columns import PLANNED, planned_columns
from jobs.commandline import the_campaign
from jobs.manifest import ManifestError, parse_run_line
from jobs.reading import open_regular
from noisy.runs import Runs

_MOST_LINES = 20_000  # lines of a manifest that are read; each cell has its first repeats early
_TYPED = re.compile(r"([^=<>!]*(?:!=|<=|>=|=|<|>)(?:.*,)?)(.*)")


def candidates(prefix: str, folder: Path | None, takes: Sequence[str], others: Mapping[str, Sequence[str]]) -> list[str]:
    """The possible completions of `prefix`; none without a campaign.

    Args:
        folder: of the campaign; None: the one that a command would choose. takes, others: as in `Parser.add_campaign`.
    """
    with contextlib.suppress(ManifestError, OSError, ValueError, TypeError):
        runs = _runs(folder)
        found = list[str]()
        if "RUN_ID" in takes and not _TYPED.fullmatch(prefix):
            found += [run_id for run_id in runs.ids() if run_id.startswith(prefix)]
        if "FILTER" in takes:
            found += _of_filter(prefix, runs, others)
        return found
    return []


def _of_filter(prefix: str, runs: Runs, others: Mapping[str, Sequence[str]]) -> Iterator[str]:
    typed = _TYPED.fullmatch(prefix)
    if typed is None:
        yield from (f"{name}=" for name in (*PLANNED, *others) if name.startswith(prefix))
        return
    before, value = typed.groups()
    name = re.split("[=<>!]", before)[0]
    columns = planned_columns(runs)
    values = columns[name].texts() if name in columns else others.get(name, ())
    yield from (f"{before}{text}" for text in values if text.startswith(value))


def _runs(folder: Path | None) -> Runs:
    """The first runs of the campaign. They are only suggestions: the digest of the manifest is not compared."""
    path = the_campaign(folder).manifest
    with open_regular(path) as file:
        lines = itertools.islice(enumerate(file, start=1), 1, _MOST_LINES)
        return Runs.of_records(parse_run_line(path, number, line) for number, line in lines)
