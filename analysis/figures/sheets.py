"""Sheets, which are figures before they are drawn, and the layout of their panels."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.names import OTHER_FIELDS, file_part, named, network, setting, varying
from analysis.figures.style import points

MOST_PANELS = 6  # in one figure; with more, each combination of the further axes has a file of its own
_MOST_COLUMNS = 3
_ONE_PANEL = 0.64  # width of a figure with one panel, as a share of the width of the text
# Labels of the axis of p: the usual one, and a short one for narrow panels.
_NOISE = ("p, share of pixels replaced in training", "p, pixels replaced")
_STRIP = 0.34  # height of the panel for the share at chance, as a share of the height of the panel above


@dataclass(frozen=True, eq=False)
class Panel:
    """One subplot. cells: rows of the summary. runs: their finished runs."""

    title: str
    cells: pd.DataFrame
    runs: pd.DataFrame


@dataclass(frozen=True, eq=False)
class Sheet:
    """A figure that can be drawn.

    name: the name of its files; heading: one line that says what it shows; caption: the text below it; table: its numbers;
    dots: float (n,) each, what it shows of single runs; draw: makes the figure.
    """

    name: str
    heading: str
    caption: str
    table: pd.DataFrame
    draw: Callable[[], Figure]
    dots: Sequence[pd.Series] = ()


def in_grid_order(summary: pd.DataFrame, like: pd.DataFrame) -> pd.DataFrame:
    """The summary in the grid's order: combinations of values as in `like`, and within each combination sorted by p.

    Args:
        summary: `analysis.statistics.summarise`.
        like: a table with the columns of a cell, in the grid's order: the planned cells, or runs.
    """
    names = ["model_type", *OTHER_FIELDS, "activation"]
    places = {name: _places(summary[name], like[name]) for name in names}
    order = pd.DataFrame({**places, "p": summary["p"]}).sort_values([*names, "p"], kind="stable").index
    return summary.loc[order].reset_index(drop=True)


def _places(values: pd.Series, like: pd.Series) -> pd.Series:
    """The place of each value among the distinct values of `like`, in the order of their first appearance."""
    kinds = [_plain(value) for value in like.unique()]
    place_of = {kind: place for place, kind in enumerate(kinds)}
    return values.map(_plain).map(place_of).fillna(len(kinds))


def _plain(value: Any) -> Any:
    return "none" if pd.isna(value) else value


def has_runs(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells with at least one finished run."""
    return cells[cells["repeats"] > 0]


