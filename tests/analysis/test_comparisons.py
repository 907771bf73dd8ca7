"""compare_cells: which cells are compared, and each number against scipy, statsmodels or by hand."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.bits import open_bits
from analysis.columns import COMPARISONS
from analysis.comparisons import UnknownReference, _rank_notes, compare_cells
from analysis.merge import merge
from analysis.pairs import Finished, cells_of_runs
from analysis.planned import MISSING
from analysis.tables import tables_of
from jobs.campaign import Campaign
from jobs.manifest import write_manifest
from noisy.runs import Runs
from noisy.spec import RunSpec
from tests.records import record, write_shard
from tests.specs import spec
from tests.tables import N_TEST, Outcome, good, tables

PS = (0.0, 0.5)


def grid(activations: Sequence[str] = ("relu", "tanh"), repeats: int = 5, **axes: Sequence[Any]) -> list[RunSpec]:
    """All runs, by repeat; further axes are lists of values."""
    runs = [spec(activation=name, p=p, repeat=i) for i in range(repeats) for name in activations for p in PS]
    for field, values in axes.items():
        runs = [RunSpec(**{**vars(run), field: value}) for run in runs for value in values]
    return runs


def compared(runs: list[RunSpec], outcome: Callable[[RunSpec], Outcome] = good, reference: str | None = None) -> pd.DataFrame:
    return compare_cells(*tables(runs, outcome), reference)


def differences(runs: list[RunSpec], first: str, second: str, p: float) -> np.ndarray:
    """Accuracy of the second activation minus that of the first, by repeat."""
    found = {(run.activation, run.repeat): good(run)[1] / N_TEST for run in runs if run.p == p}
    repeats = sorted({run.repeat for run in runs})
    return np.array([found[second, repeat] - found[first, repeat] for repeat in repeats])


def test_each_number_of_a_paired_comparison() -> None:
    from scipy import stats
    from statsmodels.stats.multitest import multipletests

    runs = grid(("tanh", "relu", "gelu"), repeats=7)
    table = compared(runs)
    assert list(table.columns) == list(COMPARISONS)
    assert list(zip(table["reference_value"], table["value"], table["p"], strict=True)) == [
        ("relu", activation, p) for activation in ("tanh", "gelu") for p in PS
    ]
    assert set(table["family_size"]) == {4}
    for row in table.to_dict("records"):
        values = differences(runs, "relu", row["value"], row["p"])
        test = stats.ttest_1samp(values, 0)
        interval = test.confidence_interval(1 - 0.05 / 4)
        assert row["mean_difference"] == pytest.approx(values.mean(), abs=1e-12)
        assert (row["ci95_low"], row["ci95_high"]) == pytest.approx((interval.low, interval.high), abs=1e-12)
        assert row["p_raw"] == pytest.approx(test.pvalue, abs=1e-12)
        share = stats.binomtest(int((values > 0).sum()), 7).proportion_ci(1 - 0.05 / 4)
        assert row["probability_of_improvement"] == pytest.approx((values > 0).mean(), abs=1e-12)
        ends = (row["probability_of_improvement_low"], row["probability_of_improvement_high"])
        assert ends == pytest.approx((share.low, share.high), abs=1e-12)
        assert (row["n_pairs"], row["n_pairs_trained"], row["test"], row["note"]) == (7, 7, "t", "")
        assert row["mean_difference_trained"] == pytest.approx(values.mean(), abs=1e-12)
    assert list(table["p_holm"]) == pytest.approx(list(multipletests(table["p_raw"], method="holm")[1]), abs=1e-12)


def test_the_reference_is_the_declared_one_or_relu_or_the_first() -> None:
    assert set(compared(grid(("tanh", "relu")))["reference_value"]) == {"relu"}
    assert set(compared(grid(("tanh", "gelu")))["reference_value"]) == {"tanh"}
    assert set(compared(grid(("tanh", "relu")), reference="tanh")["reference_value"]) == {"tanh"}
    with pytest.raises(UnknownReference, match=r"--reference: 'selu': .*; allowed: tanh, relu"):
        compared(grid(("tanh", "relu")), reference="selu")


def test_one_cell_and_one_axis_of_p_have_nothing_to_compare() -> None:
    for runs in (grid(("relu",)), grid(("relu",))[:1]):
        table = compared(runs)
        assert (len(table), list(table.columns)) == (0, list(COMPARISONS))


def test_only_repeats_that_are_finished_in_both_cells_are_pairs() -> None:
    runs = grid()

    def outcome(run: RunSpec) -> Outcome:
        gone = {("relu", 1): MISSING, ("tanh", 2): "failed"}
        return gone.get((run.activation, run.repeat), "ok"), good(run)[1]

    table = compared(runs, outcome)
    assert list(table["n_pairs"]) == [3, 3]
    kept = differences(runs, "relu", "tanh", 0.5)[[0, 3, 4]]
    assert table["mean_difference"][1] == pytest.approx(kept.mean(), abs=1e-12)


@pytest.mark.parametrize(("n", "family_size", "said"), [(5, 22, False), (9, 22, True), (9, 12, False), (12, 22, False)])
def test_the_note_of_a_rank_test_holds_for_holms_correction(n: int, family_size: int, said: bool) -> None:
    """n = 9: at least 0.0039. Of 22 such values none is below 0.05 after correction; one among smaller others is."""
    from statsmodels.stats.multitest import multipletests

    smallest = 2.0 ** (1 - n)
    alone = multipletests([smallest] * family_size, method="holm")[1][0]
    last = multipletests([1e-9] * (family_size - 1) + [smallest], method="holm")[1][-1]
    assert said == (last <= 0.05 < alone)
    assert any("only if other comparisons" in note for note in _rank_notes(n, n, family_size)) == said


def test_a_run_at_chance_brings_a_rank_test_and_the_note_of_what_it_can_say() -> None:
    from scipy.stats import wilcoxon

    def outcome(run: RunSpec) -> Outcome:
        collapsed = run.activation == "tanh" and run.p == 0.5 and run.repeat < 2
        return ("chance", 1135) if collapsed else ("ok", good(run)[1] + 400 * (run.activation == "relu"))

    runs = grid()
    table = compared(runs, outcome)
    assert list(table["test"]) == ["t", "signed-rank"]
    row = table.iloc[1]
    values = np.array([outcome(runs[i])[1] for i in range(len(runs)) if runs[i].p == 0.5]).reshape(5, 2)
    assert row["p_raw"] == pytest.approx(wilcoxon(values[:, 1] - values[:, 0], method="exact").pvalue, abs=1e-12)
    assert "at n = 5 no rank or sign test can fall below 0.0625" in row["note"]
    assert "runs at chance: the t interval may miss the mean" in row["note"]
    assert (row["n_chance_reference"], row["n_chance_value"], row["share_chance_value"]) == (0, 2, 0.4)
    assert row["n_pairs_trained"] == 3
    assert row["mean_difference_trained"] == pytest.approx((values[2:, 1] - values[2:, 0]).mean() / N_TEST, abs=1e-12)


def test_ties_count_as_half_and_equal_pairs_say_nothing() -> None:
    better = compared(grid(), lambda run: ("ok", 9_000 + (run.activation == "tanh") * (run.repeat < 2)))
    assert list(better["probability_of_improvement"]) == pytest.approx([0.7, 0.7], abs=1e-12)
    equal = compared(grid(), lambda run: ("ok", 9_000))
    assert list(equal["p_raw"]) == [1, 1]
    assert list(equal["note"]) == ["all 5 pairs are equal"] * 2
    shifted = compared(grid(), lambda run: ("ok", 9_000 + 10 * (run.activation == "tanh")))
    assert list(shifted["test"]) == ["signed-rank"] * 2  # no spread, so no t test
    assert list(shifted["p_raw"]) == [0.0625] * 2


def test_further_axes_are_compared_in_pairs_of_values_and_many_values_with_the_first() -> None:
    table = compared(grid(repeats=2, learning_rate=[0.01, 0.001, 0.1]))
    rates = table[table["axis"] == "learning_rate"]
    found = list(dict.fromkeys(zip(rates["reference_value"], rates["value"], strict=True)))
    assert found == [(0.01, 0.001), (0.01, 0.1), (0.001, 0.1)]
    assert set(rates["family_size"]) == {12}
    assert rates["learning_rate"].isna().all()
    assert set(rates["activation"]) == {"relu", "tanh"}
    assert len(table[table["axis"] == "activation"]) == 6
    many = compared(grid(("relu",), repeats=2, epochs=[1, 2, 3, 4, 5, 6, 7]))
    assert set(many["reference_value"]) == {1}
    assert len(many) == 12


def test_model_types_may_differ_in_what_they_never_share() -> None:
    mlp = [RunSpec(**{**vars(run), "hidden_sizes": sizes}) for run in grid(("relu",)) for sizes in ((16,), (32, 16))]
    cnn = [RunSpec(**{**vars(run), "model_type": "cnn", "hidden_sizes": None, "epochs": 9}) for run in grid(("relu",))]
    table = compared(mlp + cnn)
    models = table[table["axis"] == "model_type"]
    assert set(zip(models["reference_value"], models["value"], strict=True)) == {("mlp", "cnn")}
    assert list(models["hidden_sizes"]) == ["16", "32-16"] * 2
    assert set(models["n_pairs"]) == {5}
    assert models["epochs"].isna().all()
    epochs = mlp[0].epochs
    assert set(models["note"]) == {f"the cells also differ in epochs {epochs} and 9"}
    assert set(table["axis"]) == {"model_type", "hidden_sizes"}  # epochs differ only together with the model type


def test_single_pairs_are_judged_by_their_test_images(tmp_path: Path) -> None:
    from statsmodels.stats.contingency_tables import mcnemar

    runs = [run for run in grid(repeats=1) if run.p == 0]
    chance = np.random.default_rng(0)
    right = {run: chance.random(355) < (0.9 if run.activation == "relu" else 0.8) for run in runs}
    campaign = Campaign(tmp_path)
    header = write_manifest(campaign.manifest, Runs.of(runs), "abc")
    records = [record(run, int(bits.sum()), correct=np.packbits(bits)) for run, bits in right.items()]
    write_shard(campaign.shards, 0, records[::-1], campaign=header.campaign)
    store = tmp_path / "results.h5"
    merged = merge(campaign, store)
    found = tables_of(merged, store)
    (row,) = found.comparisons.to_dict("records")
    relu, tanh = (right[run] for run in runs)
    only = int((relu & ~tanh).sum()), int((tanh & ~relu).sum())
    assert (row["test"], row["n_only_reference_right"], row["n_only_value_right"]) == ("McNemar", *only)
    assert row["p_raw"] == pytest.approx(mcnemar([[0, only[0]], [only[1], 0]], exact=True).pvalue, abs=1e-12)
    assert np.isnan([row["ci95_low"], row["ci95_high"]]).all()
    assert "these two trained networks" in row["note"]
    (untested,) = compare_cells(merged.runs, found.summary).to_dict("records")
    assert (untested["test"], untested["note"]) == ("", "one pair: the spread between repeats is unknown")
    with open_bits(store) as bits:
        pd.testing.assert_frame_equal(compare_cells(merged.runs, found.summary, "relu", bits), found.comparisons)


def test_pairs_are_found_in_parts() -> None:
    """Whatever the number of runs that are looked at together."""
    per_run, summary = tables(grid(("relu", "tanh", "gelu"), repeats=4), good)
    finished = Finished.of(per_run, cells_of_runs(per_run, summary), len(summary))
    first, second = np.repeat(np.arange(len(summary)), len(summary)), np.tile(np.arange(len(summary)), len(summary))
    whole = list(finished.pairs(first, second))
    parts = list(finished.pairs(first, second, runs_a_time=5))
    assert (len(whole), len(parts)) == (1, 36)
    assert [part.start for part, *_ in parts] == list(range(36))
    for column in (2, 3):
        assert np.array_equal(np.concatenate([part[column] for part in parts]), whole[0][column])


@pytest.mark.parametrize("left_out", range(6))
def test_a_run_of_no_listed_cell_has_no_place(left_out: int) -> None:
    """Whether or not its other values are those of a listed cell."""
    per_run, summary = tables(grid(("relu", "tanh", "gelu"), repeats=2), good)
    cells = summary.drop(index=left_out).reset_index(drop=True)
    place = {values: i for i, values in enumerate(zip(cells["activation"], cells["p"], strict=True))}
    wanted = [place.get(values, -1) for values in zip(per_run["activation"], per_run["p"], strict=True)]
    assert cells_of_runs(per_run, cells).tolist() == wanted and wanted.count(-1) == 2
    for name in ("activation", "p"):
        value = summary[name][left_out]
        found = cells_of_runs(per_run, summary[summary[name] != value].reset_index(drop=True))
        assert ((found == -1) == (per_run[name] == value)).all()
