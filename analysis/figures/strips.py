"""Every run of the cells with the largest spread, so that clusters of runs can be seen."""

from collections.abc import Iterator

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.names import majority, named, setting, varying
from analysis.figures.parts import ACCURACY_TICKS, draw_majority, is_odd, symbol_handles
from analysis.figures.sheets import Panel, Sheet, lay_out, runs_of, title_of
from analysis.figures.style import INK, look

_N_CELLS = 6
_LEAST_RUNS = 3  # with fewer runs, clusters cannot be seen
_WIDTH = 0.3  # half the width of a strip


def plot_strips(ax: Axes, cells: pd.DataFrame, runs: pd.DataFrame) -> Axes:
    """Plot a strip of dots for each cell, in the order of the cells, and a bar at the median. Labels: runs at chance.

    Args:
        cells: rows of the summary.
        runs: their finished runs; the column `cell` has the index of the run's cell.
    """
    fields = varying(cells)
    activations = list(dict.fromkeys(cells["activation"]))
    dataset = cells["dataset"].iloc[0]
    draw_majority(ax, majority(dataset))
    size = mpl.rcParams["lines.markersize"]
    labels = []
    for i, (row, cell) in enumerate(cells.iterrows()):
        own = runs[runs["cell"] == row]
        y, odd = own["test_accuracy"].to_numpy(float), is_odd(own)
        x = i + _side_by_side(y)
        colour = look(cell["activation"], activations)["color"]
        ax.plot(x[~odd], y[~odd], ".", color=colour, markersize=size, alpha=0.7, rasterized=True)
        ax.plot(x[odd], y[odd], "x", color=INK, markersize=0.8 * size, rasterized=True)
        middle = float(cell["median_test_accuracy"])
        ax.plot([i - _WIDTH, i + _WIDTH], [middle, middle], color=INK, linewidth=mpl.rcParams["lines.linewidth"])
        words = [named(cell["activation"]), f"p = {cell['p']:g}", setting(cells.loc[[row]], fields).replace(", ", "\n")]
        if cell["chance"]:
            words.append(f"{cell['chance']} of {cell['repeats']}\nat chance")
        labels.append("\n".join(filter(None, words)))
    ax.set_xticks(range(len(cells)), labels)
    ax.set_xlim(-0.6, len(cells) - 0.4)
    ax.set_ylim(0, 1.02)
    ax.set_yticks(ACCURACY_TICKS)
    ax.grid(visible=False, axis="x")
    return ax


def strip_sheets(summary: pd.DataFrame, runs: pd.DataFrame) -> Iterator[Sheet]:
    """A sheet for each model type, with the cells that have the largest spread, largest first."""
    for model_type, cells in summary.groupby("model_type", sort=False, observed=True):
        enough = cells[cells["repeats"] >= _LEAST_RUNS]
        widest = enough.sort_values("sample_std_test_accuracy", ascending=False, kind="stable").head(_N_CELLS)
        if not len(widest) or not widest["sample_std_test_accuracy"].max() > 0:
            continue
        yield _sheet(f"strips_{model_type}", widest, runs_of(widest, runs), enough, cells)


def _sheet(name: str, cells: pd.DataFrame, runs: pd.DataFrame, enough: pd.DataFrame, planned: pd.DataFrame) -> Sheet:
    handles = [handle for handle in symbol_handles(cells) if not str(handle.get_label()).startswith("mean")]

    def draw() -> Figure:
        panel = Panel("", cells, runs)
        return lay_out(
            [panel],
            lambda ax, one: plot_strips(ax, one.cells, one.runs),
            title_of(planned),
            "test accuracy",
            handles=handles,
            xlabel="",
            is_wide=True,
        )

    which = f"The {len(cells)} of {len(enough)} cells" if len(cells) < len(enough) else "The cells"
    text = f"{which} with the largest sample standard deviation, largest first; every run is a dot, bars are medians."
    table = runs[["cell", "model_type", "activation", "p", "repeat", "status", "test_accuracy"]]
    return Sheet(
        name, f"The cells with the largest spread, run by run: {title_of(planned)}", text, table, draw, [runs["test_accuracy"]]
    )


def _side_by_side(y: np.ndarray) -> np.ndarray:
    """Offsets that keep dots of nearly equal height apart: float (n,), from -_WIDTH to _WIDTH.

    Multiples of the golden ratio are evenly distributed, whatever the order of the dots.
    """
    place = np.empty(len(y))
    place[np.argsort(y, kind="stable")] = np.arange(len(y)) * 0.6180339887498949 % 1
    return (2 * place - 1) * _WIDTH * (0.0 if len(y) < 2 else 0.9)