def runs_of(cells: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """The runs of some cells. runs: their column `cell` has the index of the run's cell in the summary."""
    return runs[runs["cell"].isin(cells.index)]


def by_setting(cells: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """For each combination of the further axes, in the order of the summary: title, part of a file's name, and cells."""
    fields = varying(cells)
    if not fields:
        return [("", "", cells)]
    groups = cells.groupby(fields, sort=False, dropna=False, observed=True)
    return [(setting(members, fields), file_part(members, fields), members) for _, members in groups]


def files(
    summary: pd.DataFrame, kind: str, panels_of: Callable[[str, pd.DataFrame], list[Panel]]
) -> Iterator[tuple[str, list[Panel], pd.DataFrame]]:
    """The files of one kind of figure: for each file its name, its panels, and all its planned cells.

    There is one file for each model type. With more than MOST_PANELS panels, there is one for each combination of the further
    axes.

    Args:
        panels_of: makes the panels of one combination from its title and its cells.
    """
    for model_type, cells in summary.groupby("model_type", sort=False, observed=True):
        found = [(part, own, panels_of(words, own)) for words, part, own in by_setting(cells)]
        panels = [panel for _, _, some in found for panel in some]
        if 0 < len(panels) <= MOST_PANELS:
            yield f"{kind}_{model_type}", panels, cells
        else:
            yield from ((f"{kind}_{model_type},{part}".rstrip(","), some, own) for part, own, some in found if some)


def one_panel(words: str, cells: pd.DataFrame, runs: pd.DataFrame) -> list[Panel]:
    """One panel with all cells that have a run; none if there are no such cells."""
    own = has_runs(cells)
    return [Panel(words, own, runs_of(own, runs))] if len(own) else []


def panel_by_activation(words: str, cells: pd.DataFrame, runs: pd.DataFrame) -> list[Panel]:
    """A panel for each activation with a run."""
    groups = has_runs(cells).groupby("activation", sort=False, observed=True)
    return [Panel(", ".join(filter(None, [named(name), words])), own, runs_of(own, runs)) for name, own in groups]


def lay_out(
    panels: list[Panel],
    draw: Callable[[Axes, Panel], Axes],
    title: str,
    ylabel: str,
    below: Callable[[Axes, Panel], Axes] | None = None,
    handles: list[Artist] | None = None,
    is_y_shared: bool = True,
    xlabel: str | None = None,
    is_wide: bool = False,
) -> Figure:
    """A figure with rows of at most three panels.

    Args:
        draw: draws a panel.
        below: draws a low panel below each panel.
        is_wide: whether each panel needs the full width of the text.
    """
    width, height = mpl.rcParams["figure.figsize"]
    n_columns = 1 if is_wide else min(len(panels), _MOST_COLUMNS if len(panels) != 4 else 2)
    n_rows = -(-len(panels) // n_columns)
    is_single = n_columns == 1 and not is_wide
    ratios = [1, _STRIP] if below else [1]
    width *= _ONE_PANEL if is_single else 1
    labels = [str(handle.get_label()) for handle in handles or []]
    n_legend = _n_columns(labels, width) if labels else 1
    lines_in = points("font.size") / 72 * (3 + 1.7 * -(-len(labels) // n_legend))  # room for title and legend
    room = 1.2 if n_columns < _MOST_COLUMNS else 1.0
    figure = Figure(figsize=(width, lines_in + height * n_rows * sum(ratios) * room), layout="constrained")
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
        _label_y(axes, ylabel if column == 0 else None, is_y_shared)
        lowest[column] = axes[-1]
    for ax in lowest.values():
        ax.tick_params(labelbottom=True)
        ax.set_xlabel(xlabel if xlabel is not None else _NOISE[n_columns == _MOST_COLUMNS])
    figure.suptitle(title, x=0.01, ha="left")
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=n_legend)
    return figure


def _label_y(axes: list[Axes], ylabel: str | None, is_y_shared: bool) -> None:
    """Label a panel and the one below it. Without a label, panels further left show it."""
    if ylabel is not None:
        axes[0].set_ylabel(ylabel)
        return
    for ax in axes[0 if is_y_shared else 1 :]:
        ax.tick_params(labelleft=False)
        ax.set_ylabel("")


def _n_columns(labels: list[str], width_in: float) -> int:
    """The largest number of legend columns that fit into a figure, if a character is 0.6 times as wide as the font's size."""
    size_in = points("legend.fontsize") / 72
    around = mpl.rcParams["legend.handlelength"] + mpl.rcParams["legend.handletextpad"] + mpl.rcParams["legend.columnspacing"]
    for n in range(len(labels), 1, -1):
        # matplotlib fills columns in this way
        widths = [max(map(len, column)) * 0.6 + around for column in np.array_split(labels, n)]
        if sum(widths) * size_in < width_in:
            return n
    return 1


def title_of(planned: pd.DataFrame) -> str:
    """Data set and network, and the number of runs if some are missing. planned: all cells of the figure."""
    n_done, n_away = int(planned["repeats"].sum()), int(planned[["missing", "failed"]].to_numpy().sum())
    return network(planned) + progress(n_done, n_done + n_away)


def progress(n_done: int, n_planned: int) -> str:
    """ " (617 of 2,400 runs)", or nothing if all are done."""
    return "" if n_done == n_planned else f" ({n_done:,} of {n_planned:,} runs)"
