"""Figures: functions that take data and an Axes and return the Axes."""

import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.planned import CELL_FIELDS

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito: safe for colour-blind readers
_LINES = ("-", "--", ":", "-.")


def plot_accuracy(ax: Axes, summary: pd.DataFrame, runs: pd.DataFrame, n_classes: int) -> Axes:
    """Mean accuracy on the clean test set against p, with its 95 % interval. Each run is a dot; each other setting has a line.

    Args:
        summary: rows of `statistics.summarise` of one model type and activation.
        runs: the finished runs of the same.
        n_classes: for the line at the accuracy of guessing.
    """
    ax.axhline(1 / n_classes, color="0.6", linewidth=0.8, linestyle=":", zorder=0)
    settings = _varying(summary)
    groups = list(summary.groupby(settings, dropna=False)) if settings else [((), summary)]
    for i, (values, cells) in enumerate(groups):
        colour = _COLOURS[i % len(_COLOURS)]
        label = ", ".join(f"{name} {'all' if pd.isna(value) else value}" for name, value in zip(settings, values, strict=True))
        half = cells["mean_test_accuracy"] - cells["ci95_low"]
        ax.errorbar(
            cells["p"],
            cells["mean_test_accuracy"],
            yerr=half,
            fmt="o" + _LINES[i // len(_COLOURS) % len(_LINES)],
            color=colour,
            label=label or None,
            markersize=4.5,
            markerfacecolor="white",
            capsize=2.5,
            linewidth=1.3,
            elinewidth=1,
        )
        members = runs if not settings else runs.merge(cells[settings].drop_duplicates(), on=settings)
        odd = members["status"] != "ok"
        ax.plot(members["p"][~odd], members["test_accuracy"][~odd], ".", color=colour, alpha=0.5, markersize=3, zorder=3)
        ax.plot(members["p"][odd], members["test_accuracy"][odd], "x", color="black", markersize=4, zorder=3)
    if settings:
        ax.legend(frameon=False, fontsize="small")
    ax.set_xlabel("$p$, pixels replaced in training")
    ax.grid(alpha=0.25, linewidth=0.5)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def accuracy_figure(summary: pd.DataFrame, runs: pd.DataFrame, model_type: str, n_classes: int) -> Figure:
    """One subplot for each activation of a model type. The caption below says what is drawn, and what is missing."""
    cells, members = (
        summary[summary["model_type"] == model_type],
        runs[(runs["model_type"] == model_type) & (runs["status"] != "failed")],
    )
    activations = list(dict.fromkeys(cells["activation"]))
    figure = Figure(figsize=(max(4.2, 2.9 * len(activations) + 0.6), 3.5), layout="constrained")
    panels = figure.subplots(1, len(activations), sharex=True, sharey=True, squeeze=False)[0]
    for ax, activation in zip(panels, activations, strict=True):
        plot_accuracy(ax, cells[cells["activation"] == activation], members[members["activation"] == activation], n_classes)
        ax.set_title(activation)
    panels[0].set_ylabel("accuracy on the clean test set")
    panels[0].set_ylim(0, 1.02)
    figure.suptitle(f"{model_type.upper()} on {cells['dataset'].iloc[0]}")
    n_characters = int(17 * figure.get_figwidth())  # of small print
    figure.supxlabel(textwrap.fill(caption(cells), n_characters), fontsize="small", color="0.35")
    return figure


def caption(summary: pd.DataFrame) -> str:
    """What the figure shows: n and interval, and what is missing."""
    low, high = summary["repeats"].min(), summary["repeats"].max()
    n = str(low) if low == high else f"{low} to {high}"
    text = f"Mean of n = {n} runs a point with its 95 % t interval; dots: single runs; dotted: guessing."
    counts = {name: int(summary[name].sum()) for name in ("missing", "failed", "chance", "diverged")}
    odd = ", ".join(f"{n} {'at ' if name == 'chance' else ''}{name}" for name, n in counts.items() if n)
    return text + (
        f"\nOf {int(summary[['repeats', 'missing', 'failed']].sum().sum())} runs: {odd} (x: at chance or diverged)."
        if odd
        else ""
    )


def _varying(summary: pd.DataFrame) -> list[str]:
    """Fields other than p, activation and model type of which the cells hold more than one value."""
    fields = (name for name in CELL_FIELDS if name not in ("p", "activation", "model_type"))
    return [name for name in fields if summary[name].nunique(dropna=False) > 1]
