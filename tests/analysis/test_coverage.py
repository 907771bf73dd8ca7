"""Do intervals and tests hold what they say? Small versions of the simulations of `benchmarks.coverage`.

The bounds are those of docs/statistics.md, with room for three standard errors of a simulation of this size. Seeds are fixed.
"""

import math
import re

import numpy as np
import pytest

from analysis.intervals import clopper_pearson
from benchmarks import coverage
from tests.commands import ROOT

TRIALS = 4_000
ERROR = 3 * math.sqrt(0.95 * 0.05 / TRIALS)


@pytest.mark.parametrize("n", coverage.SIZES)
def test_the_t_interval_of_normal_and_skewed_cells(n: int) -> None:
    assert 0.94 - ERROR <= coverage.t_coverage("normal", n, TRIALS) <= 0.96 + ERROR
    near_1 = coverage.t_coverage("normal, near 1", n, TRIALS)
    assert 0.94 - ERROR <= near_1 <= 0.96 + ERROR
    assert coverage.t_coverage("normal, near 1", n, TRIALS, clipped=True) == near_1
    assert coverage.t_coverage("skewed (gamma, skewness 1)", n, TRIALS) >= 0.92 - ERROR


def test_rare_collapses_break_the_interval_of_the_mean_and_not_that_of_the_runs_that_trained() -> None:
    assert coverage.t_coverage("5 % of runs at chance", 10, TRIALS) < 0.75
    assert 0.94 - ERROR <= coverage.trained_coverage(10, TRIALS) <= 0.96 + ERROR


def test_an_interval_on_the_logit_scale_is_not_one_of_the_mean() -> None:
    assert coverage.logit_coverage("skewed (gamma, skewness 1)", 40, TRIALS) < 0.8


@pytest.mark.parametrize("n", coverage.SIZES)
def test_intervals_of_shares(n: int) -> None:
    """Exact: Wilson's holds on average, Clopper and Pearson's at every share."""
    shares = np.linspace(0.0005, 0.9995, 400)
    assert coverage.share_coverage(n, shares).mean() >= 0.93
    assert coverage.share_coverage(n, shares, clopper_pearson).min() >= 0.95
    assert coverage.improvement_coverage(n, TRIALS) >= 0.95


@pytest.mark.parametrize("with_collapses", [False, True])
@pytest.mark.parametrize("n", [5, 10])
def test_a_family_of_equal_cells_is_rarely_called_different(n: int, with_collapses: bool) -> None:
    n_families = 800
    found = coverage.family_error(n, n_families, with_collapses)
    room = 3 * math.sqrt(0.06 * 0.94 / n_families)
    assert found["intervals"] <= 0.06 + room
    assert found["Holm"] <= 0.06 + room
    assert found["uncorrected"] > 0.3


@pytest.mark.parametrize("genuine", [False, True])
def test_the_split_of_the_spread_is_right_on_average(genuine: bool) -> None:
    found = coverage.seed_spread(genuine, 10, 200)
    assert abs(found["estimate"] - found["truth"]) < 3 * found["error"]
    assert found["sample"] - found["truth"] > 10 * found["error"]
    assert (found["truth"] > 0) == genuine
    assert (found["truncated"] > 0.3) == (not genuine)


def test_the_page_has_all_tables_and_keeps_the_bounds() -> None:
    """docs/statistics.md is made by the command, and its numbers keep the required bounds."""
    text = (ROOT / "docs" / "statistics.md").read_text()
    trials = int(re.search(r"\(([\d,]+) simulated cells", text)[1].replace(",", ""))  # type: ignore[index]
    assert trials >= 40_000
    rows = {cells[0]: [float(cell) for cell in cells[1:] if cell] for cells in table_rows(text)}
    assert all(0.94 <= value <= 0.96 for value in rows["normal"])
    assert all(value >= 0.92 for value in rows["skewed (gamma, skewness 1)"])
    assert all(rows[f"Wilson, n = {n}"][0] >= 0.93 for n in coverage.SIZES)
    for kind in ("normal", "5 % of runs at chance"):
        assert all(value <= 0.06 for how in ("intervals", "Holm") for value in rows[f"{kind}, {how}"])
    for kind in ("equal networks", "genuine spread"):
        for n in coverage.SIZES:
            truth, estimate, error, *_ = rows[f"{kind}, n = {n}"]
            assert abs(estimate - truth) < 3 * error
    law = next(iter(coverage.LAWS))
    assert rows[law][0] == pytest.approx(coverage.t_coverage(law, 5, trials), abs=5e-4)


def table_rows(text: str) -> list[list[str]]:
    """The cells of all rows with numbers."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return [cells for cells in lines if re.fullmatch(r"-?\d+\.\d+", cells[1].strip())]
