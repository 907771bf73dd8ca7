"""A map of mean accuracies: activation x p."""

from collections.abc import Iterator

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.captions import n_of, what_is_missing
from analysis.figures.names import named
from analysis.figures.sheets import Panel, Sheet, files, has_runs, lay_out, title_of
from analysis.figures.style import points

_ON_LIGHT, _ON_DARK, _NONE = "#010101", "#fefefe", "#c8c8c8"


def plot_heatmap(ax: Axes, cells: pd.DataFrame) -> Axes:
    """Plot mean accuracies as a map, with a row for each activation and a column for each p.

    If runs are at chance, lines below the mean say how many, and the mean of the runs that trained.

    Args:
        cells: rows of the summary with one model type and one value of each further axis, including those without a run.
    """
    activations, ps = list(dict.fromkeys(cells["activation"])), sorted(cells["p"].unique())
    mean = np.full((len(activations), len(ps)), np.nan)
    colours = mpl.colormaps["viridis"].with_extremes(bad=_NONE)
    size = points("font.size") * min(0.8, 6.5 / len(ps))
    for _, cell in cells.iterrows():
        row, column = activations.index(cell["activation"]), ps.index(cell["p"])
        mean[row, column] = cell["mean_test_accuracy"]
        colour = _ON_DARK if cell["mean_test_accuracy"] < 0.55 else _ON_LIGHT
        ax.text(column, row, _words(cell), ha="center", va="center", fontsize=size, color=colour, linespacing=1.05)
    ax.imshow(np.ma.masked_invalid(mean), cmap=colours, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    ax.set_xticks(range(len(ps)), [f"{p:g}" for p in ps])
    ax.set_yticks(range(len(activations)), [named(name) for name in activations])
    ax.grid(visible=False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


def heatmap_sheets(summary: pd.DataFrame) -> Iterator[Sheet]:
    """A sheet for each model type with at least two activations and two values of p."""
    no_runs = pd.DataFrame({"cell": []})
    for name, panels, planned in files(
        summary, "heatmap", lambda words, own: [Panel(words, own, no_runs)] if _is_map(has_runs(own)) else []
    ):
        yield _sheet(name, panels, planned)


def _sheet(name: str, panels: list[Panel], planned: pd.DataFrame) -> Sheet:
    cells = pd.concat([panel.cells for panel in panels])

    def draw() -> Figure:
        return lay_out(panels, lambda ax, panel: plot_heatmap(ax, panel.cells), title_of(planned), "", is_wide=True)

    text = [f"Mean accuracy after the last epoch over {n_of(has_runs(cells))}; colours go from 0 (dark) to 1 (light)."]
    if (cells["chance"] > 0).any():
        text.append("x: number of runs at chance; in brackets: mean of the runs that trained.")
    if (cells["repeats"] == 0).any():
        text.append("Grey: no run yet.")
    columns = ["model_type", "activation", "p", "repeats", "mean_test_accuracy", "chance", "n_trained", "mean_trained_accuracy"]
    caption = " ".join([*text, *what_is_missing(has_runs(cells), planned)])
    table = cells[[*columns, *[name for name in cells if name not in columns]]]
    return Sheet(name, f"Mean accuracy by activation and p: {title_of(planned)}", caption, table, draw)


def _is_map(cells: pd.DataFrame) -> bool:
    return cells["activation"].nunique() > 1 and cells["p"].nunique() > 1


def _words(cell: pd.Series) -> str:
    if not cell["repeats"]:
        return ""
    words = [f"{cell['mean_test_accuracy']:.3f}"]
    if cell["chance"]:
        words.append(f"{cell['chance']}/{cell['repeats']} x")
        if cell["n_trained"]:
            words.append(f"({cell['mean_trained_accuracy']:.3f})")
    return "\n".join(words)
