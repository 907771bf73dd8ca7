"""How many workers a new submission may have, and what it waits for: never more than `max_workers` run at one time."""

import itertools
import random
from collections.abc import Sequence

import pytest

from hpc.planning.waiting import BusyArray, share_left


def test_what_is_free_is_shared_out() -> None:
    assert share_left([], 10) == (10, None)
    assert share_left([BusyArray("17", 4)], 10) == (6, None)
    assert share_left([BusyArray("17", 4), BusyArray("18", 5)], 10) == (1, None)


def test_where_nothing_is_free_a_submission_takes_the_place_of_the_largest_array() -> None:
    assert share_left([BusyArray("17", 4), BusyArray("18", 6)], 10) == (6, "18")
    assert share_left([BusyArray("17", 12)], 10) == (12, "17")  # max_workers has become smaller


def test_no_two_submissions_wait_for_the_same_job() -> None:
    busy = [BusyArray("17", 4)]
    assert share_left(busy, 4) == (4, "17")
    busy.append(BusyArray("18", 4, waits_for=("17",)))
    assert share_left(busy, 4) == (4, "18")
    busy.append(BusyArray("19", 3, waits_for=("18",)))
    assert share_left(busy, 4) == (3, "19")


def test_an_array_that_waits_takes_no_workers_of_its_own() -> None:
    assert share_left([BusyArray("17", 4), BusyArray("18", 4, waits_for=("17",))], 10) == (6, None)
    assert share_left([BusyArray("18", 4, waits_for=("17",))], 10) == (6, None)  # 17 has ended
    assert share_left([BusyArray("17", 2), BusyArray("18", 1, ("17",)), BusyArray("19", 1, ("17",))], 4) == (2, None)
    assert share_left([BusyArray("17", 2), BusyArray("18", 2, ("17",)), BusyArray("19", 2, ("17",))], 4) == (2, "18")


def test_an_array_without_an_id_cannot_be_waited_for() -> None:
    assert share_left([BusyArray(None, 4), BusyArray("18", 1)], 5) == (1, "18")
    with pytest.raises(LookupError, match="still being submitted"):
        share_left([BusyArray(None, 4)], 4)


def test_the_sweep_of_a_submission_leaves_most_workers_to_the_next() -> None:
    busy = [BusyArray("17", 80), BusyArray("18", 4, ("17",))]
    assert share_left(busy, 80) == (76, "17")
    busy += [BusyArray("19", 76, ("17",)), BusyArray("20", 4, ("19",))]
    assert share_left(busy, 80) == (72, "19")
    assert share_left([BusyArray("17", 1), BusyArray("18", 1, ("17",))], 1) == (1, "18")
    two = [BusyArray("17", 50), BusyArray("18", 30), BusyArray("19", 4, ("17", "18"))]
    assert share_left(two, 80) == (46, "17")
    assert share_left(two[1:], 80) == (50, None)  # the first has ended


def most_at_one_time(busy: Sequence[BusyArray]) -> int:
    """The oracle: over all sets of arrays that may run together, as none waits for another of the set, even indirectly."""
    before: dict[str | None, set[str]] = {}
    for array in busy:
        before[array.job_id] = {*array.waits_for}.union(*(before.get(job, set()) for job in array.waits_for))
    sets = itertools.chain.from_iterable(itertools.combinations(busy, n) for n in range(len(busy) + 1))
    return max(
        sum(a.parallel for a in some) for some in sets if not any(a.job_id in before[b.job_id] for a in some for b in some)
    )


@pytest.mark.parametrize("seed", range(20))
def test_submission_after_submission_never_more_than_max_workers(seed: int) -> None:
    chance, busy = random.Random(seed), list[BusyArray]()
    max_workers = chance.randint(1, 6)
    for number in range(6):
        workers, waits_for = share_left(busy, max_workers)
        first, before = chance.randint(1, workers), (waits_for,) if waits_for else ()
        busy.append(BusyArray(f"{number}a", first, before))
        if workers > first:
            busy.append(BusyArray(f"{number}b", workers - first, before))
        mains = tuple(array.job_id for array in busy if array.job_id in (f"{number}a", f"{number}b"))
        busy.append(BusyArray(f"{number}c", min(chance.randint(1, 4), workers), mains))
        assert most_at_one_time(busy) <= max_workers
        running = [array for array in busy if not any(other.job_id in array.waits_for for other in busy)]
        if chance.random() < 0.4:
            busy.remove(chance.choice(running))
