"""Every number of report.html is one of the CSVs, by machine: its table, its runs, and the sentences about what was found."""

import html
import json
import re
from collections.abc import Iterable

import numpy as np
import pandas as pd
import pytest

from analysis.comparisons import compare_cells
from analysis.figures.names import named
from analysis.methods import methods_text
from analysis.page.findings import CLIFF, FLAT, KNEE
from analysis.page.render import Content, page
from analysis.planned import MISSING
from noisy.spec import RunSpec
from tests.specs import spec
from tests.tables import Outcome, good, tables

PS = (0.0, 0.5, 0.8, 0.95, 1.0)
NUMBER = re.compile(r"(?<![\w.])[+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")
ORIGIN = {"cpu": "A", "device": "cpu", "cpu_threads": 1, "runs_together": 1, "code_commit": "abc", "data_digest": "d1"}
OTHERS = {
    "versions": "torch 2",
    "product_route": "avx2",
    "job": "",
    "host": "node",
    "message": None,
    "attempt": 0,
    "shard": "s",
}


def outcome(run: RunSpec) -> Outcome:
    """A cliff at 0.8, runs at chance at 0.95 and 1; one diverged, one failed, one missing."""
    if run.p == 1 or (run.p == 0.95 and run.repeat < 2):
        return "chance", 1135
    odd = {("relu", 0.5, 0): "diverged", ("tanh", 0.5, 1): "failed", ("tanh", 0.0, 3): MISSING}
    n_correct = good(run)[1] - {0.5: 30, 0.8: 900, 0.95: 4_000}.get(run.p, 0) - (700 if run.activation == "tanh" else 0)
    return odd.get((run.activation, run.p, run.repeat), "ok"), n_correct


@pytest.fixture(scope="module")
def campaign() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, str]:
    """per_run, summary, comparisons and the page of 90 runs."""
    runs = [
        spec(dataset="mnist", activation=name, p=p, repeat=i)
        for i in range(6)
        for name in ("relu", "tanh", "leaky_relu")
        for p in PS
    ]
    per_run, summary = tables(runs, outcome, explained=1e-5)
    per_run = per_run.assign(**ORIGIN, **OTHERS, finished_at_s=1e9 + 30.0 * per_run.index)
    per_run = per_run[per_run["status"] != MISSING].reset_index(drop=True)
    comparisons = compare_cells(per_run, summary)
    methods = methods_text(summary, per_run, comparisons)
    made = page(Content("a campaign", summary, per_run, comparisons, [], [], [], methods, "", "paper"))
    return per_run, summary, comparisons, made.decode()


def numbers(text: str) -> list[float]:
    return [float(found.replace(",", "")) for found in NUMBER.findall(text)]


def sentences(made: str, heading: str) -> str:
    """The text under one heading of what was found."""
    (found,) = re.findall(rf"<dt>{re.escape(html.escape(heading))}</dt><dd>(.*?)</dd>", made, re.DOTALL)
    return html.unescape(found)


def rounded(values: Iterable[float], digits: int) -> set[float]:
    return {round(float(value), digits) for value in values if np.isfinite(value)}


def test_the_table_is_the_summary(campaign: tuple) -> None:
    _, summary, _, made = campaign
    columns = re.findall(r'<th scope="col">(.*?)</th>', made)
    body = re.search(r'<table id="cells".*?<tbody>(.*?)</tbody>', made, re.DOTALL)
    assert body
    rows = [re.findall(r"<td(?: data-v=\"(.*?)\")?>(.*?)</td>", row) for row in re.findall(r"<tr.*?</tr>", body[1], re.DOTALL)]
    assert len(rows) == len(summary)
    for row, cell in zip(rows, summary.to_dict("records"), strict=True):
        shown = dict(zip(columns, (text for _, text in row), strict=True))
        keys = dict(zip(columns, (key for key, _ in row), strict=True))
        assert (shown["model"], shown["activation"]) == (named(cell["model_type"]), named(cell["activation"]))
        for name, column, digits in EXACT:
            value = cell[column]
            assert numbers(shown[name]) == ([] if np.isnan(value) else [round(value, digits)])
            assert keys[name] == ("" if np.isnan(value) else str(float(value)))
        interval = [cell["ci95_low_clipped"], cell["ci95_high_clipped"]]
        assert numbers(shown["95 % interval"]) == [round(end, 4) for end in interval]
        n_odd = [cell["chance"], cell["repeats"], *(round(100 * cell[f"share_chance_{end}"]) for end in ("low", "high"))]
        assert numbers(shown["at chance"]) == n_odd + [cell["diverged"]] * bool(cell["diverged"])


EXACT = (
    ("p", "p", 6),
    ("n", "repeats", 0),
    ("mean", "mean_test_accuracy", 4),
    ("mean if trained", "mean_trained_accuracy", 4),
    ("spread s", "sample_std_test_accuracy", 4),
    ("median", "median_test_accuracy", 4),
    ("CPU s a run", "mean_cpu_s", 1),
    ("missing", "missing", 0),
    ("failed", "failed", 0),
)


