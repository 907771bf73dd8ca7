"""What the Python interface (`hpc.Campaign`) asks of a campaign's results. Nothing is written into the campaign's folder."""

import contextlib
import difflib
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
from jobs.image import FINISHED
from jobs.shard import version_of

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
        filters: as `fits`.
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


def _chosen(table: pd.DataFrame, filters: Sequence[str], is_all: bool) -> pd.DataFrame:
    there = table if is_all else table[table["status"].isin(FINISHED)]
    terms = " ".join(filters).split()
    found = there[fits(there, terms)]
    if terms and not len(found):
        values = "; ".join(
            f"{name}: {_values(there[name])}" for name in dict.fromkeys(term.partition("=")[0] for term in terms)
        )
        raise NoSuchThing(f"no {'' if is_all else 'finished '}run has {' '.join(terms)}; there is {values}")
    return found


def fits(table: pd.DataFrame, terms: Sequence[str]) -> np.ndarray:
    """bool (n,): which runs fit every term, `COLUMN=VALUE` with the value as results_per_run.csv writes it.

    Raises:
        NoSuchThing: a term is none, or there is no such column.
    """
    fit = np.ones(len(table), bool)
    for term in terms:
        name, equals, value = term.partition("=")
        if not equals or name not in table:
            near = difflib.get_close_matches(name, list(table), 1)
            meant = f"meant: {near[0]}?" if near and equals else f"allowed: COLUMN=VALUE, with one of {', '.join(table)}"
            raise NoSuchThing(f"{term!r}: not possible; {meant}")
        fit &= _equal(table[name], value)
    return fit


def _equal(column: pd.Series, value: str) -> np.ndarray:
    if not value:
        return column.isna().to_numpy()
    if not pd.api.types.is_numeric_dtype(column):
        return (column.astype("string") == value).to_numpy(bool, na_value=False)
    try:
        return (column == float(value)).to_numpy(bool, na_value=False)
    except ValueError:
        return np.zeros(len(column), bool)


def _values(column: pd.Series) -> str:
    """Some of the values of a column."""
    values = [f"{value:g}" if isinstance(value, float) else str(value) for value in column.dropna().unique()[:10]]
    return ", ".join(values) + (", and more" if column.nunique() > len(values) else "") if values else "nothing"
