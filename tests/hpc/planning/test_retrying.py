"""The retry rule: who is to blame, what is asked for next time, when to give up."""

import math

import pytest

from hpc.planning.retrying import BLAMED, MAX_TRIES, Outcome, Reason, retries, tries
from hpc.planning.tasks import Retry
from hpc.planning.workers import Limits

RUN, OTHER = "0123456789abcdef", "fedcba9876543210"
UNLIMITED = Limits(1000, 1000)


def outcome(reason: Reason, run_id: str = RUN, mem_mb: float = 1000, time_limit_min: float = 10) -> Outcome:
    return Outcome(0, run_id, reason, reason.value, "n1", "17_0", mem_mb, time_limit_min)


@pytest.mark.parametrize(
    ("reason", "is_blamed", "retry"),
    [
        (Reason.MEMORY, True, Retry(1500, 0)),
        (Reason.TIME, True, Retry(0, 15)),
        (Reason.RAISED, True, Retry(0, 0)),
        (Reason.STORAGE, False, None),
        (Reason.CANCELLED, False, None),
        (Reason.CLUSTER, False, None),
        (Reason.NOT_ENDED, False, None),
        (Reason.UNKNOWN, False, None),
    ],
)
def test_each_reason(reason: Reason, is_blamed: bool, retry: Retry | None) -> None:
    assert outcome(reason).is_blamed_on_run == is_blamed == (reason in BLAMED)
    assert retries([outcome(reason)], UNLIMITED) == ({RUN: retry} if retry else {})
    assert tries([outcome(reason)] * 3, []) == ({RUN: 3} if is_blamed else {})


def test_all_reasons_are_in_the_table() -> None:
    assert len(Reason) == 8


def test_no_run_was_training_nobody_is_blamed() -> None:
    assert not outcome(Reason.MEMORY, run_id="").is_blamed_on_run
    assert retries([outcome(Reason.MEMORY, run_id="")], UNLIMITED) == {}


def test_retries_grow_with_each_try_and_forget_nothing() -> None:
    tried = [outcome(Reason.MEMORY), outcome(Reason.MEMORY, mem_mb=1500), outcome(Reason.TIME, mem_mb=2250)]
    assert retries(tried, UNLIMITED) == {RUN: Retry(2250, 15)}
    assert retries(tried[::-1], UNLIMITED) == {RUN: Retry(2250, 15)}
    assert retries([*tried, outcome(Reason.RAISED, mem_mb=9000)], UNLIMITED) == {RUN: Retry(2250, 15)}


def test_retries_stop_at_what_the_cluster_has() -> None:
    limits = Limits(1000, 1000, mem_mb=1200, time_limit_min=12)
    tried = [outcome(Reason.MEMORY), outcome(Reason.TIME), outcome(Reason.TIME, OTHER, time_limit_min=7)]
    assert retries(tried, limits) == {RUN: Retry(1200, 12), OTHER: Retry(0, 10.5)}


def test_failures_and_ends_that_a_run_is_blamed_for_are_tries() -> None:
    assert tries([outcome(Reason.TIME), outcome(Reason.CLUSTER)], [RUN, OTHER, RUN]) == {RUN: 3, OTHER: 1}
    assert MAX_TRIES == 3
    assert math.inf == UNLIMITED.mem_mb
