"""Two campaigns, compared: each number against scipy; the command, its files and its exit statuses."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.agreement import NotComparable, agreement
from analysis.campaigns import read_runs
from analysis.columns import AGREEMENT
from analysis.figures.agreement import agreement_figure
from analysis.figures.style import styled
from jobs.campaign import Campaign
from noisy.spec import RunSpec
from tests import commands
from tests.specs import spec
from tests.tables import N_TEST, Outcome, good, tables

PS = (0.0, 0.5, 0.9)


def campaign(outcome: Callable[[RunSpec], Outcome] = good, repeats: int = 6, shift: int = 0, **changes: object) -> pd.DataFrame:
    """The runs of two activations and three p. The numbers of right images do not depend on the changes of the specs."""
    runs = [spec(activation=name, p=p, repeat=i) for i in range(repeats) for name in ("relu", "tanh") for p in PS]
    same = {replace(run, **changes): run for run in runs}  # type: ignore[arg-type]

    def shifted(run: RunSpec) -> Outcome:
        status, n_correct = outcome(same[run])
        return status, n_correct + shift

    return tables(same, shifted)[0]


def noisy_copy(run: RunSpec) -> Outcome:
    """`good`, a few images away."""
    return "ok", good(run)[1] + int(run.run_id[4:6], 16) % 9 - 4


def values(runs: pd.DataFrame, activation: str, p: float) -> np.ndarray:
    """Accuracies of a cell, by repeat."""
    is_in = (runs["activation"] == activation) & (runs["p"] == p)
    return runs[is_in].sort_values("repeat")["test_accuracy"].to_numpy()


def test_a_campaign_agrees_with_itself_and_with_its_copy_of_other_precision() -> None:
    one = campaign()
    found = agreement(one, one)
    assert not found.differs
    assert list(found.table.columns) == list(AGREEMENT)
    assert set(found.table["p_holm"]) == {1}
    other = agreement(one, campaign(noisy_copy, precision="bfloat16"))
    assert not other.differs
    assert other.differing == {"precision": ("float32", "bfloat16")}
    assert "precision" not in other.table
    assert set(other.table["n_pairs"]) == {6}


def test_pairs_are_those_of_scipy() -> None:
    from scipy import stats
    from statsmodels.stats.multitest import multipletests

    one, other = campaign(), campaign(noisy_copy, shift=3)
    table = agreement(one, other).table
    for row in table.to_dict("records"):
        before, after = (values(runs, row["activation"], row["p"]) for runs in (one, other))
        test = stats.ttest_rel(after, before)
        interval = test.confidence_interval(1 - 0.05 / 6)
        assert (row["test"], row["n_pairs"], row["n_a"], row["n_b"]) == ("paired t", 6, 6, 6)
        assert row["p_raw"] == pytest.approx(test.pvalue, abs=1e-12)
        assert (row["ci95_low"], row["ci95_high"]) == pytest.approx((interval.low, interval.high), abs=1e-12)
        assert (row["mean_a"], row["mean_b"]) == pytest.approx((before.mean(), after.mean()), abs=1e-12)
    assert list(table["p_holm"]) == pytest.approx(list(multipletests(table["p_raw"], method="holm")[1]), abs=1e-12)


@pytest.mark.parametrize("how", ["other seed", "told so", "other repeats"])
def test_without_common_random_numbers_all_runs_are_compared(how: str) -> None:
    from scipy import stats

    one, other = campaign(), campaign(noisy_copy, repeats=5, **({"seed": 7} if how == "other seed" else {}))
    if how == "other repeats":
        other["repeat"] += 6
    table = agreement(one, other, in_pairs=how != "told so").table
    for row in table.to_dict("records"):
        before, after = (values(runs, row["activation"], row["p"]) for runs in (one, other))
        test = stats.ttest_ind(after, before, equal_var=False)
        interval = test.confidence_interval(1 - 0.05 / 6)
        assert (row["test"], row["n_pairs"], row["n_a"], row["n_b"]) == ("Welch t", 0, 6, 5)
        assert row["mean_difference"] == pytest.approx(after.mean() - before.mean(), abs=1e-12)
        assert row["p_raw"] == pytest.approx(test.pvalue, abs=1e-12)
        assert (row["ci95_low"], row["ci95_high"]) == pytest.approx((interval.low, interval.high), abs=1e-12)


@pytest.mark.parametrize("in_pairs", [True, False])
def test_cells_with_runs_at_chance_are_compared_by_ranks(in_pairs: bool) -> None:
    from scipy import stats

    def collapsing(run: RunSpec) -> Outcome:
        return ("chance", 1135) if run.p == 0.9 and run.repeat < 4 else noisy_copy(run)

    one, other = campaign(), campaign(collapsing)
    table = agreement(one, other, in_pairs).table
    (row,) = table[(table["activation"] == "relu") & (table["p"] == 0.9)].to_dict("records")
    before, after = (values(runs, "relu", 0.9) for runs in (one, other))
    oracle = stats.wilcoxon(after - before, method="exact") if in_pairs else stats.mannwhitneyu(before, after)
    assert row["test"] == ("signed-rank" if in_pairs else "Mann-Whitney")
    assert row["p_raw"] == pytest.approx(oracle.pvalue, abs=1e-12)
    assert (row["n_chance_a"], row["n_chance_b"]) == (0, 4)
    assert row["mean_trained_b"] == pytest.approx(after[4:].mean(), abs=1e-12)


def test_the_figure_never_shows_a_collapsed_cell_by_its_mean_alone() -> None:
    table = agreement(
        campaign(), campaign(lambda run: ("chance", 1135) if run.p == 0.9 and run.repeat < 2 else good(run))
    ).table
    with styled("paper"):
        figure = agreement_figure(table, "one", "other")
    (ax,) = figure.axes
    assert [text.get_text() for text in ax.texts] == ["at chance: 0 of 6, 2 of 6"] * 2
    dashes = [line.get_ydata().item() for line in ax.lines if line.get_marker() == "_" and len(line.get_ydata()) == 1]
    collapsed = table[table["n_chance_b"] > 0]
    assert dashes == pytest.approx([*100 * (collapsed["mean_trained_b"] - collapsed["mean_trained_a"])], abs=1e-12)


def test_a_real_difference_is_found_and_named() -> None:
    one = campaign()
    other = campaign(lambda run: ("ok", noisy_copy(run)[1] - 300 * (run.p == 0.9)))
    found = agreement(one, other)
    assert found.differs
    assert set(found.table.loc[found.table["differs"], "p"]) == {0.9}
    assert found.not_excluded > 0.03


def test_cells_of_one_side_only_are_counted() -> None:
    one = campaign()
    other = one[(one["p"] != 0.5)]
    found = agreement(one, other)
    assert (len(found.table), found.only_a, found.only_b) == (4, 2, 0)


def test_what_cannot_be_compared_is_said() -> None:
    one = campaign()
    with pytest.raises(NotComparable, match=r"no cell of A is in B; p: 0.0, 0.5 in A and 0.9 in B"):
        agreement(one[one["p"] < 0.6], one[one["p"] > 0.6])
    with pytest.raises(NotComparable, match="no cell has two finished runs"):
        agreement(one[one["repeat"] == 0], one)


def test_unequal_cells_without_spread_differ() -> None:
    """Every run of A is right on 9,000 images and every run of B on 9,010: no t test is possible."""
    one, other = campaign(lambda _: ("ok", 9_000)), campaign(lambda _: ("ok", 9_010))
    for in_pairs, test in ((True, "signed-rank"), (False, "Mann-Whitney")):
        table = agreement(one, other, in_pairs).table
        assert set(table["test"]) == {test}
        assert (table["p_raw"] < 0.05).all()
        assert list(table["mean_difference"]) == pytest.approx([10 / N_TEST] * 6, abs=1e-12)


@pytest.mark.slow
def test_the_command(tmp_path: Path, finished: Campaign) -> None:
    one, other = tmp_path / "one.csv", tmp_path / "other.csv"
    campaign().to_csv(one, index=False)
    campaign(lambda run: ("ok", noisy_copy(run)[1] - 300 * (run.p == 0.9))).to_csv(other, index=False)
    differ = commands.call("analysis.compare", one, other, "--to", tmp_path / "out")
    assert (differ.returncode, differ.stderr) == (1, "")
    assert "differ     2 of 6 by more than chance explains" in differ.stdout
    assert "mlp relu p = 0.9: 0." in differ.stdout
    files = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert set(files) == {"compare.csv", "compare.pdf", "compare.png"}
    written = pd.read_csv(tmp_path / "out" / "compare.csv")
    assert list(written.columns) == list(AGREEMENT)
    assert list(written["differs"]) == list(agreement(read_runs(one), read_runs(other)).table["differs"])
    commands.call("analysis.compare", one, other, "--to", tmp_path / "out")
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    before = sorted(finished.folder.rglob("*"))
    commands.call("analysis.report", "--no-figures", "--output-dir", finished.folder, "--to", tmp_path)
    same = commands.call("analysis.compare", finished.folder, tmp_path / "results_per_run.csv", "--to", tmp_path)
    assert (same.returncode, same.stderr) == (0, "")
    assert "differ     0 of " in same.stdout and "they differ in" not in same.stdout
    assert sorted(finished.folder.rglob("*")) == before


@pytest.mark.slow
def test_bad_input_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    campaign().to_csv(tmp_path / "one.csv", index=False)
    campaign(dataset="mnist", repeats=1).to_csv(tmp_path / "single.csv", index=False)
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)))
    out = tmp_path / "out"
    for a, b, said in (
        ("nowhere", "other.csv", ["A: ", "nowhere", "B: ", "no column dataset, "]),
        ("empty", "binary.csv", ["A: ", "manifest", "B: ", "cannot be read"]),
        ("one.csv", "single.csv", ["no cell has two finished runs in A and two in B"]),
    ):
        done = commands.call("analysis.compare", tmp_path / a, tmp_path / b, "--to", out)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("error: ")
        assert not [text for text in said if text not in done.stderr], done.stderr
        assert "Traceback" not in done.stderr
        assert not out.exists()
