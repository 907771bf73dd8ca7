"""Bounds on costs: how many new hosts and new runs they really cover, over simulated hosts."""

import math

import numpy as np
import pytest

from hpc.planning.quantiles import HOST_SPREAD, RUN_SPREAD, bound, least, of_known_host, of_new_host


def hosts(n: int, runs: int, chance: np.random.Generator, spread: float = HOST_SPREAD) -> list[np.ndarray]:
    """Residuals of `runs` runs on each of `n` hosts: of three speeds, as nodes of a cluster are."""
    speeds = chance.choice([math.log(0.75), 0.0, math.log(1.35)], n) * spread / HOST_SPREAD
    return [speed + 0.05 * chance.standard_normal(runs) for speed in speeds]


def covered(n_hosts: int, runs: int, draws: int = 250) -> float:
    """The share of runs on new hosts that are below the bound."""
    chance = np.random.default_rng(7)
    return float(np.mean([hosts(1, 1, chance)[0][0] <= of_new_host(hosts(n_hosts, runs, chance)).high for _ in range(draws)]))


def test_a_finite_bound_of_95_percent_needs_19_hosts() -> None:
    chance = np.random.default_rng(1)
    assert least() == 19
    assert not of_new_host(hosts(19, 2, chance)).is_assumed
    assert of_new_host(hosts(18, 500, chance)).is_assumed  # however many runs
    assert not of_known_host(np.arange(19.0)).is_assumed and of_known_host(np.arange(18.0)).is_assumed


@pytest.mark.parametrize(("n_hosts", "runs"), [(19, 3), (40, 3), (40, 20)])
def test_95_percent_of_new_hosts_are_covered_without_an_assumption(n_hosts: int, runs: int) -> None:
    assert 0.93 <= covered(n_hosts, runs) <= 0.99


@pytest.mark.parametrize("n_hosts", [1, 4, 16])
def test_few_hosts_are_covered_by_the_assumption_where_it_is_right(n_hosts: int) -> None:
    assert covered(n_hosts, 40) >= 0.93


def test_runs_of_one_host_say_little_about_others() -> None:
    """What the bound of one host's own runs would cover: the host is what is sampled."""
    chance = np.random.default_rng(7)
    draws = [hosts(1, 1, chance)[0][0] <= of_known_host(hosts(1, 40, chance)[0]).high for _ in range(250)]
    assert np.mean(draws) < 0.75


@pytest.mark.parametrize("n_runs", [1, 5, 30, 200])
def test_new_runs_of_a_measured_host_are_covered(n_runs: int) -> None:
    chance = np.random.default_rng(3)
    draws = [chance.normal(0.3, 0.06) <= of_known_host(chance.normal(0.3, 0.06, n_runs)).high for _ in range(250)]
    assert 0.93 <= np.mean(draws) <= 0.995


def test_without_a_record_the_bounds_are_the_assumption() -> None:
    found = of_new_host([])
    assert (found.centre, found.is_assumed) == (0, True)
    assert found.high == -found.low == pytest.approx(1.645 * math.hypot(HOST_SPREAD * math.sqrt(2), RUN_SPREAD))


def test_bounds_follow_hosts_that_differ_more_than_assumed() -> None:
    chance = np.random.default_rng(5)
    near, far = of_new_host(hosts(12, 5, chance, 0.1)), of_new_host(hosts(12, 5, chance, 1.0))
    assert near.high - near.centre < 0.6 * (far.high - far.centre)


def test_a_bound_is_an_earlier_value_or_infinite() -> None:
    assert bound(np.arange(99.0), 0.99) == 98
    assert bound(np.arange(199.0), 0.99) == 197
    assert bound(np.arange(98.0), 0.99) == math.inf == bound(np.zeros(0), 0.5)
