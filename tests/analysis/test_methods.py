"""methods.md and the LaTeX table: every number in them is one of the CSVs."""

import re
from pathlib import Path

import pandas as pd
import pytest

from analysis.comparisons import compare_cells
from analysis.latex import escaped, latex_table
from analysis.methods import methods_text, most_at_once
from analysis.planned import MISSING
from noisy.spec import RunSpec
from tests.specs import spec
from tests.tables import Outcome, good, tables

ORIGIN = {"cpu": "A Processor", "device": "cpu", "cpu_threads": 1, "code_commit": "abc", "data_digest": "d1"}
PS = (0.0, 0.5, 0.95, 1.0)


def outcome(run: RunSpec) -> Outcome:
    """Some runs at chance at 0.95, all at 1; one diverged, one failed, one missing."""
    if run.p == 1 or (run.p == 0.95 and run.repeat < 2):
        return "chance", 1135
    odd = {("relu", 0.5, 0): "diverged", ("tanh", 0.5, 1): "failed", ("tanh", 0.0, 3): MISSING}
    return odd.get((run.activation, run.p, run.repeat), "ok"), good(run)[1]


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """per_run, summary and comparisons, and the CSVs of each read back equal memory."""
    runs = [
        spec(dataset="mnist", activation=name, p=p, repeat=i)
        for i in range(5)
        for name in ("relu", "tanh", "leaky_relu")
        for p in PS
    ]
    per_run, summary = tables(runs, outcome, explained=1e-5)
    per_run = per_run.assign(**ORIGIN, host=[f"node{run.repeat % 2}" for run in runs], finished_at_s=1e9 + 30.0 * per_run.index)
    per_run = per_run[per_run["status"] != MISSING]
    made = per_run, summary, compare_cells(per_run, summary)
    folder = tmp_path_factory.mktemp("csv")
    return tuple(read_back(table, folder / f"{i}.csv") for i, table in enumerate(made))  # type: ignore[return-value]


