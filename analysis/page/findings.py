"""The findings, as sentences that are made from the numbers."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from analysis.collapse import accuracy_text, collapse_text
from analysis.figures.names import OTHER_FIELDS, named
from analysis.figures.sheets import by_setting, has_runs

# Drops of the mean accuracy: one of at most FLAT is flat, one of more than KNEE is a knee; CLIFF is between neighbours.
FLAT, KNEE, CLIFF = (0.01, 0.05, 0.10)
_LEVEL = 0.05  # level for corrected p-values


def shapes(summary: pd.DataFrame) -> Iterator[tuple[str, list[str]]]:
    """Heading and sentences for each model type, activation and combination of further axes: flat, knee, cliff, collapse.

    Args:
        summary: `analysis.statistics.summarise`, in the grid's order.
    """
    for model_type, own in summary.groupby("model_type", sort=False, observed=True):
        for words, _, members in by_setting(own):
            for activation, cells in has_runs(members).groupby("activation", sort=False, observed=True):
                heading = ", ".join(filter(None, [f"{named(model_type)}, {named(activation)}", words]))
                yield heading, list(_shape(cells.sort_values("p", kind="stable")))


def differences(comparisons: pd.DataFrame) -> Iterator[tuple[str, list[str]]]:
    """Heading and sentences for each pair of values: which differences hold after correction, and which do not.

    Args:
        comparisons: `analysis.comparisons.compare_cells`.
    """
    fields = [
        name
        for name in ("model_type", "activation", *OTHER_FIELDS)
        if comparisons[name].nunique(dropna=name != "max_train_samples") > 1
    ]
    keys = ["axis", "value", "reference_value", *fields]
    for values, rows in comparisons.groupby(keys, sort=False, dropna=False, observed=True):
        axis, value, reference = values[:3]
        others = ", ".join(
            _text(name, one) for name, one in zip(fields, values[3:], strict=True) if name != axis and pd.notna(one)
        )
        sentences = list(_compared(rows.sort_values("p", kind="stable")))
        if sentences:
            what = f"{_text(axis, value)} against {_text(axis, reference)}"
            yield f"{what} ({others})" if others else what, sentences


def _shape(cells: pd.DataFrame) -> Iterator[str]:
    rows = cells.to_dict("records")
    first = rows[0]
    yield f"At p = {first['p']:g}: {accuracy_text(first)}."
    if len(rows) > 1:
        mean = cells["mean_test_accuracy"].to_numpy(float)
        drop = mean[0] - mean
        below = np.flatnonzero(drop > FLAT)
        flat = rows[below[0] - 1 if len(below) else -1]
        if flat is first:
            yield f"Already at p = {rows[1]['p']:g} the mean is more than {100 * FLAT:g} percentage point below this."
        else:
            yield f"The mean stays within {100 * FLAT:g} percentage point of this up to p = {flat['p']:g}."
        knee = np.flatnonzero(drop > KNEE)
        told = {0}
        if len(knee):
            told.add(int(knee[0]))
            yield f"More than {100 * KNEE:g} points below from p = {rows[knee[0]]['p']:g} on: {accuracy_text(rows[knee[0]])}."
        steps = -np.diff(mean)
        steepest = int(np.argmax(steps))
        if steps[steepest] > CLIFF:
            before, after = rows[steepest], rows[steepest + 1]
            where = f"The mean falls most, by {100 * steps[steepest]:.1f} points, from p = {before['p']:g} to {after['p']:g}"
            yield where + ("." if steepest + 1 in told else f": {accuracy_text(after)}.")
            told.add(steepest + 1)
        rows = [row for i, row in enumerate(rows) if i not in told]
    odd = [f"p = {row['p']:g}: {collapse_text(row)}" for row in rows if row["chance"] or row["diverged"]]
    if odd:
        yield f"Runs did not train {'also ' if len(rows) < len(cells) and _n_odd(cells) > len(odd) else ''}at {'; '.join(odd)}."
    if not _n_odd(cells):
        yield f"None of {cells['repeats'].sum():,} runs stayed at chance."


def _n_odd(cells: pd.DataFrame) -> int:
    """The number of cells with runs that did not train."""
    return int((cells["chance"] + cells["diverged"] > 0).sum())


def _compared(rows: pd.DataFrame) -> Iterator[str]:
    rows = rows[rows["n_pairs"] > 0]
    odd = (rows[["n_chance_reference", "n_chance_value"]].sum(axis=1) > 0).to_numpy()
    tested = (rows["p_holm"].notna() & (rows["n_pairs"] > 1)).to_numpy()  # one pair compares two networks, not two settings
    holds = (rows["p_holm"] <= _LEVEL).to_numpy() & tested
    for words, sign in (("higher", 1), ("lower", -1)):
        some = rows[holds & ~odd & (np.sign(rows["mean_difference"]) == sign).to_numpy()]
        if len(some):
            by = _points(some["mean_difference"].abs())
            yield f"{words.capitalize()} at {_ps(some)}, by {by}{_n(some)}, after correction."
    same = rows[tested & ~holds & ~odd]
    if len(same):
        ends = [max(-100, 100 * same["ci95_low"].min()), min(100, 100 * same["ci95_high"].max())]
        reach = (
            f": the intervals of the difference reach from {ends[0]:+.2f} to {ends[1]:+.2f} points"
            if ends[0] == ends[0]
            else ""
        )
        yield f"No difference was shown at {_ps(same)}{_n(same)}{reach}."
    for row in rows[odd].to_dict("records"):
        yield _odd(row)
    single = rows[~tested & ~odd]
    if len(single):
        yield f"Too few pairs for a test at {_ps(single)}{_n(single)}."
    parts = [part for note in dict.fromkeys(rows["note"].dropna()) for part in note.split("; ")]
    told = [part for part in dict.fromkeys(parts) if part and not part.startswith(("runs at chance", "the shares at chance"))]
    yield from (f"{part[0].upper()}{part[1:]}." for part in told)


def _odd(row: dict) -> str:
    counts = f"{int(row['n_chance_value'])} against {int(row['n_chance_reference'])} runs at chance"
    test = f"{row['test']} test, corrected p = {row['p_holm']:.2g}" if row["p_holm"] == row["p_holm"] else "no test"
    trained = (
        f"mean difference of the pairs in which both trained: {100 * row['mean_difference_trained']:+.2f} points "
        f"(n = {int(row['n_pairs_trained'])})"
        if row["n_pairs_trained"]
        else "no pair in which both trained"
    )
    return f"At p = {row['p']:g}: {counts} (n = {int(row['n_pairs'])} pairs; {test}); {trained}."


def _ps(rows: pd.DataFrame) -> str:
    return "p = " + ", ".join(f"{p:g}" for p in rows["p"])


def _points(values: pd.Series) -> str:
    low, high = f"{100 * values.min():.2f}", f"{100 * values.max():.2f}"
    return f"{low} points" if low == high else f"{low} to {high} points"


def _n(rows: pd.DataFrame) -> str:
    low, high = rows["n_pairs"].min(), rows["n_pairs"].max()
    return f" (n = {low}{'' if low == high else f' to {high}'} pairs)"


def _text(name: str, value: object) -> str:
    word = f"{value:g}" if isinstance(value, float) else named(value)
    return word if name in ("activation", "model_type", "dataset", "precision") else f"{name.replace('_', ' ')} {word}"
