"""Spread between repeats against p, with the part that the size of the test set explains."""

from collections.abc import Iterator

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from analysis.figures.captions import n_of, what_is_missing
from analysis.figures.parts import draw_share, line_handles, lines_of, p_axis
from analysis.figures.sheets import Panel, Sheet, files, lay_out, title_of

_FLOOR = (0, (1, 1.5))


def plot_spread(ax: Axes, cells: pd.DataFrame) -> Axes:
    """Plot the sample standard deviation of the accuracy against p on a log axis, with a line for each activation.

    Dotted: the part that independent errors on the test images explain. Open markers: if runs are at chance, only the others.

    Args:
        cells: rows of the summary with at least two runs, one model type and one value of each further axis.
    """
    for offset, _, like, members in lines_of(cells):
        x = members["p"].to_numpy(float) + offset
        spread, floor, trained = (
            members[name].where(members[name] > 0).to_numpy(float)
            for name in ("sample_std_test_accuracy", "seed_std_explained", "sample_std_trained_accuracy")
        )
        if np.isfinite(spread).sum() > 1:
            ax.plot(x, spread, color=like["color"], linestyle=like["linestyle"])
        ax.plot(x, spread, linestyle="none", color=like["color"], marker=like["marker"])
        if np.isfinite(floor).sum() > 1:
            ax.plot(x, floor, color=like["color"], linestyle=_FLOOR, zorder=1)
        else:
            ax.plot(x, floor, color=like["color"], linestyle="none", marker="_", zorder=1)
        is_odd = (members["chance"] > 0).to_numpy()
        style = {"marker": like["marker"], "markerfacecolor": "#ffffff", "color": like["color"], "linestyle": "none"}
        ax.plot(x[is_odd], trained[is_odd], **style)
    p_axis(ax).set_yscale("log")
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
    return ax


def spread_sheets(summary: pd.DataFrame) -> Iterator[Sheet]:
    """A sheet for each model type, with the cells that have at least two runs that are not all equal."""
    no_runs = pd.DataFrame({"cell": []})

    def panels_of(words: str, cells: pd.DataFrame) -> list[Panel]:
        several = cells[cells["sample_std_test_accuracy"] > 0]
        return [Panel(words, several, no_runs)] if len(several) else []

    for name, panels, planned in files(summary, "spread", panels_of):
        yield _sheet(name, panels, planned)


def _sheet(name: str, panels: list[Panel], planned: pd.DataFrame) -> Sheet:
    cells = pd.concat([panel.cells for panel in panels])
    has_chance = bool((cells["chance"] > 0).any())
    grey, size = "#505050", mpl.rcParams["lines.markersize"]

    def draw() -> Figure:
        handles = [
            *(line_handles(cells) if cells["activation"].nunique() > 1 else []),
            Line2D([], [], color=grey, linestyle=_FLOOR, label="explained by the test set's size"),
        ]
        if has_chance:
            odd = {"marker": "o", "markersize": size, "markerfacecolor": "#ffffff", "linestyle": "none", "color": grey}
            handles.append(Line2D([], [], label="runs that trained only", **odd))
        return lay_out(
            panels,
            lambda ax, panel: plot_spread(ax, panel.cells),
            title_of(planned),
            "standard deviation of accuracy",
            (lambda ax, panel: draw_share(ax, panel.cells)) if has_chance else None,
            handles,
        )

    text = (
        f"Sample standard deviation of the accuracy between repeats, {n_of(cells)}. Dotted: the spread if errors on "
        "different test images were independent and all trained networks equally good. More repeats do not reduce it."
    )
    caption = " ".join([text, *what_is_missing(cells, planned)])
    return Sheet(name, f"Spread between repeats against p: {title_of(planned)}", caption, cells, draw)
