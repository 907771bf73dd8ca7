"""Intervals, quantiles and trimmed means, against scipy, statsmodels and numpy."""

import numpy as np
import pytest

from analysis.intervals import clopper_pearson, t_half_width, wilson
from analysis.spreads import Ordered

COUNTS = [(count, n) for n in (1, 2, 5, 40, 10_000) for count in sorted({0, 1, n // 3, n - 1, n})]


@pytest.mark.parametrize("confidence", [0.95, 1 - 0.05 / 40])
@pytest.mark.parametrize(("ours", "name", "name_elsewhere"), [(wilson, "wilson", "wilson"), (clopper_pearson, "exact", "beta")])
def test_intervals_of_a_share(ours, name, name_elsewhere, confidence: float) -> None:
    from scipy.stats import binomtest
    from statsmodels.stats.proportion import proportion_confint

    low, high = ours(*np.array(COUNTS).T, confidence)
    for (count, n), ends in zip(COUNTS, zip(low, high, strict=True), strict=True):
        oracle = binomtest(count, n).proportion_ci(confidence, method=name)
        assert ends == pytest.approx((oracle.low, oracle.high), abs=1e-12)
        assert ends == pytest.approx(proportion_confint(count, n, 1 - confidence, name_elsewhere), abs=1e-12)
        assert 0 <= ends[0] <= ends[1] <= 1


def test_no_run_at_chance_of_40_still_allows_9_percent() -> None:
    low, high = wilson([0], [40])
    assert low[0] == 0
    assert high[0] == pytest.approx(0.0876, abs=1e-4)


def test_a_share_of_nothing_has_no_interval() -> None:
    assert np.isnan([*wilson([0, 0], [0, 0]), *clopper_pearson([0, 0], [0, 0])]).all()


def test_a_share_may_count_halves() -> None:
    """Ties count as half, so counts need not be whole numbers."""
    from scipy.stats import beta
    from statsmodels.stats.proportion import proportion_confint

    assert np.ravel(wilson([2.5], [5])) == pytest.approx(proportion_confint(2.5, 5, method="wilson"), abs=1e-12)
    low, high = clopper_pearson([2.5], [5])
    assert (low[0], high[0]) == pytest.approx((beta.ppf(0.025, 2.5, 3.5), beta.ppf(0.975, 3.5, 2.5)), abs=1e-12)


@pytest.mark.parametrize("confidence", [0.95, 1 - 0.05 / 20])
def test_the_t_interval(confidence: float) -> None:
    from scipy import stats

    values = np.random.default_rng(1).normal(0.9, 0.01, 7)
    interval = stats.ttest_1samp(values, 0).confidence_interval(confidence)
    half = t_half_width([values.std(ddof=1), 0.1, 0.1], [7, 1, 0], confidence)
    assert half[0] == pytest.approx((interval.high - interval.low) / 2, abs=1e-12)
    assert np.isnan(half[1:]).all()


def test_quantiles_and_the_interquartile_mean_of_cells_of_every_size() -> None:
    from scipy.stats import trim_mean

    chance = np.random.default_rng(2)
    sizes = [*range(13), 40, 101]
    cell = chance.permutation(np.repeat(np.arange(len(sizes)), sizes))
    values = chance.integers(8_000, 9_000, len(cell)) / 10_000
    ordered = Ordered.of(values, cell, len(sizes))
    for q in (0, 0.25, 0.5, 0.75, 1):
        found = ordered.quantile(q)
        assert np.isnan(found[0])
        assert found[1:] == pytest.approx([np.quantile(values[cell == i], q) for i in range(1, len(sizes))], abs=1e-12)
    means = ordered.interquartile_mean()
    assert np.isnan(means[0])
    assert means[1:] == pytest.approx([trim_mean(values[cell == i], 0.25) for i in range(1, len(sizes))], abs=1e-12)
