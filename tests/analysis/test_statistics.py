"""summarise, against plain Python."""

import math
import statistics

import numpy as np
import pandas as pd
import pytest

from analysis.columns import SUMMARY
from analysis.planned import MISSING, cells_of
from analysis.statistics import summarise
from noisy.runs import Runs
from noisy.spec import RunSpec
from tests.specs import spec


def summary_of(runs: dict[RunSpec, tuple[str, float] | None]) -> pd.DataFrame:
    """Of spec -> (status, accuracy), None where there is no record."""
    found = [record or (MISSING, math.nan) for record in runs.values()]
    table = pd.DataFrame(found, columns=["status", "test_accuracy"]).assign(test_loss=0.1, n_test=1000, cpu_s=2.0)
    planned = Runs.of(runs)
    return summarise(table, planned.cell, cells_of(planned))


def one_row(runs: dict[RunSpec, tuple[str, float] | None]) -> pd.Series:
    summary = summary_of(runs)
    assert len(summary) == 1
    return summary.iloc[0]


def test_mean_spread_and_interval_are_those_of_plain_python() -> None:
    from scipy import stats

    accuracies = [0.91, 0.95, 0.93, 0.97]
    row = one_row({spec(repeat=i): ("ok", accuracy) for i, accuracy in enumerate(accuracies)})
    assert row["repeats"] == 4
    assert row["mean_test_loss"] == pytest.approx(0.1)
    assert row["mean_test_accuracy"] == pytest.approx(statistics.mean(accuracies), abs=1e-15)
    assert row["std_test_accuracy"] == pytest.approx(statistics.pstdev(accuracies), abs=1e-15)
    assert row["stderr_test_accuracy"] == pytest.approx(statistics.pstdev(accuracies) / 2, abs=1e-15)
    interval = stats.ttest_1samp(accuracies, 0).confidence_interval(0.95)
    assert (row["ci95_low"], row["ci95_high"]) == pytest.approx((interval.low, interval.high))


def test_one_run_has_no_interval() -> None:
    row = one_row({spec(): ("ok", 0.9)})
    assert (row["repeats"], row["std_test_accuracy"], row["stderr_test_accuracy"]) == (1, 0, 0)
    assert math.isnan(row["ci95_low"]) and math.isnan(row["ci95_high"])


def test_chance_and_diverged_runs_count_and_failed_and_missing_do_not() -> None:
    found = [("ok", 0.9), ("chance", 0.1), ("diverged", 0.2), ("failed", math.nan), None, None]
    row = one_row({spec(repeat=i): value for i, value in enumerate(found)})
    assert row["mean_test_accuracy"] == pytest.approx(0.4)
    counts = ["repeats", "missing", "failed", "chance", "diverged"]
    assert list(row[counts]) == [3, 2, 1, 1, 1]


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_every_mean_is_over_the_runs_that_repeats_counts(loss: float) -> None:
    """A loss that is not finite is not left out: the mean of the others would be that of fewer runs."""
    planned = Runs.of([spec(repeat=i, p=p) for p in (0.0, 0.5) for i in range(3)])
    table = pd.DataFrame({"status": "ok", "test_accuracy": 0.5, "test_loss": [1.0, 2, 3, 1, 2, loss]}).assign(
        n_test=1000, cpu_s=2.0
    )
    table.loc[5, "status"] = "diverged"
    summary = summarise(table, planned.cell, cells_of(planned))
    assert list(summary["repeats"]) == [3, 3]
    assert list(summary["mean_test_accuracy"]) == [0.5, 0.5]
    np.testing.assert_array_equal(summary["mean_test_loss"], [2.0, loss])


def test_a_cell_without_results_is_shown() -> None:
    row = one_row({spec(): None})
    assert (row["repeats"], row["missing"]) == (0, 1)
    assert math.isnan(row["mean_test_accuracy"])


def test_cells_are_what_differs_in_more_than_the_repeat_sorted() -> None:
    specs = [
        spec(model_type=model, activation=activation, p=p, repeat=repeat, learning_rate=rate)
        for rate in (0.1, 0.01)
        for p in (0.5, 0.0)
        for activation in ("tanh", "relu")
        for model in ("mlp", "cnn")
        for repeat in range(2)
    ]
    summary = summary_of({run: ("ok", 0.5) for run in specs})
    assert len(summary) == 16
    assert set(summary["repeats"]) == {2}
    key = list(zip(summary["model_type"], summary["activation"], summary["p"], summary["learning_rate"], strict=True))
    assert key == sorted(key)
    assert list(summary.columns) == list(SUMMARY)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Normal cells of 5 runs: 95 % of intervals, within three standard errors of 2,000 trials."""
    rng = np.random.default_rng(1)
    n_trials, n_runs = 2_000, 5
    accuracy = rng.normal(0.9, 0.01, (n_trials, n_runs))
    frames = {spec(repeat=j, seed=i): ("ok", accuracy[i, j]) for i in range(n_trials) for j in range(n_runs)}
    summary = summary_of(frames)
    covered = ((summary["ci95_low"] <= 0.9) & (summary["ci95_high"] >= 0.9)).mean()
    assert abs(covered - 0.95) < 3 * math.sqrt(0.95 * 0.05 / n_trials)
