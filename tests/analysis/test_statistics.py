"""summarise, against plain Python."""

import io
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
    """The summary of runs: spec -> (status, accuracy), or None without a record."""
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
    """A loss that is not finite is not left out, because then the mean would be over fewer runs."""
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


FIRST_COLUMNS = """\
model_type,activation,p,repeats,mean_test_accuracy,std_test_accuracy,stderr_test_accuracy,ci95_low,ci95_high,mean_test_loss,\
missing,failed,chance,diverged,dataset,seed,epochs,batch_size,learning_rate,weight_decay,hidden_sizes,max_train_samples,precision
mlp,relu,0.0,2,0.97975,0.00034999999999996145,0.0002474873734152644,0.9753028283423394,0.9841971716576606,0.1,\
1,0,0,0,digits,1234,2,128,0.001,0.0,32,,float32
mlp,relu,0.5,3,0.9813666666666666,0.0007717224601860196,0.0004455541701280787,0.9790187513034759,0.9837145820298573,\
0.10000000000000002,0,0,0,0,digits,1234,2,128,0.001,0.0,32,,float32
mlp,tanh,0.0,3,0.14233333333333334,0.04077649104842425,0.023542318083416107,0.018273512958890487,0.26639315370777616,,\
0,0,2,1,digits,1234,2,128,0.001,0.0,32,,float32
mlp,tanh,0.5,2,0.9111,0.0011999999999999789,0.000848528137423842,0.8958525543165906,0.9263474456834094,0.1,\
0,1,0,0,digits,1234,2,128,0.001,0.0,32,,float32
"""  # as the version before the further columns wrote them


def test_the_first_columns_are_byte_by_byte_those_of_earlier_versions() -> None:
    """The ends of the t interval to 1e-10 only: older versions of scipy have other quantiles in the twelfth digit."""
    found = [("ok", 0.9123), ("chance", 0.1135), ("ok", 0.9817), ("ok", 0.9794), ("ok", 0.9099), ("diverged", 0.2)]
    found += [("ok", 0.9821), (MISSING, math.nan), ("failed", math.nan), ("chance", 0.1135), ("ok", 0.9803), ("ok", 0.9801)]
    planned = Runs.of([spec(activation=name, p=p, repeat=i) for i in range(3) for name in ("tanh", "relu") for p in (0.5, 0.0)])
    table = pd.DataFrame(found, columns=["status", "test_accuracy"]).assign(test_loss=0.1, n_test=1000, cpu_s=2.0)
    table.loc[5, "test_loss"] = math.nan
    summary = summarise(table, planned.cell, cells_of(planned))
    names = FIRST_COLUMNS.split("\n")[0].split(",")
    assert list(summary.columns)[: len(names)] == names
    before, now = (pd.read_csv(io.StringIO(text), dtype=str) for text in (FIRST_COLUMNS, summary[names].to_csv(index=False)))
    ends = ["ci95_low", "ci95_high"]
    pd.testing.assert_frame_equal(now.drop(columns=ends), before.drop(columns=ends))
    np.testing.assert_allclose(now[ends].astype(float), before[ends].astype(float), atol=1e-10, rtol=0)


NEW_SPREADS = [
    *("sample_std_test_accuracy", "sample_stderr_test_accuracy", "ci95_low_clipped", "ci95_high_clipped"),
    *("sample_std_trained_accuracy", "ci95_low_trained", "ci95_high_trained", "seed_std_explained", "seed_std_genuine"),
]


def test_one_run_has_no_spread_in_any_new_column_and_a_cell_without_runs_has_nothing() -> None:
    row = one_row({spec(): ("ok", 0.9)})
    assert row[NEW_SPREADS].isna().all()
    assert not row["is_seed_std_truncated"]
    middle = ["median_test_accuracy", "q25_test_accuracy", "q75_test_accuracy", "iqm_test_accuracy", "mean_trained_accuracy"]
    assert set(row[[*middle, "min_test_accuracy", "max_test_accuracy"]]) == {0.9}
    assert (row["mean_cpu_s"], row["total_cpu_s"], row["n_trained"]) == (2.0, 2.0, 1)
    none = one_row({spec(): None})
    assert none[[*NEW_SPREADS, *middle, "share_chance", "share_chance_low", "test_set_low", "mean_cpu_s"]].isna().all()


def test_new_columns_are_those_of_plain_python_and_scipy() -> None:
    from scipy import stats

    values = [0.9123, 0.1135, 0.9817, 0.2, 0.9099, 0.9601]
    status = ["ok", "chance", "ok", "diverged", "ok", "ok"]
    row = one_row({spec(repeat=i): (status[i], values[i]) for i in range(6)})
    trained = [value for value, word in zip(values, status, strict=True) if word == "ok"]
    interval = stats.ttest_1samp(trained, 0).confidence_interval(0.95)
    share = stats.binomtest(1, 6).proportion_ci(method="wilson")
    n_correct = round(statistics.mean(values) * 1000, 9)
    everything = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    expected = {
        "sample_std_test_accuracy": statistics.stdev(values),
        "sample_stderr_test_accuracy": statistics.stdev(values) / math.sqrt(6),
        "ci95_low_clipped": max(everything.low, 0),
        "ci95_high_clipped": min(everything.high, 1),
        "median_test_accuracy": statistics.median(values),
        "q25_test_accuracy": statistics.quantiles(values, method="inclusive")[0],
        "q75_test_accuracy": statistics.quantiles(values, method="inclusive")[2],
        "min_test_accuracy": 0.1135,
        "max_test_accuracy": 0.9817,
        "iqm_test_accuracy": stats.trim_mean(values, 0.25),
        "share_chance": 1 / 6,
        "share_chance_low": share.low,
        "share_chance_high": share.high,
        "n_trained": 4,
        "mean_trained_accuracy": statistics.mean(trained),
        "sample_std_trained_accuracy": statistics.stdev(trained),
        "ci95_low_trained": max(interval.low, 0),
        "ci95_high_trained": min(interval.high, 1),
        "mean_cpu_s": 2,
        "total_cpu_s": 12,
    }
    for name, value in expected.items():
        assert row[name] == pytest.approx(value, abs=1e-12), name
    assert row["ci95_high_clipped"] == 1 < row["ci95_high"]
    for name, end in (("test_set_low", -1), ("test_set_high", 1)):  # where the score test's z is 1.96
        truth, z = row[name], stats.norm.ppf(0.975)
        assert (n_correct / 1000 - truth) / math.sqrt(truth * (1 - truth) / 1000) == pytest.approx(-end * z, abs=1e-9)
