"""The rules of taking work: which task, whether there is time, and whose work may be taken over."""

import math
from dataclasses import replace

import pytest

from jobs.claims import CLOCK_SKEW_S, Claim
from jobs.process import Process
from jobs.standings import BACK, DONE, HELD, LEFT, Standing
from jobs.taking import LAST_RUNS, MARGIN, NO_PACE, Choice, Need, Pace, Taker, all_done, is_gone, is_left, may_begin

NOW_S = 1_800_000_000.0
HERE = Process("node1", "boot", 4711, 1, "pid")
SMALL, LARGE = Need(0, 100, 150, 500), Need(0, 100, 150, 1500)
MAIN, SWEEP = Taker("17_3", 0, 1000), Taker("18_0", 0, 1500, is_sweep=True, waited_for=("17",))


def chosen(taker: Taker, needs: list[Need], left_s: float = math.inf, gone: tuple = (), is_fresh: bool = False, **words: str):
    """What is taken where task t0 has the word t0=..., with generation 0."""
    here = {int(name[1:]): Standing(word, 0) for name, word in words.items()}
    choice = Choice(taker, needs, range(len(needs)))
    return next(choice.tasks_to_take(here, lambda task, generation: task in gone, left_s, NO_PACE, is_fresh), None)


def test_the_first_task_that_nobody_holds() -> None:
    assert chosen(MAIN, [SMALL] * 4) == (0, 0)
    assert chosen(MAIN, [SMALL] * 4, t0=HELD, t1=DONE) == (2, 0)
    assert chosen(MAIN, [SMALL] * 4, t0=HELD, t1=DONE, t2=BACK) == (2, 1)
    assert chosen(MAIN, [SMALL] * 2, t0=HELD, t1=DONE) is None
    assert chosen(MAIN, []) is None


def test_what_a_dead_worker_held_comes_after_all_that_is_free() -> None:
    assert chosen(MAIN, [SMALL] * 3, gone=(0,), t0=HELD, t1=HELD) == (2, 0)
    assert chosen(MAIN, [SMALL] * 3, gone=(1,), t0=HELD, t1=HELD, t2=HELD) == (1, 1)


def test_what_may_have_killed_a_worker_is_for_the_sweep() -> None:
    assert chosen(MAIN, [SMALL] * 2, t0=LEFT, t1=DONE) is None
    assert chosen(SWEEP, [SMALL] * 2, t0=LEFT, t1=DONE) == (0, 1)


def test_a_task_must_fit_the_memory_and_the_time() -> None:
    assert chosen(MAIN, [LARGE, SMALL]) == (1, 0)
    assert chosen(replace(MAIN, mem_mb=1500), [LARGE, SMALL]) == (0, 0)
    assert chosen(replace(MAIN, mem_mb=0), [LARGE, SMALL]) == (0, 0)  # nobody set a limit
    assert chosen(MAIN, [Need(0), SMALL], left_s=0) == (0, 0)  # of an earlier version: nothing is known
    long = replace(SMALL, expected_s=1000, high_s=1500)
    assert chosen(MAIN, [long, SMALL], left_s=150) == (1, 0)
    assert chosen(MAIN, [long, SMALL], left_s=149) is None


def test_a_fresh_worker_takes_what_is_too_long_only_if_all_is() -> None:
    long = replace(SMALL, expected_s=1000, high_s=1500)
    assert chosen(MAIN, [long, SMALL], left_s=150, is_fresh=True) == (1, 0)
    assert chosen(MAIN, [LARGE, long, SMALL], left_s=100, is_fresh=True) == (1, 0)


def test_what_was_tried_in_vain_is_not_tried_again() -> None:
    choice = Choice(MAIN, [SMALL] * 2, range(2), {(0, 0)})
    assert next(choice.tasks_to_take({}, lambda *_: False, math.inf, NO_PACE, False), None) == (1, 0)
    assert next(choice.tasks_to_take({0: Standing(BACK, 0)}, lambda *_: False, math.inf, NO_PACE, False), None) == (0, 1)


