"""How many workers a plan gets, for how long and with how much memory; and what of a plan is submitted now."""

import math
from dataclasses import replace

import pytest

from hpc.planning.decision import Room, decide
from hpc.planning.retrying import Outcome, Reason
from hpc.planning.tasks import Plan, Retry, plan
from hpc.planning.waiting import BusyArray
from hpc.planning.workers import NOTHING_ASKED, START_MIN, FirstRequest, Limits, PlannedArray, arrays, needed_mb
from hpc.request.grid import parse_grid
from noisy.spec import Execution, RunSpec
from tests.specs import runs, spec

MLP = RunSpec("mnist", "relu", "mlp", 0.1, 0, 0, 15, 512, 0.001, 0, (1024, 512, 256))
CNN = RunSpec("mnist", "relu", "cnn", 0.1, 0, 0, 20, 256, 0.001, 0)
RELIABLE = parse_grid(
    "{model_types: [mlp, cnn], repeats: 40, models: {mlp: {hidden_sizes: [1024, 512, 256], epochs: 15}, cnn: {epochs: 20}}}"
).runs()
LARGE = Limits(10_000, 10_000)


def made(planned: Plan, limits: Limits = LARGE, first: FirstRequest = NOTHING_ASKED, **others: int) -> list[PlannedArray]:
    """The arrays without the sweep."""
    return [array for array in arrays(planned, limits, first, **others) if not array.is_sweep]


def one_of(planned: Plan, first: FirstRequest = NOTHING_ASKED) -> PlannedArray:
    """The only array beside the sweep."""
    (array,) = made(planned, first=first)
    return array


def cnns(n: int) -> list[RunSpec]:
    return [replace(CNN, repeat=i) for i in range(n)]


def test_workers_for_twice_the_work_and_one_memory_where_it_wastes_little() -> None:
    planned = plan(runs(*cnns(800)), 80, Execution())
    array = one_of(planned)
    work_min = sum(task.cost.wall_s.middle for task in planned.tasks) / 60
    assert array.resources.time_limit_min == 60
    assert array.n_workers == math.ceil(2 * work_min / (0.85 * 60))
    assert array.parallel == 80
    assert array.after == ()
    assert made(planned, worker_time_min=30)[0].n_workers == math.ceil(2 * work_min / (0.85 * 30))


def test_there_are_at_least_as_many_workers_as_run_at_one_time() -> None:
    few = one_of(plan(runs(*cnns(8)), 4, Execution()))
    assert (few.n_workers, few.parallel) == (few.n_workers, 4)
    assert 4 <= few.n_workers < 12
    assert one_of(plan(runs(*cnns(2)), 80, Execution())).parallel == 2


def test_a_short_campaign_asks_for_less_time_and_enough_for_its_longest_run() -> None:
    one = one_of(plan(runs(CNN), 1, Execution()))
    assert one.resources.time_limit_min == math.ceil(360 * 1.25 / 60) + START_MIN
    two_threads = one_of(plan(runs(*cnns(3)), 1, Execution(cpu_threads=2, data_workers=1)))
    assert two_threads.resources.cpus == 3
    assert two_threads.resources.time_limit_min == math.ceil(3 * 360 * 1.25 / 2 / 60) + START_MIN
    long = one_of(plan(runs(replace(CNN, epochs=2000)), 1, Execution()))
    assert long.resources.time_limit_min == math.ceil(36_000 * 1.25 / 60) + START_MIN  # longer than the usual time


def test_a_partition_may_allow_less_than_the_usual_time() -> None:
    (array,) = made(plan(runs(*cnns(100)), 2, Execution()), Limits(10_000, 10_000, time_limit_min=30))
    assert array.resources.time_limit_min == 30


