"""When a plan ends, and the fewest workers with which it ends in time."""

from dataclasses import replace

import numpy as np
import pytest

from hpc.planning.cost import Range
from hpc.planning.deadline import End, TooLate, end_of, in_time
from hpc.planning.model import Knowledge, Measured
from hpc.planning.quantiles import Bounds
from hpc.planning.tasks import Plan, plan
from noisy.spec import Execution, RunSpec
from tests.specs import runs

MLP = RunSpec("mnist", "relu", "mlp", 0.1, 0, 0, 15, 512, 0.001, 0, (1024, 512, 256))
SIXTY = runs(*(replace(MLP, repeat=repeat) for repeat in range(60)))
RUN_S = 100.0


def known(n_hosts: int, spread: float = 0.2) -> Knowledge:
    """Each run takes 100 s; of 20 hosts, one takes over exp(spread) times as long."""
    bounds = Bounds(-spread, 0.0, spread, False)
    return Knowledge({("mlp", "float32"): Measured(np.array([RUN_S, 0, 0, 0, 0]), (1e6, 2e6), 90, n_hosts, bounds, bounds)})


def planned_with(workers: int, n_hosts: int = 16, spread: float = 0.2) -> Plan:
    return replace(plan(SIXTY, workers, Execution(), knowledge=known(n_hosts, spread)), start_s=Range(0, 20, 10))


def test_one_worker_does_one_run_after_the_other() -> None:
    end = end_of(planned_with(1, n_hosts=1))
    assert end.expected_s == pytest.approx(60 * RUN_S + 10)
    assert end.high_s == pytest.approx(60 * RUN_S * np.exp(0.2) + 20)  # a slow host is slow for each run
    assert end.low_s == pytest.approx(60 * RUN_S * np.exp(-0.2))


def test_workers_share_the_work_and_no_campaign_ends_before_its_longest_run() -> None:
    four, many = end_of(planned_with(4)), end_of(planned_with(60))
    assert 60 * RUN_S / 4 < four.expected_s < 60 * RUN_S / 4 + RUN_S
    assert RUN_S <= many.expected_s < 2 * RUN_S
    assert many.low_s < many.expected_s < many.high_s


def test_what_many_hosts_said_of_many_hosts_is_surer() -> None:
    widths = [(end := end_of(planned_with(8, n_hosts))).high_s / end.expected_s for n_hosts in (1, 4, 16, 64)]
    assert sorted(widths, reverse=True) == widths
    assert widths[0] == pytest.approx(np.exp(0.2), abs=0.03)


@pytest.mark.parametrize(("n_hosts", "word"), [(0, "expected"), (1, "expected"), (15, "expected"), (16, "promised")])
def test_only_records_of_sixteen_hosts_make_a_promise(n_hosts: int, word: str) -> None:
    assert End(1, 2, 3, n_hosts).word == word


@pytest.mark.parametrize("deadline_s", [400, 700, 1500, 2500, 10_000])
def test_a_deadline_is_met_with_the_fewest_workers(deadline_s: float) -> None:
    planned = in_time(deadline_s, 60, planned_with)
    assert end_of(planned).high_s <= deadline_s
    if planned.workers > 1:
        assert end_of(planned_with(planned.workers - 1)).high_s > deadline_s


@pytest.mark.parametrize("more", [1, 2, 3])
def test_no_number_of_workers_is_passed_over(more: int) -> None:
    """Other numbers of workers make other tasks, so more may be needed than the largest plan lets expect."""
    least = in_time(700, 60, planned_with).workers + more

    def plan_with(workers: int) -> Plan:
        return replace(planned_with(workers), start_s=Range(0, 20 if workers >= least else 10_000, 10))

    assert in_time(700, 60, plan_with).workers == least


def test_a_deadline_that_cannot_be_met_says_what_would_do() -> None:
    with pytest.raises(TooLate) as refused:
        in_time(900, 6, planned_with)
    late = refused.value
    assert late.end == end_of(planned_with(6)) and late.end.high_s > 900
    assert late.would_do is not None and end_of(planned_with(late.would_do)).high_s <= 900
    assert 0 < late.n_runs < 60
    fewer = plan(SIXTY.take(slice(0, late.n_runs)), 6, Execution(), knowledge=known(16))
    assert end_of(replace(fewer, start_s=Range(0, 20, 10))).high_s <= 900


def test_no_number_of_workers_makes_a_run_shorter() -> None:
    with pytest.raises(TooLate) as refused:
        in_time(RUN_S, 60, planned_with)
    assert refused.value.would_do is None