def test_the_runs_behind_the_table_are_the_per_run_csv(campaign: tuple) -> None:
    per_run, summary, _, made = campaign
    script = re.search(r'<script type="application/json" id="runs">(.*?)</script>', made, re.DOTALL)
    assert script
    data = json.loads(script[1])
    found = []
    for place, one in data["cells"].items():
        columns = [one[name].split() for name in ("r", "a", "c", "i")]
        statuses = one["s"].split() if "s" in one else ["0"] * len(columns[0])
        for repeat, n_correct, cpu_s, run_id, status in zip(*columns, statuses, strict=True):
            status = data["statuses"][int(status)]
            found.append((int(place), int(repeat), int(n_correct), one["n"], status, int(cpu_s), run_id))
    fields = ["activation", "p"]
    cell_of = {(row["activation"], row["p"]): place for place, row in enumerate(summary[fields].to_dict("records"))}
    assert sorted(found) == sorted(
        (
            cell_of[row["activation"], row["p"]],
            row["repeat"],
            row["n_correct"],
            10_000,
            row["status"],
            round(row["cpu_s"]),
            row["run_id"],
        )
        for row in per_run.to_dict("records")
    )


def test_every_number_about_the_shape_of_a_curve_is_in_the_summary(campaign: tuple) -> None:
    """And each sentence about a cell has the numbers of that cell."""
    _, summary, _, made = campaign
    for activation, cells in summary.groupby("activation", sort=False, observed=True):
        cells = cells.sort_values("p")
        mean = cells["mean_test_accuracy"].to_numpy()
        known = {
            100 * FLAT,
            100 * KNEE,
            *cells["p"],
            *cells["repeats"],
            *cells["chance"],
            *cells["diverged"],
            *cells["n_trained"],
        }
        known |= {float(cells["repeats"].sum())}
        for name in ("mean_test_accuracy", "mean_trained_accuracy", "ci95_low_clipped", "ci95_high_clipped"):
            known |= rounded(cells[name], 4)
        known |= rounded(cells["ci95_low_trained"], 4) | rounded(cells["ci95_high_trained"], 4)
        for end in ("", "_low", "_high"):
            known |= rounded(100 * cells[f"share_chance{end}"], 0)
        below = cells["p"].to_numpy()[mean[0] - mean > KNEE]
        knee = re.search(r"points below from p = ([\d.]+) on", text := sentences(made, f"{named('mlp')}, {named(activation)}"))
        assert knee and float(knee[1]) == below[0]
        steepest = int(np.argmax(-np.diff(mean)))
        known |= rounded([100 * (mean[steepest] - mean[steepest + 1])], 1)
        assert {round(abs(number), 6) for number in numbers(text)} - {round(float(number), 6) for number in known} == set(), (
            text
        )
        falls = re.search(r"falls most, by ([\d.]+) points, from p = ([\d.]+) to ([\d.]+)", text)
        ends = cells["p"].to_numpy()[steepest : steepest + 2]
        assert bool(falls) == (mean[steepest] - mean[steepest + 1] > CLIFF)
        if falls:
            assert [float(falls[2]), float(falls[3])] == ends.tolist()


def test_every_number_about_differences_is_in_the_comparisons(campaign: tuple) -> None:
    _, _, comparisons, made = campaign
    for value, rows in comparisons.groupby("value", sort=False):
        text = sentences(made, f"{named(value)} against {named(rows['reference_value'].iloc[0])}")
        known = {*rows["p"], *rows["n_pairs"], *rows["n_chance_value"], *rows["n_chance_reference"], *rows["n_pairs_trained"]}
        for name in ("mean_difference", "ci95_low", "ci95_high", "mean_difference_trained"):
            known |= {abs(number) for number in rounded(100 * rows[name], 2)}
        known |= {float(f"{p:.2g}") for p in rows["p_holm"].dropna()} | {100.0}
        for where, low, high in re.findall(r"er at p = ([\d., ]+), by ([\d.]+)(?: to ([\d.]+))? points", text):
            points = 100 * rows.loc[rows["p"].isin(numbers(where)), "mean_difference"].abs()
            assert [float(low), float(high or low)] == [round(points.min(), 2), round(points.max(), 2)]
        notes = numbers(" ".join(rows["note"].dropna()))
        unknown = {round(abs(number), 6) for number in numbers(text)} - {round(float(number), 6) for number in [*known, *notes]}
        assert unknown == set(), text


def test_the_head_counts_all_runs(campaign: tuple) -> None:
    _, summary, _, made = campaign
    head = re.search(r'<p class="state partial">(.*?)</p>', made, re.DOTALL)
    assert head
    counts = [summary[name].sum() for name in ("repeats", "missing", "failed", "chance", "diverged")]
    n_planned = summary[["repeats", "missing", "failed"]].sum().sum()
    assert numbers(re.sub("<.*?>", " ", head[1])) == [counts[0], n_planned, *counts[1:]]
