"""How many workers a new submission may have, and what it waits for: never more than `max_workers` run at one time."""

import itertools
import random
from collections.abc import Sequence

import pytest

from hpc.planning.decision import Room, decide
from hpc.planning.retrying import Outcome, Reason
from hpc.planning.workers import BusyArray, FirstRequest, Limits, share_left
from noisy.spec import Execution
from tests.specs import runs, spec


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
    busy.append(BusyArray("18", 4, waits_for="17"))
    assert share_left(busy, 4) == (4, "18")
    busy.append(BusyArray("19", 3, waits_for="18"))
    assert share_left(busy, 4) == (3, "19")


def test_an_array_that_waits_takes_no_workers_of_its_own() -> None:
    assert share_left([BusyArray("17", 4), BusyArray("18", 4, waits_for="17")], 10) == (6, None)
    assert share_left([BusyArray("18", 4, waits_for="17")], 10) == (6, None)  # 17 has ended
    assert share_left([BusyArray("17", 2), BusyArray("18", 1, "17"), BusyArray("19", 1, "17")], 4) == (2, None)
    assert share_left([BusyArray("17", 2), BusyArray("18", 2, "17"), BusyArray("19", 2, "17")], 4) == (2, "18")


def test_an_array_without_an_id_cannot_be_waited_for() -> None:
    assert share_left([BusyArray(None, 4), BusyArray("18", 1)], 5) == (1, "18")
    with pytest.raises(LookupError, match="still being handed over"):
        share_left([BusyArray(None, 4)], 4)


def most_at_one_time(busy: Sequence[BusyArray]) -> int:
    """The oracle: over all sets of arrays that may run together, as none waits for another of the set, even indirectly."""
    before: dict[str | None, set[str | None]] = {}
    for array in busy:
        before[array.job_id] = {array.waits_for} | before.get(array.waits_for, set())
    sets = itertools.chain.from_iterable(itertools.combinations(busy, n) for n in range(len(busy) + 1))
    return max(
        sum(a.parallel for a in some) for some in sets if not any(a.job_id in before[b.job_id] for a in some for b in some)
    )


@pytest.mark.parametrize("seed", range(20))
def test_submission_after_submission_never_more_than_max_workers(seed: int) -> None:
    chance, busy = random.Random(seed), list[BusyArray]()
    max_workers = chance.randint(1, 6)
    for number in range(9):
        workers, waits_for = share_left(busy, max_workers)
        first = chance.randint(1, workers)
        busy.append(BusyArray(f"{number}a", first, waits_for))
        if workers > first:
            busy.append(BusyArray(f"{number}b", workers - first, waits_for))
        assert most_at_one_time(busy) <= max_workers
        running = [array for array in busy if not any(other.job_id == array.waits_for for other in busy)]
        if chance.random() < 0.4:
            busy.remove(chance.choice(running))


def test_a_decision_keeps_to_the_room_and_hands_over_the_first_tasks() -> None:
    twenty = runs(*(spec(repeat=i) for i in range(20)))
    room = Room(Limits(1001, 7), 3, (BusyArray("17", 2),), 4)
    decision = decide(twenty, Execution(), room, FirstRequest(), runs_per_task=2)
    assert (len(decision.whole.tasks), len(decision.now.tasks), decision.n_held_back) == (10, 4, 6)
    assert decision.now.tasks + decision.held_back == decision.whole.tasks
    assert decision.waits_for is None and sum(array.parallel for array in decision.arrays) == 2
    full = decide(twenty, Execution(), Room(Limits(1001, 7), 9, (BusyArray("17", 4),), 4), FirstRequest(), runs_per_task=2)
    assert (full.now.tasks, full.arrays, full.n_held_back, full.waits_for) == ((), (), 10, "17")
    assert full.whole.cpu_s.middle > 0  # its cost is known although nothing can be submitted


def test_a_decision_follows_the_retry_rule() -> None:
    two = runs(spec(repeat=0), spec(repeat=1))
    killed = Outcome(0, two.ids()[1], Reason.MEMORY, "OUT_OF_MEMORY", "n1", "17_0", 4000, 10)
    decision = decide(two, Execution(), Room(Limits(1001, 100), 0, (), 4), FirstRequest(mem_mb=4000), [killed])
    assert {array.resources.mem_mb for array in decision.arrays} == {4000, 6000}


def test_a_decision_halves_groups_after_attempts_that_recorded_nothing_and_counts_the_workers_of_now() -> None:
    six = runs(*(spec(repeat=i) for i in range(6)))
    execution = Execution(use_cuda=True, runs_together=8)
    room = Room(Limits(1001, 2), 0, (), 4)
    decision = decide(six, execution, room, FirstRequest(), empty_attempts={six.ids()[0]: 1}, runs_per_task=2)
    assert [task.runs_together for task in decision.whole.tasks] == [4, 8, 8]
    assert (decision.whole.workers, decision.now.workers) == (3, 2)
    nothing = decide(six, execution, Room(Limits(1001, 0), 0, (), 4), FirstRequest())
    assert (nothing.now.tasks, nothing.arrays) == ((), ())
