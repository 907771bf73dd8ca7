"""Accuracy on the clean test set, or its error, against the noise in training."""

from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from analysis.datasets import info
from analysis.figures.captions import caption
from analysis.figures.names import majority
from analysis.figures.parts import (
    ACCURACY_TICKS,
    draw_dots,
    draw_majority,
    draw_means,
    draw_share,
    is_odd,
    line_handles,
    lines_of,
    p_axis,
    symbol_handles,
)
from analysis.figures.sheets import Panel, Sheet, files, lay_out, one_panel, panel_by_activation, runs_of, title_of
from analysis.live import with_bounds

_LABEL = "test accuracy"
_N_TEST = 10_000  # of a data set that nobody knows
_ERROR_TICKS = [a * 10.0**b for b in range(-6, 0) for a in (1, 2, 5)] + [1.0]


def plot_accuracy(ax: Axes, cells: pd.DataFrame, runs: pd.DataFrame) -> Axes:
    """Plot the mean accuracy against p with its 95 % interval, and each run as a dot. Each activation has a line.

    Args:
        cells: rows of the summary with one model type and one value of each further axis.
        runs: their finished runs; the column `cell` has the index of the run's cell.
    """
    _plot(ax, cells, runs, is_error=False)
    ax.set_ylim(0, 1.02)
    ax.set_yticks(ACCURACY_TICKS)
    return ax


def plot_error(ax: Axes, cells: pd.DataFrame, runs: pd.DataFrame) -> Axes:
    """The same for the error, 1 - accuracy, on a log axis. Runs with an error of 0 are at the lower edge."""
    lowest = _lowest_error(cells, runs)
    ax.set_yscale("log", nonpositive="clip")
    _plot(ax, cells, runs, is_error=True, lowest=lowest)
    ax.set_ylim(lowest, 1.1)
    ax.yaxis.set_major_locator(FixedLocator(_ERROR_TICKS))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    ax.yaxis.set_minor_formatter(NullFormatter())
    return ax


def accuracy_sheets(summary: pd.DataFrame, runs: pd.DataFrame) -> Iterator[Sheet]:
    """For each model type, a sheet with a subplot for each activation (and each combination of further axes)."""
    for name, panels, planned in files(summary, "accuracy", lambda words, own: panel_by_activation(words, own, runs)):
        yield _sheet(name, panels, planned, "Accuracy against p, a subplot for each activation")


def overview_sheets(summary: pd.DataFrame, runs: pd.DataFrame) -> Iterator[Sheet]:
    """For each model type, sheets with all activations in one panel, as accuracy and as error."""
    for kind, heading in (("overview", "Accuracy against p, all activations"), ("error", "Error against p on a log axis")):
        for name, panels, planned in files(summary, kind, lambda words, own: one_panel(words, own, runs)):
            yield _sheet(name, panels, planned, heading, is_overview=True, is_error=kind == "error")


def _sheet(
    name: str, panels: list[Panel], planned: pd.DataFrame, heading: str, is_overview: bool = False, is_error: bool = False
) -> Sheet:
    cells = pd.concat([panel.cells for panel in panels])
    has_chance = (cells["chance"] > 0).any()
    plot = plot_error if is_error else plot_accuracy

    def draw() -> Figure:
        handles = (line_handles(cells) if is_overview and cells["activation"].nunique() > 1 else []) + symbol_handles(cells)
        return lay_out(
            panels,
            lambda ax, panel: plot(ax, panel.cells, panel.runs),
            title_of(planned),
            _LABEL.replace("accuracy", "error") if is_error else _LABEL,
            (lambda ax, panel: draw_share(ax, panel.cells)) if has_chance else None,
            handles,
        )

    text = caption(cells, planned, "Error (1 - accuracy)" if is_error else "Accuracy", has_share=bool(has_chance))
    dots = [panel.runs["test_accuracy"] for panel in panels]
    return Sheet(name, f"{heading}: {title_of(planned)}", text, with_bounds(cells), draw, dots)


def _plot(ax: Axes, cells: pd.DataFrame, runs: pd.DataFrame, is_error: bool, lowest: float = 0) -> Axes:
    guess = majority(cells["dataset"].iloc[0])
    draw_majority(p_axis(ax), 1 - guess if is_error else guess)
    for offset, _, like, members in lines_of(cells):
        own = runs_of(members, runs)
        accuracy = own["test_accuracy"].to_numpy(float)
        y = (1 - accuracy).clip(lowest) if is_error else accuracy
        draw_dots(ax, own["p"].to_numpy(float) + offset, y, is_odd(own), like["color"])
        draw_means(ax, members, like, offset, is_error)
    return ax


def _lowest_error(cells: pd.DataFrame, runs: pd.DataFrame) -> float:
    """The lower edge of a log axis, which is below all errors that are not 0."""
    found = info(cells["dataset"].iloc[0])
    one = 1 / (found.n_test if found else _N_TEST)
    smallest = 1 - float(runs["test_accuracy"].max())
    return max(0.6 * smallest, 0.5 * one)