def test_only_tasks_of_its_range_are_taken() -> None:
    choice = Choice(MAIN, [SMALL] * 9, range(2))
    assert (
        next(choice.tasks_to_take({0: Standing(DONE), 1: Standing(DONE)}, lambda *_: False, math.inf, NO_PACE, False), None)
        is None
    )


def test_a_worker_allows_what_its_own_runs_took() -> None:
    assert NO_PACE.needed_s(SMALL) == 150
    assert NO_PACE.needed_s(SMALL, 3) == 450
    slow = NO_PACE.after(150, 100).after(250, 100)
    assert slow.needed_s(SMALL) == pytest.approx(MARGIN * 200)
    assert slow.needed_s(Need(0)) == 0
    assert NO_PACE.after(10, None) == NO_PACE
    fast = slow
    for _ in range(LAST_RUNS):
        fast = fast.after(50, 100)
    assert fast == Pace((0.5,) * LAST_RUNS)


def test_a_run_is_begun_if_it_ends_before_the_warning() -> None:
    assert may_begin(100, 100, is_fresh=False)
    assert not may_begin(99, 100, is_fresh=False)
    assert may_begin(-1, 100, is_fresh=True)


@pytest.mark.parametrize(
    ("taker", "change", "now_s", "is_alive", "expected"),
    [
        (MAIN, {}, NOW_S, None, False),
        (MAIN, {}, NOW_S, True, False),
        (MAIN, {}, NOW_S, False, True),
        (MAIN, {}, NOW_S + 600, None, False),
        (MAIN, {}, NOW_S + 600 + CLOCK_SKEW_S + 1, None, True),
        (MAIN, {}, NOW_S + 600 + CLOCK_SKEW_S + 1, True, True),  # it hangs, or its clock is wrong
        (replace(MAIN, job="17_4", restart=1), {}, NOW_S, None, True),
        (replace(MAIN, job="17_4", restart=1), {"restart": 1}, NOW_S, None, False),
        (replace(MAIN, job="", restart=1), {"job": ""}, NOW_S, None, False),
        (SWEEP, {}, NOW_S, None, True),
        (SWEEP, {"job": "17"}, NOW_S, None, True),
        (SWEEP, {"job": "18_1"}, NOW_S, None, False),
        (SWEEP, {"job": "171_1"}, NOW_S, None, False),
        (SWEEP, {"job": ""}, NOW_S, None, False),
    ],
)
def test_whose_work_may_be_taken_over(taker: Taker, change: dict, now_s: float, is_alive: bool | None, expected: bool) -> None:
    held = replace(Claim.lasting(600, HERE, "17_4", 0, 1000, NOW_S), **change)
    assert is_gone(held, taker, now_s, is_alive) == expected


@pytest.mark.parametrize(
    ("attributes", "taker", "expected"),
    [
        ({"job": "17_4", "job_mem_mb": 1000}, MAIN, True),
        ({"job": "17_3", "job_mem_mb": 1000}, MAIN, False),  # it was preempted
        ({"job": "17_4", "job_mem_mb": 1000}, SWEEP, False),
        ({"job": "18_1", "job_mem_mb": 1500}, SWEEP, True),
        ({"job": "17_4"}, MAIN, False),
        ({"job": "17_4", "job_mem_mb": "much"}, MAIN, False),
        ({"job": "", "job_mem_mb": 0}, Taker(), False),
    ],
)
def test_what_was_training_when_a_worker_died_is_for_one_with_more_memory(
    attributes: dict, taker: Taker, expected: bool
) -> None:
    assert is_left(attributes, taker) == expected


def test_who_gave_a_task_back_was_not_killed() -> None:
    earlier = {"job": "17_4", "job_mem_mb": 1000, "attempt": 2}
    assert is_left(earlier, MAIN, {1})
    assert not is_left(earlier, MAIN, {1, 2})


def test_a_submission_is_done_when_all_its_tasks_are() -> None:
    assert all_done({}, 0)
    assert not all_done({0: Standing(DONE)}, 2)
    assert not all_done({0: Standing(DONE), 1: Standing(HELD, 3)}, 2)
    assert all_done({0: Standing(DONE), 1: Standing(DONE)}, 2)
    assert not all_done({0: Standing(DONE), 7: Standing(DONE)}, 2)
