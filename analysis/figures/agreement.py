"""Differences between two campaigns, cell by cell."""

from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.figures.names import OTHER_FIELDS, named, text_of
from analysis.figures.parts import DASH
from analysis.figures.sheets import Panel, lay_out
from analysis.figures.style import look

_DODGE = 0.012
_OPEN = "white"


def plot_agreement(ax: Axes, table: pd.DataFrame, activations: list[str]) -> Axes:
    """Plot each cell's mean difference with its simultaneous interval against p, in percentage points; filled: beyond chance.

    Args:
        table: rows of `analysis.agreement.Agreement.table`.
        activations: all activations of the figure, in order; each has a colour, a marker and an offset from p.
    """
    ax.axhline(0, color="black", linewidth=mpl.rcParams["axes.linewidth"], zorder=1)
    for place, activation in enumerate(activations):
        cells = table[table.get("activation", activation) == activation] if "activation" in table else table
        like = look(activation, activations)
        for does_differ in (False, True):
            some = cells[cells["differs"] == does_differ]
            mean = 100 * some["mean_difference"]
            reach = [mean - 100 * some["ci95_low"], 100 * some["ci95_high"] - mean]
            x = some["p"] + _DODGE * (place - (len(activations) - 1) / 2) if "p" in some else pd.Series(0.0, some.index)
            face = like["color"] if does_differ else _OPEN
            ax.errorbar(x, mean, reach, fmt=like["marker"], color=like["color"], markerfacecolor=face, zorder=3)
            _show_collapse(ax, x, some, like["color"], place)
    return ax


def _show_collapse(ax: Axes, x: pd.Series, cells: pd.DataFrame, colour: str, column: int) -> None:
    """If runs are at chance, show how many, and a dash at the difference of the means of the runs that trained.

    column: place of the text, counted to the left, so that the texts of several activations do not overlap.
    """
    size = float(mpl.rcParams["xtick.labelsize"])  # in points
    left = -(column + 1) * 1.3 * size
    for at_p, cell in zip(x, cells.to_dict("records"), strict=True):
        if cell["n_chance_a"] or cell["n_chance_b"]:
            words = f"at chance: {cell['n_chance_a']} of {cell['n_a']}, {cell['n_chance_b']} of {cell['n_b']}"
            at = (at_p, 100 * cell["mean_difference"])
            shift: dict[str, Any] = {"xytext": (left, 0), "textcoords": "offset points", "ha": "center", "va": "center"}
            ax.annotate(words, at, fontsize=size, color=colour, rotation=90, **shift)
            trained = 100 * (cell["mean_trained_b"] - cell["mean_trained_a"])
            ax.plot(at_p, trained, **DASH, markersize=2.4 * mpl.rcParams["lines.markersize"], color=colour, zorder=3)


def agreement_figure(table: pd.DataFrame, a: str, b: str) -> Figure:
    """A figure with a panel for each combination of values other than p and activation. a, b: names of the campaigns."""
    fields = [name for name in ("model_type", *OTHER_FIELDS) if name in table and table[name].nunique(dropna=False) > 1]
    groups = table.groupby(fields, sort=False, dropna=False) if fields else [((), table)]
    panels = [Panel(", ".join(filter(None, map(_word, fields, values))), cells, cells) for values, cells in groups]
    activations = list(dict.fromkeys(table["activation"])) if "activation" in table else [""]
    handles: list[Artist] = [
        Line2D(
            [],
            [],
            linestyle="",
            label=named(name),
            marker=look(name, activations)["marker"],
            color=look(name, activations)["color"],
        )
        for name in activations
        if name
    ]
    grey: dict[str, Any] = {"linestyle": "", "marker": "o", "color": "#505050"}
    handles += [
        Line2D([], [], label="beyond chance", **grey),
        Line2D([], [], label="not beyond chance", markerfacecolor=_OPEN, **grey),
    ]
    if table[["n_chance_a", "n_chance_b"]].to_numpy().any():
        handles.append(Line2D([], [], **DASH, linestyle="", markersize=9, label="runs that trained", color="#505050"))
    return lay_out(
        panels,
        lambda ax, panel: plot_agreement(ax, panel.cells, activations),
        f"{b} - {a}, {int(table['family_size'].iloc[0])} cells; intervals hold together at 95 %",
        "difference in accuracy\n(percentage points)",
        handles=handles,
    )


def _word(name: str, value: Any) -> str:
    if pd.isna(value):
        return "" if name == "hidden_sizes" else f"{name.replace('_', ' ')} all"
    text = named(text_of(value))
    return text if name == "model_type" else f"{name.replace('_', ' ')} {text}"
