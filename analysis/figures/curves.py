"""Training curves by p."""

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from analysis.figures.captions import n_of, what_is_missing
from analysis.figures.names import majority
from analysis.figures.parts import ACCURACY_TICKS, draw_majority
from analysis.figures.sheets import Panel, Sheet, files, lay_out, panel_by_activation, runs_of, title_of
from analysis.figures.style import points, shade

_MOST_LINES = 4_000  # in one figure; with more runs than this, an area from the lowest to the highest is drawn instead
_NOTE = 0.1  # height of a line of text, as a part of the axis from 0 to 1
_ROWS_A_TIME = 100_000


def read_histories(store: Path, rows: np.ndarray) -> np.ndarray:
    """Test accuracy after each epoch: float32 (n, epochs), NaN after the last epoch of a run. rows: int (n,), ascending."""
    with h5py.File(store, "r", locking=False) as h5:
        array = h5["history_test_accuracy"]
        parts = [np.empty((0, array.shape[1]), np.float32)]
        for start in range(0, array.shape[0], _ROWS_A_TIME):
            some = rows[(rows >= start) & (rows < start + _ROWS_A_TIME)] - start
            if len(some):
                parts.append(array[start : start + _ROWS_A_TIME].astype(np.float32)[some])
    return np.concatenate(parts)


def plot_curves(
    ax: Axes,
    cells: pd.DataFrame,
    runs: pd.DataFrame,
    histories: np.ndarray,
    ps: list[float] | None = None,
    most_lines: int = _MOST_LINES,
    n_notes: int | None = None,
) -> Axes:
    """Plot test accuracy against epoch, with a colour for each p. Thick: mean of the runs that trained; thin: single runs.

    Args:
        cells: rows of the summary with one model type, one activation and one value of each further axis.
        runs: their finished runs; the column `cell` has the index of the run's cell, `place` its row in `histories`.
        histories: float (n, epochs).
        ps: all values of p that get a colour; None: those of the cells.
        most_lines: with more runs than this, an area from the lowest to the highest run replaces the thin lines.
        n_notes: lines of text for which there is room below 0, where no curve is; None: as many as this panel has.
    """
    ps = sorted(cells["p"]) if ps is None else ps
    dataset = cells["dataset"].iloc[0]
    draw_majority(ax, majority(dataset))
    n_epochs = int(cells["epochs"].max())
    epochs = np.arange(1, n_epochs + 1)
    odd = []
    for row, cell in cells.sort_values("p", ascending=False).iterrows():
        colour = shade(ps.index(cell["p"]), len(ps))
        own = runs[runs["cell"] == row]
        curves = histories[own["place"].to_numpy(), :n_epochs]
        if len(own) <= most_lines:
            lines = [np.column_stack([epochs, curve]) for curve in curves]
            ax.add_collection(LineCollection(lines, colors=[colour], linewidths=0.4, alpha=0.35, rasterized=True))
        else:
            ax.fill_between(epochs, np.nanmin(curves, axis=0), np.nanmax(curves, axis=0), color=colour, alpha=0.2, linewidth=0)
        is_ok = (own["status"] == "ok").to_numpy()
        if is_ok.any():
            ax.plot(epochs, curves[is_ok].mean(axis=0), color=colour)
        if cell["chance"]:
            odd.append((cell["p"], f"p = {cell['p']:g}: {cell['chance']} of {cell['repeats']} at chance"))
    if odd:
        words = "\n".join(text for _, text in sorted(odd))
        size = 0.9 * points("xtick.labelsize")
        ax.text(0.98, 0.02, words, transform=ax.transAxes, ha="right", va="bottom", fontsize=size)
    ax.set_xlim(1, n_epochs)
    ax.set_ylim(-_NOTE * (len(odd) if n_notes is None else n_notes), 1.02)
    ax.set_yticks(ACCURACY_TICKS)
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    return ax


def curve_sheets(summary: pd.DataFrame, runs: pd.DataFrame, store: Path) -> Iterator[Sheet]:
    """A sheet for each model type with more than one epoch. runs: `with_cells`; `row` is the row in `store` (results.h5)."""
    several = summary[summary["epochs"] > 1]
    for name, panels, planned in files(several, "curves", lambda words, own: panel_by_activation(words, own, runs)):
        yield _sheet(name, panels, planned, store)


def _sheet(name: str, panels: list[Panel], planned: pd.DataFrame, store: Path) -> Sheet:
    cells = pd.concat([panel.cells for panel in panels])
    runs = pd.concat([panel.runs for panel in panels]).sort_values("row", kind="stable")
    rows = runs["row"].to_numpy()
    histories = read_histories(store, rows)
    runs = runs.assign(place=np.arange(len(runs)))
    ps = sorted(cells["p"].unique())

    def draw() -> Figure:
        handles = [Line2D([], [], color=shade(i, len(ps)), label=f"p = {p:g}") for i, p in enumerate(ps)]
        most_lines = _MOST_LINES if len(runs) <= _MOST_LINES else 0
        n_notes = max(int((panel.cells["chance"] > 0).sum()) for panel in panels)
        return lay_out(
            panels,
            lambda ax, panel: plot_curves(ax, panel.cells, runs_of(panel.cells, runs), histories, ps, most_lines, n_notes),
            title_of(planned),
            "test accuracy",
            handles=list(handles),
            xlabel="epoch",
        )

    thin = "thin lines are single runs" if len(runs) <= _MOST_LINES else "areas go from the lowest to the highest run"
    text = f"Accuracy after each epoch: the mean of the runs that trained, {n_of(cells)} each; {thin}; dotted: majority class."
    caption = " ".join([text, *what_is_missing(cells, planned)])
    table = _table(cells, runs, histories)
    return Sheet(name, f"Training curves by p: {title_of(planned)}", caption, table, draw, [runs["test_accuracy"]])


def _table(cells: pd.DataFrame, runs: pd.DataFrame, histories: np.ndarray) -> pd.DataFrame:
    """A row for each cell and epoch."""
    found = []
    cell, is_ok = runs["cell"].to_numpy(), (runs["status"] == "ok").to_numpy()
    order = np.argsort(cell, kind="stable")
    starts = np.searchsorted(cell[order], [cells.index, cells.index + 1])
    for (row, own), start, end in zip(cells.iterrows(), *starts, strict=True):
        places = order[start:end]
        n_epochs = int(own["epochs"])
        after = histories[places, :n_epochs].astype(float)
        trained = after[is_ok[places]]
        columns = {
            **{name: own[name] for name in ("model_type", "activation", "p")},
            "cell": row,
            "epoch": np.arange(1, n_epochs + 1),
            "repeats": len(places),
            "mean_test_accuracy": after.mean(axis=0),
            "min_test_accuracy": after.min(axis=0),
            "max_test_accuracy": after.max(axis=0),
            "n_trained": len(trained),
            "mean_trained_accuracy": trained.mean(axis=0) if len(trained) else np.nan,
        }
        found.append(pd.DataFrame(columns))
    return pd.concat(found, ignore_index=True)
