"""Do two campaigns agree? Cells are compared, in pairs of the same repeat where possible, and corrected for their number."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtr

from analysis.columns import AGREEMENT
from analysis.intervals import CONFIDENCE, t_half_width
from analysis.paired import paired
from analysis.pairs import Finished, cells_of_runs, plain, same
from analysis.planned import CELL_FIELDS
from analysis.ranks import holm


class NotComparable(ValueError):
    """Two campaigns have nothing that can be compared. The message says why."""


@dataclass(frozen=True, eq=False)
class Agreement:
    """The result of a comparison.

    table: the columns of `analysis.columns.AGREEMENT`, with a row for each pair of matching cells. differing: field -> its
    values in A and in B, if each campaign has only one. only_a, only_b: numbers of cells without a partner.
    """

    table: pd.DataFrame
    differing: Mapping[str, tuple[object, object]]
    only_a: int
    only_b: int

    @property
    def differs(self) -> bool:
        """Whether a cell differs more than chance explains."""
        return bool(self.table["differs"].any())

    @property
    def not_excluded(self) -> float:
        """The largest difference of mean accuracies that the simultaneous intervals allow."""
        return float(np.nanmax(self.table[["ci95_low", "ci95_high"]].abs().to_numpy()))


def agreement(a: pd.DataFrame, b: pd.DataFrame, in_pairs: bool = True) -> Agreement:
    """Compare two campaigns. Differences are B - A.

    Cells match if they agree in all fields, except fields in which each campaign has a single value and the two differ. Runs
    are compared in pairs of the same repeat if the seeds are equal and at least two repeats are finished in both cells.

    Args:
        a, b: a row for each run, with CELL_FIELDS, repeat, status and test_accuracy as in results_per_run.csv.
        in_pairs: False if runs of the same repeat share no random numbers.

    Raises:
        NotComparable: no cells match, or no pair of cells has two finished runs on each side.
    """
    cells_a, cells_b = _cells(a), _cells(b)
    differing = _differing(cells_a, cells_b)
    first, second = _matches(cells_a, cells_b, [name for name in CELL_FIELDS if name not in differing])
    if not len(first):
        raise NotComparable(f"no cell of A is in B; {_ranges(cells_a, cells_b)}")
    runs, cells = (pd.concat(both, ignore_index=True) for both in ([a, b], [cells_a, cells_b]))
    place = np.concatenate([cells_of_runs(a, cells_a), len(cells_a) + cells_of_runs(b, cells_b)])
    second = second + len(cells_a)
    finished = Finished.of(runs, place, len(cells))
    odd = np.bincount(finished.cell, ~finished.is_ok, len(finished.n)) > 0
    by_rank = odd[first] | odd[second]
    table = paired(finished, first, second, by_rank).drop(columns=["n_only_reference_right", "n_only_value_right"])
    is_paired = (table["n_pairs"] >= 2).to_numpy() & (in_pairs and "seed" not in differing)
    unpaired = _unpaired(finished, first, second, by_rank)
    table["test"] = table["test"].replace("t", "paired t")
    for name, values in unpaired.items():
        table[name] = np.where(is_paired, table[name], values)
    table["n_pairs"] = np.where(is_paired, table["n_pairs"], 0)
    if table["p_raw"].isna().all():
        raise NotComparable("no cell has two finished runs in A and two in B")
    table["p_holm"] = holm(table["p_raw"].to_numpy(), len(table))
    table["differs"] = table["p_holm"] < 1 - CONFIDENCE
    keys = {name: cells[name].array[first] for name in CELL_FIELDS if name not in differing}
    table = table.assign(**keys, **_of_sides(finished, runs, first, second))
    found = table[[name for name in AGREEMENT if name in table]]
    return Agreement(found, differing, len(cells_a) - len(set(first)), len(cells_b) - len(set(second)))


def _cells(runs: pd.DataFrame) -> pd.DataFrame:
    """The cells of these runs, in the order of their first appearance; text columns have the dtype object."""
    cells = runs[list(CELL_FIELDS)].drop_duplicates(ignore_index=True)
    return cells.assign(**cells.select_dtypes("category").astype(object))


def _differing(a: pd.DataFrame, b: pd.DataFrame) -> dict[str, tuple[object, object]]:
    """Fields in which each side has a single value and the two differ."""
    found = {}
    for name in CELL_FIELDS:
        values = [[plain(value) for value in side[name].unique()] for side in (a, b)]
        if len(values[0]) == len(values[1]) == 1 and values[0] != values[1]:
            found[name] = (values[0][0], values[1][0])
    return found


def _matches(a: pd.DataFrame, b: pd.DataFrame, fields: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """int64 (k,), twice: the places of cells of A, and of their partners in B."""
    both = pd.concat([a[fields].astype(object), b[fields].astype(object)], ignore_index=True)
    code = same(both.where(both.notna(), None), fields)
    left, right = (pd.DataFrame({"code": some, "place": np.arange(len(some))}) for some in (code[: len(a)], code[len(a) :]))
    pairs = left.merge(right, on="code", suffixes=("_a", "_b"))
    return pairs["place_a"].to_numpy(), pairs["place_b"].to_numpy()


def _ranges(a: pd.DataFrame, b: pd.DataFrame) -> str:
    """The part of a message that names fields without a common value."""
    parts = []
    for name in CELL_FIELDS:
        values = [[*dict.fromkeys(side[name].astype(str))] for side in (a, b)]
        if not set(values[0]) & set(values[1]):
            parts.append(f"{name}: {', '.join(values[0][:5])} in A and {', '.join(values[1][:5])} in B")
    return "; ".join(parts) or "no combination of values is in both"


def _unpaired(finished: Finished, first: np.ndarray, second: np.ndarray, by_rank: np.ndarray) -> dict[str, np.ndarray]:
    """Welch's t test and interval; the Mann-Whitney test if a run did not train or a cell has no spread."""
    n = finished.n.astype(float)
    some = np.where(n > 0, n, np.nan)
    mean = np.bincount(finished.cell, finished.accuracy, len(n)) / some
    squares = np.bincount(finished.cell, (finished.accuracy - mean[finished.cell]) ** 2, len(n))
    part = squares / np.where(n > 1, n - 1, np.nan) / some  # the variance of the difference
    difference, variance = mean[second] - mean[first], part[first] + part[second]
    enough = (n[first] > 1) & (n[second] > 1)
    has_spread = enough & (variance > 1e-24)  # smaller differences are only rounding
    one = np.where(n > 1, n - 1, np.nan)
    freedom = np.divide(
        variance**2,
        part[first] ** 2 / one[first] + part[second] ** 2 / one[second],
        out=np.full(len(first), np.nan),
        where=has_spread,
    )
    error = np.sqrt(variance)
    t = np.divide(difference, error, out=np.full(len(first), np.nan), where=has_spread)
    # t_half_width divides by sqrt(n) and has n - 1 degrees of freedom
    half = t_half_width(error * np.sqrt(freedom + 1), freedom + 1, 1 - (1 - CONFIDENCE) / len(first))
    half = np.where(has_spread | ~enough, half, 0)
    ranked = enough & (by_rank | ~has_spread)
    p_value = np.where(enough, 2 * stdtr(freedom, -np.abs(t)), np.nan)
    for i in np.flatnonzero(ranked):
        p_value[i] = _mann_whitney(*(finished.accuracy[_part(finished, cell)] for cell in (first[i], second[i])))
    return {
        "mean_difference": difference,
        "ci95_low": np.where(enough, difference - half, np.nan),
        "ci95_high": np.where(enough, difference + half, np.nan),
        "p_raw": p_value,
        "test": np.select([ranked, enough], ["Mann-Whitney", "Welch t"], ""),
    }


