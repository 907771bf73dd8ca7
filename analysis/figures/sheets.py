"""Sheets: what a figure is before it is drawn, and how its panels are laid out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import matplotlib as mpl
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.names import file_part, network, setting, varying

MOST_PANELS = 6  # of one figure; if there are more, each combination of the further axes has a file of its own
_MOST_COLUMNS = 3
_ONE_PANEL = 0.64  # width of a figure with one panel, of the width of the text
_STRIP = 0.34  # height of the share at chance, of that of its panel


@dataclass(frozen=True, eq=False)
class Panel:
    """One subplot. cells: rows of the summary. runs: their finished runs. key: the value that the panel shows, if it shows one."""

    title: str
    cells: pd.DataFrame
    runs: pd.DataFrame
    key: str = ""


@dataclass(frozen=True, eq=False)
class Sheet:
    """A figure that can be drawn.

    name: of its files; heading: one line that says what it shows, for readers who cannot see it; table: its numbers;
    caption: text that belongs below it; runs: all runs whose dots are in it; draw: makes it.
    """

    name: str
    heading: str
    caption: str
    table: pd.DataFrame
    draw: Callable[[], Figure]
    runs: pd.DataFrame = field(default_factory=pd.DataFrame)


def has_runs(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells with at least one finished run."""
    return cells[cells["repeats"] > 0]


def runs_of(cells: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """The runs of some cells. runs: with the column `cell`, the index of their cell in the summary."""
    return runs[runs["cell"].isin(cells.index)]


def by_setting(cells: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """Title, part of a file's name, and cells of each combination of the further axes, in the order of the summary."""
    fields = varying(cells)
    if not fields:
        return [("", "", cells)]
    groups = cells.groupby(fields, sort=False, dropna=False, observed=True)
    return [(setting(members, fields), file_part(members, fields), members) for _, members in groups]


def split(name: str, panels: list[tuple[str, Panel]]) -> Iterator[tuple[str, list[Panel]]]:
    """The files of a figure and the panels of each. Panels come with the part of the name of their setting's file."""
    if len(panels) <= MOST_PANELS:
        yield name, [panel for _, panel in panels]
        return
    for part in dict.fromkeys(part for part, _ in panels):
        yield ",".join(filter(None, [name, part])), [panel for its, panel in panels if its == part]


def lay_out(
    panels: list[Panel],
    draw: Callable[[Axes, Panel], Axes],
    title: str,
    ylabel: str,
    below: Callable[[Axes, Panel], Axes] | None = None,
    handles: list[Artist] | None = None,
    is_y_shared: bool = True,
    xlabel: str = "$p$, share of pixels replaced in training",
) -> Figure:
    """A figure of panels in rows of at most three. below: draws a low panel under each."""
    width, height = mpl.rcParams["figure.figsize"]
    n_columns = min(len(panels), _MOST_COLUMNS if len(panels) != 4 else 2)
    n_rows = -(-len(panels) // n_columns)
    is_single = n_columns == 1
    ratios = [1, _STRIP] if below else [1]
    room = 1.25 if n_columns < _MOST_COLUMNS else 1.0
    figure = Figure(
        figsize=(width * (_ONE_PANEL if is_single else 1), height * n_rows * sum(ratios) * room), layout="constrained"
    )
    grid = figure.subplots(
        n_rows * len(ratios),
        n_columns,
        sharex=True,
        sharey="row" if below else is_y_shared,
        squeeze=False,
        height_ratios=ratios * n_rows,
    )
    lowest = {}
    for i in range(n_rows * n_columns):
        row, column = divmod(i, n_columns)
        axes = [grid[row * len(ratios) + k][column] for k in range(len(ratios))]
        if i >= len(panels):
            for ax in axes:
                ax.remove()
            continue
        draw(axes[0], panels[i]).set_title(panels[i].title)
        if below:
            below(axes[1], panels[i])
        if column == 0:
            axes[0].set_ylabel(ylabel)
        else:
            for ax in axes[0 if is_y_shared else 1 :]:
                ax.tick_params(labelleft=False)
                ax.set_ylabel("")
        lowest[column] = axes[-1]
    for ax in lowest.values():
        ax.tick_params(labelbottom=True)
    figure.supxlabel(xlabel, fontsize=mpl.rcParams["axes.labelsize"]) if n_columns > 1 else lowest[0].set_xlabel(xlabel)
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    if handles:
        n_at_most = 3 if is_single else 5
        n_lines = -(-len(handles) // n_at_most)
        figure.legend(handles=handles, loc="outside lower center", ncols=-(-len(handles) // n_lines))
    return figure


def title_of(cells: pd.DataFrame, is_split: bool = False) -> str:
    """Data set, network, the setting if all cells share it, and how many runs there are if some are missing."""
    counts = cells[["repeats", "missing", "failed"]].to_numpy().sum(axis=0)
    words = network(cells) + progress(int(counts[0]), int(counts.sum()))
    return words


def progress(n_done: int, n_planned: int) -> str:
    """ " (617 of 2,400 runs)", or nothing if all are done."""
    return "" if n_done == n_planned else f" ({n_done:,} of {n_planned:,} runs)"
