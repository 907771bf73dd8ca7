"""Paired differences between cells: activations against the reference, model types, values of a further axis."""

from collections.abc import Callable, Iterator
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from analysis.figures.names import OTHER_FIELDS, named, text_of
from analysis.figures.parts import DASH, draw_dots, p_axis
from analysis.figures.sheets import MOST_PANELS, Panel, Sheet, lay_out, progress
from analysis.figures.style import INK, look
from analysis.pairs import Finished

_LINEAR_UP_TO = 1  # percentage points; beyond this the axis is logarithmic
_DODGE = 0.012
KEY_FIELDS = ("activation", "model_type", "p")
PAIR_COLUMNS = ["place", "difference", "is_odd"]


def plot_differences(ax: Axes, comparisons: pd.DataFrame, pairs: pd.DataFrame) -> Axes:
    """Plot mean differences against p with simultaneous intervals, in percentage points, and each pair of runs as a dot.

    If some of the runs are at chance, markers are open, and a dash marks the mean of the pairs in which both runs trained.

    Args:
        comparisons: rows of `analysis.comparisons.compare_cells` for one axis; each value has a line.
        pairs: PAIR_COLUMNS; the column `place` has the index of the comparison.
    """
    p_axis(ax)
    ax.axhline(0, color=INK, linewidth=mpl.rcParams["axes.linewidth"], zorder=1)
    values = list(dict.fromkeys(comparisons["value"]))
    width = max(float(np.ptp(comparisons["p"].astype(float))), 0.1)
    size = mpl.rcParams["lines.markersize"]
    for i, value in enumerate(values):
        rows = comparisons[comparisons["value"] == value]
        like = look(str(value), [str(one) for one in values])
        offset = _DODGE * width * (i - (len(values) - 1) / 2)
        x, mean, low, high, trained = (
            rows[name].to_numpy(float) if name == "p" else 100 * rows[name].to_numpy(float).clip(-1, 1)
            for name in ("p", "mean_difference", "ci95_low", "ci95_high", "mean_difference_trained")
        )
        own = pairs[pairs["place"].isin(rows.index)]
        places = rows["p"].reindex(own["place"]).to_numpy(float)
        draw_dots(ax, places + offset, 100 * own["difference"].to_numpy(float), own["is_odd"].to_numpy(bool), like["color"])
        style = {"color": like["color"], "linestyle": "none", "zorder": 3}
        if np.isfinite(mean).sum() > 1:
            ax.plot(x + offset, mean, color=like["color"], linestyle=like["linestyle"], zorder=2)
        bars = np.isfinite(low)
        ax.errorbar(x[bars] + offset, mean[bars], [(mean - low)[bars], (high - mean)[bars]], **style)
        odd = (rows[["n_chance_reference", "n_chance_value"]].sum(axis=1) > 0).to_numpy()
        for is_odd in (False, True):
            face = "#ffffff" if is_odd else like["color"]
            ax.plot(x[odd == is_odd] + offset, mean[odd == is_odd], marker=like["marker"], markerfacecolor=face, **style)
        ax.plot(x[odd] + offset, trained[odd], **DASH, markersize=2.4 * size, **style)
    largest = max(np.nanmax(np.abs(100 * comparisons["mean_difference"].to_numpy(float)), initial=0), 0.1)
    if largest > 5 * _LINEAR_UP_TO:
        ax.set_yscale("symlog", linthresh=_LINEAR_UP_TO, linscale=0.8)
        ax.set_yticks([-100, -30, -10, -3, -1, 0, 1, 3, 10, 30, 100])
        ax.set_ylim(*_limits(comparisons, pairs))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:+g}" if tick else "0"))
    ax.yaxis.set_minor_formatter(NullFormatter())
    return ax


def plot_shares(ax: Axes, comparisons: pd.DataFrame) -> Axes:
    """Plot the share of runs at chance against p for each value, and in black for the reference."""
    values = [str(value) for value in dict.fromkeys(comparisons["value"])]
    size = 0.75 * mpl.rcParams["lines.markersize"]
    ax.plot(comparisons["p"], comparisons["share_chance_reference"], "_", color=INK, markersize=2.5 * size)
    for value, rows in comparisons.groupby("value", sort=False, observed=True):
        like = look(str(value), values) | {"linestyle": "none"}
        ax.plot(rows["p"], rows["share_chance_value"], markersize=size, **like)
    ax.set_ylim(-0.06, 1.06)
    ax.set_yticks([0, 1], ["0", "1"])
    ax.set_ylabel("share at\nchance")
    return ax


