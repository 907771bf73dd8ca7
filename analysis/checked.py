"""Checking an unpacked archive: digests, results.h5, and the CSVs, which are made again from it."""

import io
import os
from pathlib import Path

import numpy as np
import pandas as pd

from analysis import doubts
from analysis.counted import Counted
from analysis.cover import About
from analysis.held import Refused
from analysis.merge import Merged, as_stored
from analysis.store import differing
from analysis.tables import csv_of, tables_of
from jobs.archived import ArchiveError, not_as_packed, wrong_files
from jobs.campaign import Campaign
from jobs.extensions import intact_copies
from jobs.manifest import ManifestError
from jobs.printing import count
from jobs.reading import brief, read_regular
from jobs.recorded import Recorded

_CLOSE = 1e-9  # relative: other versions of scipy and numpy may round the last digits in another way
_WIDTH = 21  # of the first column, in characters


def check(folder: Path) -> tuple[list[str], list[str]]:
    """What was checked, a line each; and what is wrong, a line each.

    Raises:
        ArchiveError: it is no archive of a campaign that this version of the code can read.
    """
    lines, problems = [], wrong_files(folder)
    lines.append(f"{'digests':{_WIDTH}}" + (not_as_packed(len(problems)) if problems else "all files are as packed"))
    try:
        about = About.from_json(read_regular(folder / "archive.json"))
    except (OSError, ValueError, TypeError) as error:
        raise ArchiveError(f"archive.json: cannot be used ({brief(error)})") from error
    try:
        merged = as_stored(folder / "results.h5", folder / "manifest.jsonl")
    except (Refused, ManifestError) as error:
        return lines, [*problems, _inside(str(error), folder)]
    lines.append(f"{'runs':{_WIDTH}}{about.summary()}")
    wrong = differing(folder / "results.h5", {**merged.runs, "run_id": merged.planned.runs.run_id})
    problems += [f"results.h5: its column {name} is not what its records say" for name in wrong]
    problems += [_inside(text, folder) for text in intact_copies(Campaign(folder), merged.planned.runs)[1]]
    tables = tables_of(merged, folder / "results.h5", about.reference or None)
    for name, table in tables.named().items():
        said, is_right = _compared(folder / name, table)
        if is_right:
            lines.append(f"{name:{_WIDTH}}{said}")
        else:
            problems.append(f"{name}: {said}")
    if about.has_shards:
        problems += [_inside(text, folder) for text in _shards(folder, merged)]
        lines.append(f"{'shards':{_WIDTH}}{count(len(Campaign(folder).shard_paths()), 'file')}, read again")
    return lines, problems


def _inside(text: str, folder: Path) -> str:
    """A message without the folder that an archive was unpacked to, which is soon gone."""
    return text.replace(f"{folder}{os.sep}", "")


def _compared(path: Path, table: pd.DataFrame) -> tuple[str, bool]:
    """What is said of a CSV file, compared with the table that was made again."""
    again = b"".join(csv_of(table))
    try:
        content = read_regular(path)
        if content == again:
            return "made again, equal in every byte", True
        there, made = pd.read_csv(io.BytesIO(content)), pd.read_csv(io.BytesIO(again))
    except (OSError, ValueError) as error:
        return f"cannot be read ({brief(error)})", False
    if list(there) != list(made) or len(there) != len(made):
        return f"{count(len(there), 'row')} and {there.shape[1]} columns; made again, {len(made)} and {made.shape[1]}", False
    wrong = [name for name in made if not _is_close(there[name], made[name])]
    if wrong:
        return f"differs from the one made again in {', '.join(wrong)}", False
    return f"made again, equal up to {_CLOSE:g} (other versions of the packages round differently)", True


def _is_close(a: pd.Series, b: pd.Series) -> bool:
    if pd.api.types.is_numeric_dtype(a) and pd.api.types.is_numeric_dtype(b):
        return np.allclose(a.to_numpy(float), b.to_numpy(float), rtol=_CLOSE, atol=1e-12, equal_nan=True)
    return a.fillna("").astype(str).equals(b.fillna("").astype(str))


def _shards(folder: Path, stored: Merged) -> list[str]:
    """What is wrong with the shards: they cannot be read, contradict each other, or say something else than results.h5."""
    campaign, planned = Campaign(folder), stored.planned
    counted = Counted.of(Recorded(planned.header.campaign).updated(campaign.shard_paths()), planned.runs)
    problems = list(doubts.problems(counted, planned.runs, campaign.shards))
    if not counted.table(planned).equals(stored.runs):
        problems.append("shards: they do not say what results.h5 says")
    return problems