def _part(finished: Finished, cell: int) -> slice:
    return slice(finished.start[cell], finished.start[cell] + finished.n[cell])


def _mann_whitney(one: np.ndarray, other: np.ndarray) -> float:
    from scipy.stats import mannwhitneyu  # imported here, because scipy.stats takes long to load

    if len(np.unique([*one, *other])) == 1:
        return 1.0
    return float(mannwhitneyu(one, other).pvalue)


def _of_sides(finished: Finished, runs: pd.DataFrame, first: np.ndarray, second: np.ndarray) -> dict[str, np.ndarray]:
    """The columns of each side: numbers of finished runs and of runs at chance, the mean, and the mean of trained runs."""
    n_cells = len(finished.n)
    is_chance = (runs["status"] == "chance").to_numpy()[finished.row]
    ok = np.bincount(finished.cell, finished.is_ok, n_cells)
    columns = {
        "n": finished.n,
        "mean": _divided(np.bincount(finished.cell, finished.accuracy, n_cells), finished.n),
        "n_chance": np.bincount(finished.cell, is_chance, n_cells).astype(int),
        "mean_trained": _divided(np.bincount(finished.cell, np.where(finished.is_ok, finished.accuracy, 0), n_cells), ok),
    }
    cells = {"a": first, "b": second}
    return {f"{name}_{side}": values[cells[side]] for side in cells for name, values in columns.items()}


def _divided(total: np.ndarray, n: np.ndarray) -> np.ndarray:
    return total / np.where(n > 0, n, np.nan)
