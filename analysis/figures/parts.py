"""Parts of several figures: dots of runs, means with intervals, the majority class, the share of runs at chance."""

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from analysis.figures.names import named
from analysis.figures.style import FAINT, INK, look

DASH: dict[str, Any] = {"marker": "_", "markeredgewidth": 1.8}  # marks the mean of the runs that trained
ACCURACY_TICKS = [0, 0.2, 0.4, 0.6, 0.8, 1]
_DODGE = 0.011  # distance between activations in one panel, as a share of the axis of p


def draw_dots(ax: Axes, x: np.ndarray, y: np.ndarray, odd: np.ndarray, colour: Any) -> Axes:
    """Draw each run as a dot, or as a cross if it is odd (at chance or diverged). Dots on the same place are drawn once.

    Args:
        x, y: float (n,).
        odd: bool (n,).
    """
    for is_odd, style in ((False, {"marker": ".", "color": colour}), (True, {"marker": "x", "color": INK})):
        places = np.unique(x[odd == is_odd] + 1j * y[odd == is_odd])
        if len(places):
            size = mpl.rcParams["lines.markersize"] * (0.75 if is_odd else 0.6)
            ax.plot(
                places.real, places.imag, linestyle="none", markersize=size, alpha=0.45, rasterized=True, zorder=1.5, **style
            )
    return ax


def draw_means(ax: Axes, cells: pd.DataFrame, like: dict[str, Any], offset: float = 0, is_error: bool = False) -> Axes:
    """Draw means with 95 % intervals, clipped to [0, 1], and beside them the means of the runs that trained.

    A marker is open if runs of the cell are missing or failed. A single run has no interval, and a single point has no line.

    Args:
        cells: rows of the summary that form one line.
        offset: moves the points to the side.
        is_error: draw 1 - accuracy.
    """
    x, mean, low, high, trained = _values(cells, is_error)
    style = {"color": like["color"], "linestyle": "none", "zorder": 3}
    if np.isfinite(mean).sum() > 1:
        ax.plot(x + offset, mean, color=like["color"], linestyle=like["linestyle"], zorder=2)
    bars = np.isfinite(low)
    ax.errorbar(x[bars] + offset, mean[bars], [(mean - low)[bars], (high - mean)[bars]], **style)
    is_whole = (cells["missing"] + cells["failed"]).to_numpy() == 0
    for whole in (True, False):
        some = is_whole == whole
        face = like["color"] if whole else "#ffffff"
        ax.plot(x[some] + offset, mean[some], marker=like["marker"], markerfacecolor=face, **style)
    is_odd = (cells["chance"] > 0).to_numpy() & np.isfinite(trained)
    ax.plot(x[is_odd] + offset, trained[is_odd], **DASH, markersize=2.4 * mpl.rcParams["lines.markersize"], **style)
    return ax


def draw_share(ax: Axes, cells: pd.DataFrame) -> Axes:
    """Draw the share of finished runs at chance against p, with Wilson's 95 % interval and a line for each activation."""
    for offset, _, like, members in lines_of(cells):
        members = members[members["repeats"] > 0]
        share, low, high = (members[name].to_numpy(float) for name in ("share_chance", "share_chance_low", "share_chance_high"))
        x = members["p"].to_numpy() + offset
        style = {"color": like["color"], "markersize": 0.75 * mpl.rcParams["lines.markersize"], "marker": like["marker"]}
        ax.errorbar(x, share, [np.clip(share - low, 0, 1), np.clip(high - share, 0, 1)], linestyle="none", **style)
    ax.set_ylim(-0.04, 1.04)
    ax.set_yticks([0, 1], ["0", "1"])
    ax.set_ylabel("share at\nchance")
    return ax


def p_axis(ax: Axes) -> Axes:
    """Set short, round ticks for an axis of p."""
    ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:g}"))
    return ax


def draw_majority(ax: Axes, value: float) -> Axes:
    """Draw a line at the accuracy (or error) of a network that always answers with the largest class."""
    ax.axhline(value, color=FAINT, linewidth=0.8, linestyle=(0, (1, 1.5)), zorder=0.5)
    return ax


def lines_of(cells: pd.DataFrame) -> list[tuple[float, str, dict[str, Any], pd.DataFrame]]:
    """For each activation, in the order of the cells: offset, name, look and cells."""
    activations = list(dict.fromkeys(cells["activation"]))
    width = max(float(np.ptp(cells["p"])), 0.1)
    return [
        (
            _DODGE * width * (i - (len(activations) - 1) / 2) * (len(activations) > 1),
            activation,
            look(activation, activations),
            cells[cells["activation"] == activation],
        )
        for i, activation in enumerate(activations)
    ]


def is_odd(runs: pd.DataFrame) -> np.ndarray:
    """bool (n,): whether a finished run is at chance or diverged."""
    return (runs["status"] != "ok").to_numpy()


def line_handles(cells: pd.DataFrame) -> list[Artist]:
    """A legend entry for each activation."""
    return [Line2D([], [], label=named(name), **like) for _, name, like, _ in lines_of(cells)]


def symbol_handles(cells: pd.DataFrame, majority: bool = True) -> list[Artist]:
    """Legend entries for the symbols that are drawn."""
    grey: dict[str, Any] = {"color": "#505050", "linestyle": "none"}
    size = mpl.rcParams["lines.markersize"]
    has_interval = (cells["repeats"] > 1).any()
    found: list[Artist] = [Line2D([], [], marker="o", label="mean, 95 % interval" if has_interval else "mean", **grey)]
    if ((cells["missing"] + cells["failed"] > 0) & (cells["repeats"] > 0)).any():
        found.append(Line2D([], [], marker="o", markerfacecolor="#ffffff", label="mean, runs missing", **grey))
    found.append(Line2D([], [], marker=".", markersize=0.8 * size, label="one run", **grey))
    if (cells[["chance", "diverged"]].to_numpy() > 0).any():
        found.append(
            Line2D(
                [],
                [],
                marker="x",
                color=INK,
                linestyle="none",
                markersize=size,
                label="run at chance or diverged" if (cells["diverged"] > 0).any() else "run at chance",
            )
        )
    if (cells["chance"] > 0).any() and cells["mean_trained_accuracy"].notna().any():
        found.append(Line2D([], [], **DASH, markersize=2.4 * size, label="mean if trained", **grey))
    if majority:
        found.append(Line2D([], [], color=FAINT, linewidth=0.8, linestyle=(0, (1, 1.5)), label="majority class"))
    return found


def _values(cells: pd.DataFrame, is_error: bool) -> list[np.ndarray]:
    """p, mean, both ends of the interval, and mean of the runs that trained: float (n,) each."""
    names = ["p", "mean_test_accuracy", "ci95_low_clipped", "ci95_high_clipped", "mean_trained_accuracy"]
    x, mean, low, high, trained = (cells[name].to_numpy(float) for name in names)
    return [x, 1 - mean, 1 - high, 1 - low, 1 - trained] if is_error else [x, mean, low, high, trained]
