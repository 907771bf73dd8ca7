"""Whether runs that were trained again agree: bit by bit, or within what differing machines explain."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest, t

from hpc.execution.agreeing import LEVEL, SHIFT_LEVEL, Compared, Verdict, shift, verdicts


def other(difference: float, spread: float = 0.01, n: int = 10, step: float = 0.0) -> Compared:
    return Compared(False, False, difference, spread, n, step)


def test_equal_bits_agree_wherever_they_were_trained() -> None:
    assert verdicts([Compared(True, True), Compared(True, False)]) == [Verdict.BITS] * 2


def test_from_equal_machines_any_difference_is_one() -> None:
    assert verdicts([Compared(False, True, 0.0, 1.0, 100)]) == [Verdict.DIFFERS]


@pytest.mark.parametrize("n", [3, 5, 40])
def test_the_bound_is_that_of_two_draws_from_the_cell(n: int) -> None:
    most = t.ppf(1 - LEVEL / 2, n - 1) * math.sqrt(2) * 0.01
    found = verdicts([other(0.999 * most, n=n)]) + verdicts([other(-0.999 * most, n=n)])
    assert found == [Verdict.LAW] * 2
    assert verdicts([other(1.001 * most, n=n)]) == verdicts([other(-1.001 * most, n=n)]) == [Verdict.BEYOND]


def test_the_bound_grows_with_the_number_of_runs_that_it_is_for() -> None:
    most = t.ppf(1 - LEVEL / 2, 9) * math.sqrt(2) * 0.01
    assert verdicts([other(1.1 * most)]) == [Verdict.BEYOND]
    assert verdicts([other(1.1 * most)] * 5)[0] is Verdict.LAW
    assert verdicts([other(1.1 * most)] + [Compared(True, True)] * 5 + [Compared(False, True)] * 5)[0] is Verdict.BEYOND


def test_a_cell_of_two_repeats_says_nothing_and_one_without_spread_allows_a_few_images() -> None:
    assert verdicts([other(0.001, n=2)]) == [Verdict.UNKNOWN]
    assert verdicts([other(1 / 355, spread=0.0, n=3, step=1 / 355)]) == [Verdict.LAW]
    assert verdicts([other(20 / 355, spread=0.0, n=3, step=1 / 355)]) == [Verdict.BEYOND]
    assert [each.is_well for each in Verdict] == [True, True, False, False, False]


def test_if_only_rounding_differs_a_campaign_is_rarely_suspected() -> None:
    rng, n_named, n_shifted = np.random.default_rng(1), 0, 0
    for _ in range(1000):
        cells = rng.normal(0.9, 0.01, (20, 5))
        again = rng.normal(0.9, 0.01, 20)
        compared = [other(new - of[0], float(np.std(of, ddof=1)), 5) for new, of in zip(again, cells, strict=True)]
        n_named += Verdict.BEYOND in verdicts(compared)
        n_shifted += shift(compared)[2] < SHIFT_LEVEL
    assert n_named / 1000 < LEVEL + 0.02
    assert n_shifted / 1000 < SHIFT_LEVEL + 0.01


def test_a_shift_of_all_runs_is_seen_though_none_is_named() -> None:
    compared = [other(0.004 + 0.0001 * i) for i in range(20)]
    assert set(verdicts(compared)) == {Verdict.LAW}
    assert shift(compared) == (20, 20, pytest.approx(binomtest(20, 20).pvalue))
    assert shift(compared)[2] < SHIFT_LEVEL


@pytest.mark.parametrize(("n_better", "n_worse"), [(0, 0), (1, 0), (5, 5), (17, 3), (3, 17), (6, 5)])
def test_the_sign_test_is_that_of_scipy(n_better: int, n_worse: int) -> None:
    equal = [other(0.0), Compared(True, False), Compared(False, True, 1.0)]  # these say nothing about a shift
    found = shift([other(0.01)] * n_better + [other(-0.01)] * n_worse + equal)
    n = n_better + n_worse
    assert found == (n_better, n, pytest.approx(binomtest(n_better, n).pvalue if n else 1.0))
