"""Differences between cells that differ in activation (compared with a reference), model type, or another axis."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from analysis.bits import Bits
from analysis.columns import COMPARISONS
from analysis.intervals import CONFIDENCE
from analysis.paired import paired
from analysis.pairs import Finished, cells_of_runs, codes, plain, same
from analysis.planned import CELL_FIELDS
from analysis.ranks import smallest_signed_rank

_PREFERRED = "relu"
_MOST_VALUES_IN_PAIRS = 6  # if an axis has more values, each is compared only with the first one


class UnknownReference(ValueError):
    """The reference is not an activation of the campaign. The message lists them."""


def reference_of(activations: Sequence[str], reference: str | None = None) -> str:
    """The activation that others are compared with: the one that the user names, else relu, else the first one.

    Raises:
        UnknownReference: the campaign does not have it.
    """
    if reference is None:
        return _PREFERRED if _PREFERRED in activations else activations[0]
    if reference not in activations:
        raise UnknownReference(
            f"--reference: {reference!r}: not an activation of this campaign; allowed: {', '.join(activations)}"
        )
    return reference


def compare_cells(
    per_run: pd.DataFrame, summary: pd.DataFrame, reference: str | None = None, bits: Bits | None = None
) -> pd.DataFrame:
    """All comparisons of a campaign, with a row for each pair of cells.

    Cells are compared if they differ in one field: activations with the reference; model types, and values of each further
    axis, with each other (only with the first one if there are more than 6). Values of p are not compared. Cells of different
    model types may also differ in fields that never have a common value, such as epochs. The comparisons on one axis are one
    family.

    Args:
        per_run: rows of `analysis.merge.Merged.runs`, in the grid's order of values. Rows of unfinished runs are ignored.
        summary: `analysis.statistics.summarise` of the same campaign.
        reference: an activation; None: relu if the campaign has it, else the first one.
        bits: those of the results.h5 whose rows are `per_run.index`; None: single pairs are not tested.

    Returns:
        The columns of `analysis.columns.COMPARISONS`, in that order. There are no rows if no axis has two values.

    Raises:
        UnknownReference: as `reference_of`.
    """
    finished = Finished.of(per_run, cells_of_runs(per_run, summary), len(summary))
    tables = [_axis(per_run, summary, finished, axis, reference, bits) for axis in _axes(summary)]
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(COMPARISONS))
    return table[list(COMPARISONS)]


def _axes(summary: pd.DataFrame) -> list[str]:
    """The fields whose values are compared; activation and model_type come first."""
    others = (name for name in CELL_FIELDS if name not in ("activation", "model_type", "p"))
    return [name for name in ("activation", "model_type", *others) if len(summary) and codes(summary[name]).any()]


def _axis(
    per_run: pd.DataFrame, summary: pd.DataFrame, finished: Finished, axis: str, reference: str | None, bits: Bits | None
) -> pd.DataFrame:
    values = list(per_run[axis].unique())
    first, second = _cells_to_compare(summary, axis, [*values, *summary[axis]], reference)
    odd = (summary["chance"] + summary["diverged"]).to_numpy() > 0
    table = paired(finished, first, second, odd[first] | odd[second], bits)
    keys, differing = _keys(summary, axis, first, second)
    table = table.assign(axis=axis, **keys)
    for side, cells in (("reference", first), ("value", second)):
        table[f"n_chance_{side}"] = summary["chance"].to_numpy()[cells]
        table[f"share_chance_{side}"] = summary["share_chance"].to_numpy()[cells]
    table["note"] = ["; ".join(filter(None, parts)) for parts in zip(_notes(table), differing, strict=True)]
    return table


def _cells_to_compare(
    summary: pd.DataFrame, axis: str, order: Sequence[object], reference: str | None
) -> tuple[np.ndarray, np.ndarray]:
    """int64 (k,), twice: the rows of `summary` that are compared, references first. order: the values of the axis in order."""
    place = {value: i for i, value in enumerate(dict.fromkeys(plain(value) for value in order))}
    rank = np.array([place[plain(value)] for value in summary[axis]])
    if axis == "activation":
        names = sorted(set(summary[axis]), key=lambda name: place[name])
        chosen = place[reference_of(names, reference)]
        rank = np.where(rank == chosen, -1, rank)
    only_first = axis == "activation" or len(set(rank)) > _MOST_VALUES_IN_PAIRS
    fields = [name for name in CELL_FIELDS if name != axis and not (axis == "model_type" and _never_in_common(summary, name))]
    cells = pd.DataFrame({"group": same(summary, fields), "rank": rank, "cell": np.arange(len(summary))})
    ones = cells[cells["rank"] == rank.min()] if only_first else cells
    pairs = ones.merge(cells, on="group", suffixes=("_first", "_second"))
    pairs = pairs[pairs["rank_first"] < pairs["rank_second"]].sort_values(
        ["rank_first", "rank_second", "cell_second", "cell_first"]
    )
    return pairs["cell_first"].to_numpy(), pairs["cell_second"].to_numpy()


def _never_in_common(summary: pd.DataFrame, name: str) -> bool:
    """Whether no value of a field occurs in two model types."""
    kinds = pd.DataFrame({"value": codes(summary[name]), "model_type": codes(summary["model_type"])}).drop_duplicates()
    return not kinds["value"].duplicated().any()


def _keys(summary: pd.DataFrame, axis: str, first: np.ndarray, second: np.ndarray) -> tuple[dict[str, pd.Series], list[str]]:
    """The columns that say which cells are compared, and for each comparison a text on what else differs."""
    one, other = (summary.iloc[cells].reset_index(drop=True) for cells in (first, second))
    keys = {"reference_value": one[axis].astype(object), "value": other[axis].astype(object)}
    also: list[list[str]] = [[] for _ in first]
    for name in CELL_FIELDS:
        a, b = one[name], other[name]
        is_same = (a == b).fillna(False).astype(bool) | (a.isna() & b.isna())
        if name == "hidden_sizes":  # a field of only one model type
            is_same |= a.isna() | b.isna()
        keys[name] = a.where(a.notna(), b).where(is_same)
        if name != axis:
            for i in np.flatnonzero(~is_same):
                also[i].append(f"{name} {a[i]:g} and {b[i]:g}" if isinstance(a[i], float) else f"{name} {a[i]} and {b[i]}")
    keys[axis] = keys[axis].where(pd.Series(False, keys[axis].index))
    return keys, [f"the cells also differ in {', '.join(names)}" if names else "" for names in also]


def _notes(table: pd.DataFrame) -> Iterator[str]:
    """For each comparison, what a reader should know."""
    columns = ("n_pairs", "test", "n_nonzero", "n_chance_reference", "n_chance_value", "family_size")
    for n, test, n_nonzero, *chance, family_size in zip(*(table[name] for name in columns), strict=True):
        parts = []
        if n == 0:
            parts.append("no repeat is finished in both cells")
        elif test == "McNemar":
            parts.append("one pair: the test compares these two trained networks, not the settings")
        elif n == 1:
            parts.append("one pair: the spread between repeats is unknown")
        if test == "signed-rank":
            parts += _rank_notes(n, n_nonzero, family_size)
        if any(chance):
            parts.append("runs at chance: the t interval may miss the mean; see the shares of runs at chance")
        yield "; ".join(parts)


def _rank_notes(n: int, n_nonzero: int, family_size: int) -> list[str]:
    if not n_nonzero:
        return [f"all {n} pairs are equal"]
    smallest = float(smallest_signed_rank(np.array(n_nonzero)))
    if smallest * family_size <= 1 - CONFIDENCE:
        return []
    which = f"at n = {n}" if n == n_nonzero else f"with {n_nonzero} of {n} pairs that differ"
    level = 1 - CONFIDENCE
    holm = f"such a p-value is below {level:.2g} after correction only if other comparisons of the family have smaller p-values"
    return [f"{which} no rank or sign test can fall below {smallest:.4g}" + (f"; {holm}" if smallest <= level else "")]