def test_two_memories_only_where_one_would_waste_much() -> None:
    wide = [replace(MLP, hidden_sizes=(12_000, 12_000), repeat=i) for i in range(80)]  # 2.6 GB of weights and moments
    both = runs(*wide, *(replace(MLP, repeat=i) for i in range(4000)))
    large, small = made(plan(both, 20, Execution()))
    assert large.resources.mem_mb > 3 * small.resources.mem_mb
    assert large.parallel + small.parallel == 20
    assert len(made(plan(runs(*wide, MLP), 20, Execution()))) == 1
    assert len(made(plan(both, 1, Execution()))) == 1


@pytest.mark.parametrize("workers", [1, 2, 3, 7, 80, 500])
@pytest.mark.parametrize("max_array_size", [2, 11, 101])
def test_arrays_keep_to_the_limits(workers: int, max_array_size: int) -> None:
    cut = arrays(plan(RELIABLE, workers, Execution()), Limits(max_array_size, 10_000), NOTHING_ASKED)
    assert max(array.n_workers for array in cut) <= max_array_size  # indices from 0: the largest is below it
    assert all(1 <= array.parallel <= array.n_workers for array in cut)
    *mains, sweep = cut
    assert sum(array.parallel for array in mains if not array.after) <= workers
    for i, array in enumerate(mains):  # one waiting array takes the place of one that ended
        for before in array.after:
            assert before < i
            assert array.parallel == mains[before].parallel == 1
    followers = [before for array in mains for before in array.after]
    assert len(followers) == len(set(followers))
    assert (sweep.after, sweep.is_sweep) == (tuple(range(len(mains))), True)


def test_the_sweep_is_small_waits_for_all_and_has_more_memory() -> None:
    *_, sweep = arrays(plan(RELIABLE, 80, Execution()), LARGE, NOTHING_ASKED)
    usual_mb = max(needed_mb(task, NOTHING_ASKED) for task in plan(RELIABLE, 80, Execution()).tasks)
    assert (sweep.n_workers, sweep.parallel, sweep.resources.mem_mb) == (4, 4, int(usual_mb * 1.5))
    assert arrays(plan(RELIABLE, 2, Execution()), LARGE, NOTHING_ASKED)[-1].n_workers == 2
    *_, capped = arrays(plan(RELIABLE, 80, Execution()), Limits(10_000, 10_000, mem_mb=1000), NOTHING_ASKED)
    assert capped.resources.mem_mb == 1000
    *_, large = arrays(plan(RELIABLE, 80, Execution()), Limits(10_000, 10_000, mem_mb=100), NOTHING_ASKED)
    assert large.resources.mem_mb == usual_mb  # what a task needs, whatever the node has: that is refused elsewhere
    assert not any(array.is_sweep for array in arrays(plan(runs(CNN), 1, Execution()), LARGE, NOTHING_ASKED, room=1))


def test_few_runs_on_a_gpu_have_time_to_launch_their_steps_and_memory_for_all_weights() -> None:
    execution = parse_grid("use_cuda: true").execution
    small = replace(MLP, batch_size=16, epochs=100, hidden_sizes=(32,))
    array = one_of(plan(runs(small), 1, execution))
    assert array.resources.gpus == 1
    n_steps = 100 * 60_000 / 16
    assert array.resources.time_limit_min * 60 > n_steps * 0.003
    large = replace(MLP, hidden_sizes=(4096, 4096))
    assert one_of(plan(runs(large), 1, execution)).resources.mem_mb > 128 * 4 * (784 * 4096 + 4096 * 4096) / 1e6


@pytest.mark.parametrize("cpu_threads", [1, 2, 4, 8])
def test_a_retry_is_a_floor_on_what_is_asked_for_whatever_the_threads(cpu_threads: int) -> None:
    planned = plan(runs(CNN), 1, Execution(cpu_threads=cpu_threads), {CNN.run_id: Retry(time_limit_min=50)})
    assert one_of(planned).resources.time_limit_min == 50


def test_a_retry_that_asks_for_less_than_the_estimate_changes_nothing() -> None:
    plain = one_of(plan(runs(CNN), 1, Execution()))
    assert one_of(plan(runs(CNN), 1, Execution(), {CNN.run_id: Retry(1, 1)})).resources == plain.resources


