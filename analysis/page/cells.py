"""The table of the page: a row for each cell, and the runs of each cell as compact JSON."""

import itertools
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from markupsafe import Markup

from analysis.figures.names import named, text_of, varying
from analysis.live import with_bounds

MOST_CELLS = 2_500  # rows of the table; if there are more, the page says so
MOST_RUNS, MOST_IDS = 150_000, 10_000  # runs of which the page has the accuracies, and the run_ids


class Value(NamedTuple):
    """A cell of the table: the text that is shown, and the value for sorting."""

    text: str
    key: float | str


class Row(NamedTuple):
    """values: in the order of the headings; is_odd: whether runs are missing, failed or did not train; name: the cell's."""

    values: list[Value]
    is_odd: bool
    name: str


def headings(summary: pd.DataFrame) -> list[str]:
    """The headings of the columns."""
    names = ["model", "activation", "p", *(name.replace("_", " ") for name in varying(summary))]
    names += [
        "n",
        "mean",
        "95 % interval",
        "at chance",
        "mean if trained",
        "spread s",
        "median",
        "CPU s a run",
        "missing",
        "failed",
    ]
    return [*names, "mean when complete"] if _is_partial(summary) else names


def rows(summary: pd.DataFrame) -> Iterator[Row]:
    """The rows of the table, at most MOST_CELLS, in the order of the summary."""
    fields, is_partial = varying(summary), _is_partial(summary)
    for cell in with_bounds(summary).head(MOST_CELLS).to_dict("records"):
        settings = [text_of(cell[name]) for name in fields]
        name = ", ".join([named(cell["model_type"]), named(cell["activation"]), f"p = {cell['p']:g}", *settings])
        n_odd = cell["chance"] + cell["diverged"]
        values = [
            Value(named(cell["model_type"]), cell["model_type"]),
            Value(named(cell["activation"]), cell["activation"]),
            _number(cell["p"], "g"),
            *(Value(text, text) for text in settings),
            _number(cell["repeats"], "d"),
            _number(cell["mean_test_accuracy"], ".4f"),
            _interval(cell["ci95_low_clipped"], cell["ci95_high_clipped"]),
            Value(_chance(cell), float(n_odd) if cell["repeats"] else ""),
            _number(cell["mean_trained_accuracy"], ".4f"),
            _number(cell["sample_std_test_accuracy"], ".4f"),
            _number(cell["median_test_accuracy"], ".4f"),
            _number(cell["mean_cpu_s"], ".1f"),
            _number(cell["missing"], "d"),
            _number(cell["failed"], "d"),
        ]
        if is_partial:
            values.append(_interval(cell["if_rest_at_chance"], cell["if_rest_at_best"]))
        yield Row(values, bool(n_odd or cell["missing"] or cell["failed"]), name)


def runs_json(runs: pd.DataFrame, n_cells: int) -> Markup:
    """The runs of each cell, for the script of the page: JSON that is safe inside an element of HTML.

    Args:
        runs: all runs with a record; the column `cell` has the index of the run's cell.
        n_cells: the number of cells in the table.
    """
    runs = runs[runs["cell"] < n_cells].sort_values(["cell", "repeat"], kind="stable")
    if len(runs) > MOST_RUNS:
        return _safe({"cells": {}})
    statuses, status = np.unique(runs["status"].astype(str), return_inverse=True)
    order = np.argsort(statuses != "ok", kind="stable")  # ok comes first
    statuses, status = statuses[order], np.argsort(order)[status]
    hosts, host = np.unique(runs["host"].astype(str), return_inverse=True)
    columns = {
        "r": runs["repeat"].to_numpy(),
        "a": runs["n_correct"].to_numpy(),
        "s": status,
        "c": np.nan_to_num(runs["cpu_s"].to_numpy(), nan=-1).round().astype(int),
        "h": host if len(hosts) > 1 else np.empty(0, int),
        "i": runs["run_id"].to_numpy() if len(runs) <= MOST_IDS else np.empty(0, str),
    }
    messages = runs["message"].astype(object).to_numpy()
    n_test = runs["n_test"].to_numpy()
    cells = {}
    bounds = np.flatnonzero(np.diff(runs["cell"].to_numpy(), prepend=-1, append=-1))
    for start, end in itertools.pairwise(bounds.tolist()):
        one: dict[str, Any] = {name: " ".join(map(str, values[start:end])) for name, values in columns.items() if len(values)}
        if not columns["s"][start:end].any():
            del one["s"]
        one["n"] = int(n_test[start:end].max())
        said = {i: str(text) for i, text in enumerate(messages[start:end]) if isinstance(text, str)}
        cells[int(runs["cell"].iloc[start])] = one | ({"m": said} if said else {})
    return _safe({"statuses": statuses.tolist(), "hosts": hosts.tolist(), "cells": cells})


def _safe(value: object) -> Markup:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True)
    return Markup(text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e"))


def _is_partial(summary: pd.DataFrame) -> bool:
    return bool((summary["missing"] + summary["failed"]).any())


def _number(value: float, how: str) -> Value:
    return Value("", "") if value != value else Value(f"{value:{how}}", float(value))


def _interval(low: float, high: float) -> Value:
    return Value("", "") if low != low or high != high else Value(f"{low:.4f} to {high:.4f}", float(low))


def _chance(cell: dict) -> str:
    n, chance, diverged = cell["repeats"], cell["chance"], cell["diverged"]
    if not n:
        return ""
    words = f"{chance} of {n} ({100 * cell['share_chance_low']:.0f} to {100 * cell['share_chance_high']:.0f} %)"
    return words + (f", {diverged} diverged" if diverged else "")
