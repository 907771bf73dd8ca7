"""What the Python interface (`hpc.Campaign`) asks of a campaign's results. Nothing is written into the campaign's folder."""

import contextlib
import re
import shlex
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.bits import open_bits
from analysis.figures.campaign import sheets, with_cells
from analysis.figures.sheets import Sheet, in_grid_order
from analysis.figures.style import STYLES, styled
from analysis.held import Refused
from analysis.merge import Merged, look_at, merge
from analysis.tables import tables_of
from jobs.campaign import Campaign
from jobs.columns import Column
from jobs.filters import FilterError, Nothing, matching, terms_of
from jobs.image import FINISHED
from jobs.shard import version_of
from noisy.spec import shown

_BRACKETS = re.compile(r"\[[^\]]*\]")

__all__ = ["NoSuchThing", "Refused", "Report", "correct", "figure", "report_of", "runs", "version_of_campaign"]


class NoSuchThing(ValueError):
    """Nothing has the name, or no run has the values, that were asked for. The message says what there is."""


@dataclass(frozen=True)
class Results:
    """All results of a campaign. store: a results.h5 of them."""

    merged: Merged
    store: Path


@dataclass(frozen=True)
class Report:
    """What a report shows.

    version: of what it was made of (`version_of_campaign`); summary: in the order of the grid; sheets: the figures by name.
    """

    version: list
    summary: pd.DataFrame
    sheets: dict[str, Sheet]


def runs(campaign: Campaign, filters: Sequence[str], is_all: bool = False) -> pd.DataFrame:
    """The finished runs that fit, with the columns of results_per_run.csv, in the manifest's order. Their index is their place.

    Args:
        filters: as in jobs/filters.py; several in one text are separated by blanks.
        is_all: also failed runs and those without a result, whose status is `missing`.

    Raises:
        NoSuchThing: no run fits.
        ManifestError, Refused: the campaign cannot be read.
    """
    return _chosen(_trusted(look_at(campaign)).runs, filters, is_all)


def correct(campaign: Campaign, filters: Sequence[str]) -> np.ndarray:
    """bool (runs, test images), whether each image was right, for the runs of `runs`, in their order.

    Raises:
        NoSuchThing, ManifestError, Refused: as `runs`.
    """
    with results(campaign) as found, open_bits(found.store) as bits:
        chosen = _chosen(found.merged.runs, filters, is_all=False)
        (n_test,) = chosen["n_test"].unique()  # a campaign has one data set
        return np.unpackbits(bits.of(chosen.index.to_numpy()), axis=1, count=int(n_test)).astype(bool)


def report_of(campaign: Campaign) -> Report:
    """The summary and the figures.

    Raises:
        ManifestError, Refused: the campaign cannot be read.
    """
    version = version_of_campaign(campaign)
    with results(campaign) as found:
        tables = tables_of(found.merged, found.store)
        summary = in_grid_order(tables.summary, found.merged.planned.cells)
        made = sheets(summary, with_cells(found.merged.runs, summary), tables.comparisons, found.store)
        return Report(version, summary, {sheet.name: sheet for sheet in made})


def version_of_campaign(campaign: Campaign) -> list:
    """A value that is another once results or the plan have changed."""
    return [(path.name, version_of(path)) for path in [campaign.manifest, *campaign.shard_paths()]]


def figure(there: Mapping[str, Sheet], name: str, style: str) -> Figure:
    """One of these figures.

    Args:
        name: as the report names its files, such as `accuracy_mlp`; its beginning will do if no other begins like this.
        style: one of analysis.figures.style.STYLES.

    Raises:
        NoSuchThing: there is no such figure, or there are several, or no such style.
    """
    alike = [name] if name in there else [each for each in there if each.startswith(name)]
    if len(alike) != 1:
        meant = "several begin like this" if alike else "there is none"
        raise NoSuchThing(f"figure {name!r}: {meant}; allowed: {', '.join(alike or there) or 'nothing, as no run is done'}")
    if style not in STYLES:
        raise NoSuchThing(f"style {style!r}: there is none; allowed: {', '.join(STYLES)}")
    with styled(style):
        return there[alike[0]].draw()


@contextlib.contextmanager
def results(campaign: Campaign) -> Iterator[Results]:
    """All results of a campaign, in a folder of their own. What the last report read of the shards is not read again.

    Raises:
        ManifestError, Refused: the campaign cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "results.h5"
        with contextlib.suppress(OSError):
            shutil.copyfile(campaign.folder / store.name, store)
        yield Results(_trusted(merge(campaign, store)), store)


def _trusted(merged: Merged) -> Merged:
    """The same; each thing that cannot be trusted is a warning."""
    for problem in merged.problems:
        warnings.warn(problem, stacklevel=2)
    return merged


def _words(filters: Sequence[str]) -> list[str]:
    """The terms in these texts. Blanks within brackets or quotes belong to a term."""
    try:
        return shlex.split(_BRACKETS.sub(lambda list_: list_[0].replace(" ", ""), " ".join(filters)))
    except ValueError as error:
        raise FilterError([f"{shown(' '.join(filters))}: not possible: {error}; allowed: COLUMN=VALUE"]) from error


def _chosen(table: pd.DataFrame, filters: Sequence[str], is_all: bool) -> pd.DataFrame:
    there = table if is_all else table[table["status"].isin(FINISHED)]
    try:
        terms = terms_of(_words(filters), _columns(table))  # the table: a value is none of the campaign's if no run has it
        return there.iloc[matching(terms, _columns(there), len(there))]
    except FilterError as error:
        raise NoSuchThing("\n".join(error.problems)) from error
    except Nothing as error:
        which = "all runs" if is_all else "the finished runs"
        raise NoSuchThing("\n  ".join([f"{error}; the values of {which}:", *error.values])) from error


def _columns(table: pd.DataFrame) -> dict[str, Column]:
    """The columns of a table of runs, for jobs/filters.py."""
    rows, columns = np.arange(len(table)), {}
    for name in map(str, table.columns):
        values = table[name]
        if isinstance(values.dtype, pd.CategoricalDtype):
            columns[name] = Column([*map(str, values.cat.categories), ""], values.cat.codes.to_numpy())
        elif pd.api.types.is_numeric_dtype(values):
            columns[name] = Column(values.to_numpy(float, na_value=np.nan), rows, pd.api.types.is_integer_dtype(values))
        else:
            columns[name] = Column(values.astype(str).tolist(), rows)
    return columns