def test_retries_that_need_more_have_workers_of_their_own() -> None:
    six = runs(*cnns(6))
    third, fifth = six.ids()[2], six.ids()[4]
    usual, more = made(plan(six, 6, Execution(), {third: Retry(mem_mb=4500), fifth: Retry(time_limit_min=90)}))
    assert usual.resources.mem_mb < 1500 and usual.resources.time_limit_min < 60
    assert (more.resources.mem_mb, more.resources.time_limit_min, more.n_workers) == (4500, 90, 2)
    assert len(made(plan(six, 4, Execution(), {third: Retry(mem_mb=700)}))) == 1


def test_the_users_own_request_comes_first_and_a_retry_may_ask_for_more() -> None:
    asked = FirstRequest(mem_mb=4000, time_limit_min=7)
    first = one_of(plan(runs(CNN), 1, Execution()), asked)
    assert (first.resources.mem_mb, first.resources.time_limit_min) == (4000, 7)
    planned = plan(runs(CNN), 1, Execution(), {CNN.run_id: Retry(6000, 10.5)})
    again = one_of(planned, asked)
    assert (again.resources.mem_mb, again.resources.time_limit_min) == (6000, 10)
    assert needed_mb(planned.tasks[0], asked) == 6000


# What is submitted now


def test_a_decision_keeps_to_the_room_and_hands_over_the_first_tasks() -> None:
    many, limits = runs(*cnns(200)), Limits(1001, 23)
    decision = decide(many, Execution(), Room(limits, 3, (BusyArray("17", 2),), 4), NOTHING_ASKED)
    n_workers = sum(array.n_workers for array in decision.arrays)
    assert 10 < n_workers <= 20
    assert 0 < decision.n_held_back < len(decision.whole.tasks)
    assert decision.now.tasks + decision.held_back == decision.whole.tasks
    assert decision.waits_for is None and decision.arrays[0].parallel == 2
    full = decide(many, Execution(), Room(limits, 23, (BusyArray("17", 4),), 4), NOTHING_ASKED)
    assert (full.now.tasks, full.arrays, full.n_held_back, full.waits_for) == ((), (), len(full.whole.tasks), "17")
    assert full.whole.cpu_s.middle > 0  # its cost is known although nothing can be submitted


@pytest.mark.parametrize("n_room", [1, 2, 3])
def test_where_there_is_hardly_room_some_is_done(n_room: int) -> None:
    decision = decide(runs(*cnns(200)), Execution(), Room(Limits(1001, n_room), 0, (), 80), NOTHING_ASKED)
    assert 1 <= sum(array.n_workers for array in decision.arrays) <= n_room
    assert decision.now.tasks
    assert sum(array.parallel for array in decision.arrays if not array.after) <= n_room


def test_a_decision_follows_the_retry_rule() -> None:
    two = runs(spec(repeat=0), spec(repeat=1))
    killed = Outcome(0, two.ids()[1], Reason.MEMORY, "OUT_OF_MEMORY", "n1", "17_0", 4000, 10)
    decision = decide(two, Execution(), Room(Limits(1001, 100), 0, (), 4), FirstRequest(mem_mb=4000), [killed])
    assert [array.resources.mem_mb for array in decision.arrays] == [4000, 6000, 9000]
    assert decision.first == FirstRequest(mem_mb=4000)


def test_a_decision_halves_groups_after_attempts_that_recorded_nothing() -> None:
    six = runs(*(spec(repeat=i) for i in range(6)))
    execution = Execution(use_cuda=True, runs_together=8)
    room = Room(Limits(1001, 2), 0, (), 4)
    decision = decide(six, execution, room, NOTHING_ASKED, empty_attempts={six.ids()[0]: 1}, runs_per_task=2)
    assert [task.runs_together for task in decision.whole.tasks] == [4, 8, 8]
    nothing = decide(six, execution, Room(Limits(1001, 0), 0, (), 4), NOTHING_ASKED)
    assert (nothing.now.tasks, nothing.arrays) == ((), ())