def read_back(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The table from its CSV; numbers are equal in every bit."""
    table.to_csv(path, index=False)
    found = pd.read_csv(path, dtype=str)
    for name in table.select_dtypes("number"):
        found[name] = found[name].map(float)  # pandas of some versions rounds
        pd.testing.assert_series_equal(found[name], table[name].astype(float).reset_index(drop=True), rtol=0, atol=0)
        if pd.api.types.is_integer_dtype(table[name].dtype):
            found[name] = found[name].astype("Int64").astype(table[name].dtype)
    for name in table.select_dtypes("bool"):
        found[name] = found[name] == "True"
    return found


def test_every_number_of_the_latex_table_is_in_the_summary(campaign: tuple) -> None:
    summary = campaign[1]
    text = latex_table(summary)
    head = re.search(r"\$p\$ & (.*) \\\\\n", text)
    assert head and head[1] == "leaky ReLU & ReLU & tanh"
    body = text.split("\\midrule\n")[1].split("\\bottomrule")[0]
    rows = [row.split(" & ") for row in re.sub(r" \\\\\n", "\n", body).strip().split("\n")]
    assert [float(row[0]) for row in rows] == list(PS)
    for row in rows:
        for activation, shown in zip(("leaky_relu", "relu", "tanh"), row[1:], strict=True):
            (cell,) = summary[(summary["activation"] == activation) & (summary["p"] == float(row[0]))].to_dict("records")
            assert [float(number) for number in re.findall(r"\d+\.?\d*", shown)] == shown_of(cell), shown


def shown_of(cell: dict) -> list[float]:
    """The numbers that a cell of the table must show, in order."""
    n, n_trained = cell["repeats"], cell["n_trained"]
    if n == n_trained:
        return [round(cell[name], 4) for name in ("mean_test_accuracy", "ci95_low_clipped", "ci95_high_clipped")] + [n]
    lost = [number for name in ("chance", "diverged") if cell[name] for number in (cell[name], n)]
    if not n_trained:
        return [*lost, round(cell["mean_test_accuracy"], 4)]
    return [*lost, *(round(cell[f"{name}_trained{rest}"], 4) for name, rest in TRAINED), n_trained]


TRAINED = (("mean", "_accuracy"), ("ci95_low", ""), ("ci95_high", ""))


def test_every_number_of_the_methods_is_one_of_the_csvs(campaign: tuple) -> None:
    """All numbers of the text are found again from the CSVs, or are a level, a range or a year that is always there."""
    per_run, summary, comparisons = campaign
    text = methods_text(summary, per_run, comparisons).split("## Table")[0]
    cpu_s = per_run["cpu_s"]
    ranked = comparisons[comparisons["test"] == "signed-rank"]
    genuine = summary["seed_std_genuine"]
    collapsed = summary["chance"] + summary["diverged"] > 0
    powerless = ranked[2.0 ** (1 - ranked["n_pairs"]) * len(comparisons) > 0.05]
    known = {
        "always": [95, 0, 1, 2024, 2, 0.05, 60_000, 10_000],
        "settings": [*PS, 1234, *summary.loc[0, ["epochs", "batch_size", "learning_rate", "weight_decay"]], 32, 32],
        "counts": [len(summary), 60, *summary[["repeats", "missing", "failed", "chance", "diverged"]].sum(), collapsed.sum()],
        "repeats": [summary["repeats"].min(), summary["repeats"].max(), (summary["repeats"] >= 2).sum()],
        "test set": [round((summary["test_set_high"] - summary["test_set_low"]).max(), 4)],
        "spread": [round(genuine.max(), 4), genuine.notna().sum(), summary["is_seed_std_truncated"].sum()],
        "comparisons": [len(comparisons), comparisons["p_raw"].notna().sum(), (comparisons["p_holm"] < 0.05).sum()],
        "ranks": [len(ranked), len(powerless), (2.0 ** (1 - powerless["n_pairs"])).min()],
        "compute": [
            *(float(f"{value:.4g}") for value in (cpu_s.sum() / 3600, cpu_s.mean() / 60, cpu_s.max() / 60)),
            *(len(per_run), per_run["host"].nunique(), most_at_once(per_run), per_run["peak_mem_mb"].max(), 1),
        ],
    }
    wanted = {round(float(number), 12) for numbers in known.values() for number in numbers}
    found = {round(float(number.replace(",", "")), 12) for number in re.findall(r"\d[\d,]*(?:\.\d+)?(?:e-?\d+)?", text)}
    assert found - wanted == set()
    assert wanted - found == set()


def test_sentences_say_what_a_reviewer_asks(campaign: tuple) -> None:
    text = methods_text(campaign[1], campaign[0], campaign[2])
    for words in (
        "Every mean is over all finished runs of its cell.",
        "The test set is clean, fixed and the same for all runs.",
        "after the last epoch",
        "hold together at 95 % (Bonferroni)",
        "p-values are corrected by Holm's method",
        "which is conditional on training",
        "the smallest that is possible before correction is 0.0625",
    ):
        assert words in text


def test_without_finished_runs_there_is_nothing_to_say() -> None:
    per_run, summary = tables([spec()], lambda run: (MISSING, 0))
    text = methods_text(summary, per_run.assign(**ORIGIN, host="n")[:0], compare_cells(per_run, summary))
    assert "No run is finished" in text
    assert "--" in latex_table(summary)


def test_names_are_escaped() -> None:
    assert escaped(r"a_b & 50 % \x{}") == r"a\_b \& 50 \% \textbackslash{}x\{\}"


def test_runs_at_the_same_time() -> None:
    """Two overlap; a third begins when the first ends."""
    times = pd.DataFrame({"finished_at_s": [10.0, 12.0, 20.0], "wall_s": [10.0, 4.0, 10.0]})
    assert most_at_once(times) == 2
    assert most_at_once(times[:1]) == 1