def difference_sheets(summary: pd.DataFrame, runs: pd.DataFrame, comparisons: pd.DataFrame) -> Iterator[Sheet]:
    """A figure for each axis and model type, with a panel for each combination of the other values."""
    shown = _in_grid_order(comparisons[comparisons["n_pairs"] > 0], summary)
    pairs_of = _pairs(shown, summary, runs)
    for axis, rows in shown.groupby("axis", sort=False, observed=True):
        kinds = rows.groupby("model_type", sort=False, dropna=False, observed=True) if axis != "model_type" else [("", rows)]
        for model_type, its in kinds:
            stem = "_".join(filter(None, ["differences", str(axis), str(model_type)]))
            panels = list(_panels(its, axis))
            files = [(stem, panels)] if len(panels) <= MOST_PANELS else [(f"{stem},{one[1]}", [one]) for one in panels]
            for name, own in files:
                made = [Panel(words, cells, pairs_of(cells)) for words, _, cells in own]
                yield _sheet(name, made, str(axis), summary, str(model_type))


def _in_grid_order(comparisons: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame:
    """The comparisons, with activations, model types and values in the order of the summary."""
    places = pd.DataFrame(index=comparisons.index)
    for name in ("model_type", *OTHER_FIELDS, "activation"):
        kinds = [str(value) for value in summary[name].unique()]
        own = comparisons[name].astype(str)
        places[name] = own.map({kind: i for i, kind in enumerate(kinds)}).fillna(len(kinds))
        is_axis = comparisons["axis"] == name
        its_value = comparisons["value"].astype(str).map({kind: i for i, kind in enumerate(kinds)})
        places.loc[is_axis, "value"] = its_value[is_axis]
    order = places.assign(p=comparisons["p"]).sort_values([*places.columns, "p"], kind="stable").index
    return comparisons.loc[order]


def _panels(rows: pd.DataFrame, axis: str) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """For each combination of the other values: a title, a part of the file's name, and the comparisons."""
    others = [name for name in ("activation", *OTHER_FIELDS) if name != axis]
    fields = [name for name in others if rows[name].nunique(dropna=name == "hidden_sizes") > 1]
    for values, own in rows.groupby(fields, sort=False, dropna=False, observed=True) if fields else [((), rows)]:
        words = [
            named(value) if name == "activation" else f"{name.replace('_', ' ')} {named(text_of(value))}"
            for name, value in zip(fields, values, strict=True)
            if not pd.isna(value)
        ]
        pieces = [f"{name}={named(text_of(value))}" for name, value in zip(fields, values, strict=True) if not pd.isna(value)]
        yield ", ".join(words), ",".join(pieces), own


def _sheet(name: str, panels: list[Panel], axis: str, summary: pd.DataFrame, model_type: str) -> Sheet:
    rows = pd.concat([panel.cells for panel in panels])
    reference = ", ".join(named(text_of(value)) for value in dict.fromkeys(rows["reference_value"]))
    title = f"{named(summary['dataset'].iloc[0])}{', ' if model_type else ''}{named(model_type)}: differences to {reference}"
    planned = summary[summary["model_type"] == model_type] if model_type else summary
    n_done, n_away = int(planned["repeats"].sum()), int(planned[["missing", "failed"]].to_numpy().sum())
    title += progress(n_done, n_done + n_away)

    has_chance = bool((rows[["n_chance_reference", "n_chance_value"]].to_numpy() > 0).any())

    def draw() -> Figure:
        return lay_out(
            panels,
            lambda ax, panel: plot_differences(ax, panel.cells, panel.runs),
            title,
            "difference in accuracy\n(percentage points)",
            (lambda ax, panel: plot_shares(ax, panel.cells)) if has_chance else None,
            handles=_handles(rows),
        )

    n = rows["n_pairs"]
    several = f"n = {n.min()}{'' if n.min() == n.max() else f' to {n.max()}'} pairs"
    text = [
        f"Accuracy minus that of {reference}, paired by repeat: mean of {several}; dots are single pairs.",
        f"Bars are intervals that hold together in 95 % of campaigns (t, Bonferroni over {rows['family_size'].iloc[0]})."
        if (n > 1).any()
        else "A single pair has no interval.",
    ]
    if has_chance:
        text.append(
            "Open markers: some pairs have a run at chance (crosses); the dash marks the mean of the pairs in which both "
            "trained. Below: share of runs at chance; the reference is black."
        )
    return Sheet(name, title, " ".join(text), rows, draw, [panel.runs["difference"] for panel in panels])


def _pairs(comparisons: pd.DataFrame, summary: pd.DataFrame, runs: pd.DataFrame) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """A function that gives PAIR_COLUMNS of all pairs of runs in some of the comparisons.

    The pairs of all comparisons together would need far more memory than the runs.
    """
    first, second = (_cells(comparisons, name, summary) for name in ("reference_value", "value"))
    finished = Finished.of(runs, runs["cell"].to_numpy(), len(summary))

    def pairs_of(rows: pd.DataFrame) -> pd.DataFrame:
        wanted = comparisons.index.get_indexer(rows.index)
        known = wanted[(first[wanted] >= 0) & (second[wanted] >= 0)]
        labels = comparisons.index.to_numpy()[known]
        found = [pd.DataFrame(columns=PAIR_COLUMNS)]
        for part, comparison, one, other in finished.pairs(first[known], second[known]):
            columns = {
                "place": labels[part][comparison],
                "difference": finished.accuracy[other] - finished.accuracy[one],
                "is_odd": ~(finished.is_ok[one] & finished.is_ok[other]),
            }
            found.append(pd.DataFrame(columns))
        return pd.concat([some for some in found if len(some)] or found, ignore_index=True)

    return pairs_of


def _cells(comparisons: pd.DataFrame, which: str, summary: pd.DataFrame) -> np.ndarray:
    """int64 (k,): the cell on one side of each comparison; -1 unless exactly one fits. which: the column with its value."""
    indexes: dict[tuple[str, ...], dict[tuple[str, ...], list[int]]] = {}

    def cells_with(fields: tuple[str, ...], values: tuple[str, ...]) -> list[int]:
        if fields not in indexes:
            index = indexes[fields] = {}
            for cell, key in enumerate(zip(*(summary[name].astype(str) for name in fields), strict=True)):
                index.setdefault(key, []).append(cell)
        return indexes[fields].get(values, [])

    found = []
    for row in comparisons.to_dict("records"):
        shared = {
            name: str(row[name]) for name in (*KEY_FIELDS, *OTHER_FIELDS) if name != row["axis"] and not pd.isna(row[name])
        }
        shared[row["axis"]] = str(row[which])
        fits = cells_with(tuple(shared), tuple(shared.values()))
        if not fits and shared.pop("hidden_sizes", ""):  # a cnn has no hidden sizes
            fits = cells_with(tuple(shared), tuple(shared.values()))
        found.append(fits[0] if len(fits) == 1 else -1)
    return np.array(found, int)


def _limits(comparisons: pd.DataFrame, pairs: pd.DataFrame) -> tuple[float, float]:
    """The ends of the axis in percentage points, which contains all dots and bars, and 0."""
    ends = [comparisons["ci95_low"], comparisons["ci95_high"], comparisons["mean_difference"], pairs["difference"]]
    values = 100 * np.concatenate([end.to_numpy(float) for end in ends]).clip(-1, 1)
    return min(1.4 * float(np.nanmin(values, initial=0)), -1.4), max(1.4 * float(np.nanmax(values, initial=0)), 1.4)


def _handles(rows: pd.DataFrame) -> list[Artist]:
    values = [str(value) for value in dict.fromkeys(rows["value"])]
    grey: dict[str, Any] = {"color": "#505050", "linestyle": "none"}
    found = [Line2D([], [], label=named(text_of(value)), **look(value, values)) for value in values]
    label = "mean, 95 % interval" if (rows["n_pairs"] > 1).any() else "one pair"
    found += [Line2D([], [], marker="o", label=label, **grey), Line2D([], [], marker=".", label="one pair", **grey)]
    if (rows[["n_chance_reference", "n_chance_value"]].to_numpy() > 0).any():
        found.append(Line2D([], [], marker="o", markerfacecolor="#ffffff", label="pairs with a run at chance", **grey))
        found.append(Line2D([], [], **DASH, markersize=9, label="pairs that trained", **grey))
    return list(found)
