"""Rank tests, McNemar's test and Holm's correction, against scipy, statsmodels and counting."""

import itertools

import numpy as np
import pytest

from analysis.ranks import MOST_EXACT, holm, mcnemar, signed_rank, smallest_signed_rank


@pytest.mark.parametrize("n", [1, 2, 5, 12, 40])
def test_signed_ranks_without_ties_are_scipys(n: int) -> None:
    from scipy.stats import wilcoxon

    differences = np.random.default_rng(n).normal(0.3, 1, (20, n))
    expected = [wilcoxon(row, method="exact").pvalue for row in differences]
    assert signed_rank(differences) == pytest.approx(expected, abs=1e-12)


def test_signed_ranks_with_ties_count_all_signs() -> None:
    differences = np.random.default_rng(3).integers(1, 4, (30, 7)) * np.random.default_rng(4).choice([-1, 1, 1], (30, 7))
    signs = np.array(list(itertools.product([-1, 1], repeat=7)))
    from scipy.stats import rankdata

    for row, p_value in zip(differences, signed_rank(differences), strict=True):
        ranks = rankdata(abs(row))
        far = abs(signs @ ranks) >= abs(np.sign(row) @ ranks) - 1e-9
        assert p_value == pytest.approx(far.mean(), abs=1e-12)


def test_many_signed_ranks_are_scipys_approximation() -> None:
    from scipy.stats import wilcoxon

    n = MOST_EXACT + 1
    differences = np.round(np.random.default_rng(5).normal(0.2, 1, (9, n)), 1) + 0.05  # with ties
    expected = [wilcoxon(row, correction=False, method="approx").pvalue for row in differences]
    assert signed_rank(differences) == pytest.approx(expected, abs=1e-12)


def test_no_rank_test_falls_below_the_smallest_p_value() -> None:
    assert smallest_signed_rank(np.array([0, 1, 5, 10])) == pytest.approx([1, 1, 0.0625, 2**-9], abs=0)
    assert signed_rank(np.array([[1.0, 2, 3, 4, 5]])) == pytest.approx([0.0625], abs=1e-15)
    assert signed_rank(np.empty((2, 0))) == pytest.approx([1, 1], abs=0)


def test_mcnemar_is_that_of_statsmodels() -> None:
    from statsmodels.stats.contingency_tables import mcnemar as oracle

    counts = [(0, 0), (1, 0), (5, 5), (3, 17), (120, 80), (400, 410)]
    expected = [1.0, *(oracle([[7, b], [c, 9]], exact=True).pvalue for b, c in counts[1:])]
    assert mcnemar(*np.array(counts).T) == pytest.approx(expected, abs=1e-12)


def test_holm_is_that_of_statsmodels() -> None:
    from statsmodels.stats.multitest import multipletests

    p_values = np.random.default_rng(6).uniform(0, 0.2, 25) ** 2
    assert holm(p_values, 25) == pytest.approx(multipletests(p_values, method="holm")[1], abs=1e-12)


def test_members_without_a_result_count_in_the_family() -> None:
    p_values = np.array([0.01, np.nan, 0.02])
    with_ones = holm(np.array([0.01, 1, 0.02]), 3)
    np.testing.assert_array_equal(holm(p_values, 3), [with_ones[0], np.nan, with_ones[2]])
