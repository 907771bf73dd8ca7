"""Plan and estimate: every run once, classes kept apart, published costs as published."""

import math
from dataclasses import replace

import numpy as np
import pytest

from hpc.planning.cost import Range
from hpc.planning.model import Knowledge, Measured
from hpc.planning.priors import estimate
from hpc.planning.quantiles import Bounds
from hpc.planning.tasks import TASK_MAX_S, TASK_MIN_S, WORKER_MIN_S, Retry, plan
from hpc.planning.workers import FirstRequest, Limits, arrays
from hpc.request.grid import parse_grid
from noisy.models import build_model
from noisy.runs import Runs
from noisy.spec import Execution, RunSpec
from tests.specs import runs, spec

MLP = RunSpec("mnist", "relu", "mlp", 0.1, 0, 0, 15, 512, 0.001, 0, (1024, 512, 256))
CNN = RunSpec("mnist", "relu", "cnn", 0.1, 0, 0, 20, 256, 0.001, 0)
RELIABLE = parse_grid(
    "{model_types: [mlp, cnn], models: {mlp: {hidden_sizes: [1024, 512, 256], epochs: 15}, cnn: {epochs: 20}}}"
).runs()
COSTS = [estimate(run, Execution()) for run in RELIABLE]
LARGE = Limits(10_000, 10_000)
NOTHING_ASKED = FirstRequest()


def test_costs_follow_the_size_of_the_network() -> None:
    large = estimate(replace(MLP, hidden_sizes=(8192, 8192)), Execution())
    n_parameters = sum(p.numel() for p in build_model(spec(hidden_sizes=(8192, 8192)), 10).parameters())
    assert large.mem_mb.low > n_parameters * 16 / 1e6
    assert (
        estimate(replace(MLP, hidden_sizes=(256, 128)), Execution()).cpu_s.low
        < estimate(MLP, Execution()).cpu_s.low
        < large.cpu_s.low
    )


@pytest.mark.parametrize("workers", [1, 2, 7, 80, 10_000])
def test_every_run_is_in_one_task(workers: int) -> None:
    planned = plan(RELIABLE, workers, Execution())
    ids = [run_id for task in planned.tasks for run_id in task.runs.ids()]
    assert sorted(ids) == sorted(RELIABLE.ids())
    assert planned.n_runs == len(RELIABLE)
    assert planned.workers <= min(workers, len(planned.tasks))


def test_a_task_holds_one_class_and_the_longest_start_first() -> None:
    planned = plan(RELIABLE, 2, Execution())
    models = [{run.model_type for run in task.runs} for task in planned.tasks]
    n_cnn = models.index({"mlp"})
    assert models == [{"cnn"}] * n_cnn + [{"mlp"}] * (len(models) - n_cnn)


@pytest.mark.parametrize("workers", [2, 20, 80])
def test_tasks_shrink_from_a_third_of_a_workers_share_to_one_run(workers: int) -> None:
    reliable = parse_grid("{model_types: [mlp, cnn], models: {mlp: {epochs: 15}, cnn: {epochs: 20}}, repeats: 40}").runs()
    planned = plan(reliable, workers, Execution())
    lengths_s = [task.cost.wall_s.middle for task in planned.tasks]
    left_s = total_s = sum(lengths_s)
    for i, (task, length_s) in enumerate(zip(planned.tasks, lengths_s, strict=True)):
        run_s = task.per_run.wall_s.middle
        wanted_s = min(max(left_s / workers / 3, total_s / workers / 30, 5), TASK_MAX_S)
        assert length_s <= max(run_s, wanted_s) * 1.0001
        is_last_of_class = i + 1 == len(lengths_s) or planned.tasks[i + 1].per_run != task.per_run
        assert length_s + run_s > min(wanted_s, TASK_MIN_S) or is_last_of_class
        left_s -= length_s
    assert lengths_s[0] > 3 * lengths_s[-1]


def test_little_work_gets_few_workers() -> None:
    tiny = plan(runs(*(spec(repeat=i) for i in range(20))), 2, Execution())
    assert len(tiny.tasks) == 1  # starting a second worker would cost more than it saves
    minutes = plan(runs(*(replace(MLP, repeat=i, epochs=1) for i in range(12))), 80, Execution())  # 8 s each
    assert minutes.workers == pytest.approx(12 * 8 / WORKER_MIN_S, abs=1) and len(minutes.tasks) == 12
    as_asked = plan(runs(*(spec(repeat=i) for i in range(20))), 8, Execution(), runs_per_task=3)
    assert (as_asked.workers, [len(task.runs) for task in as_asked.tasks]) == (7, [2, 3, 3, 3, 3, 3, 3])


def test_costs_add_up() -> None:
    planned = plan(RELIABLE, 4, Execution())
    assert planned.cpu_s.low == pytest.approx(sum(cost.cpu_s.low for cost in COSTS))
    assert planned.wall_s.high == pytest.approx(planned.cpu_s.high / 4)
    largest_mb = max(cost.mem_mb.high for cost in COSTS)
    assert planned.mem_mb.high == pytest.approx(4 * largest_mb)
    shared_mb = COSTS[0].shared_mb
    assert replace(planned, is_forked=True).mem_mb.high == pytest.approx(4 * largest_mb - 3 * shared_mb)
    assert plan(runs(CNN), 4, Execution(cpu_threads=2)).wall_s == Range(60, 180, 120)
    later = replace(plan(runs(CNN), 4, Execution()), start_s=Range(1, 5, 2))
    assert later.wall_s == Range(121, 365, 242)


def test_a_plan_follows_what_was_measured() -> None:
    bounds = Bounds(-0.1, 0.0, 0.1, False)
    known = Knowledge({("mlp", "float32"): Measured(np.array([7.0, 0, 0, 0, 0]), (1e6, 2e6), 40, 20, bounds, bounds)})
    mlps, cnns = ([run for run in RELIABLE if run.model_type == name] for name in ("mlp", "cnn"))
    planned = plan(runs(*mlps), 4, Execution(), knowledge=known)
    assert planned.cpu_s.middle == pytest.approx(7 * len(mlps))
    assert (planned.n_hosts, plan(runs(*mlps, *cnns), 4, Execution(), knowledge=known).n_hosts) == (20, 0)


# Arrays


@pytest.mark.parametrize("workers", [1, 2, 3, 7, 80, 500])
@pytest.mark.parametrize("max_array_size", [2, 11, 101])
def test_arrays_keep_to_the_limits(workers: int, max_array_size: int) -> None:
    planned = plan(RELIABLE, workers, Execution())
    cut = arrays(planned, Limits(max_array_size, 10_000), NOTHING_ASKED)
    tasks = [index for array in cut for index in array.tasks]
    assert tasks == list(range(len(planned.tasks)))
    assert max(len(array.tasks) for array in cut) <= max_array_size  # indices from 0: the largest is below it
    assert all(1 <= array.parallel <= len(array.tasks) for array in cut)
    at_once = [array.parallel for array in cut if array.after is None]
    assert sum(at_once) <= workers
    for i, array in enumerate(cut):  # one waiting array takes the place of one that ended
        if array.after is not None:
            assert array.after < i
            assert array.parallel == cut[array.after].parallel == 1
    assert len({array.after for array in cut if array.after is not None}) == sum(array.after is not None for array in cut)


def test_workers_follow_the_cost() -> None:
    cut = arrays(plan(RELIABLE, 60, Execution()), LARGE, NOTHING_ASKED)
    costs_s = list(zip((run.model_type for run in RELIABLE), (cost.cpu_s.middle for cost in COSTS), strict=True))
    by_model = [sum(cost_s for model, cost_s in costs_s if model == name) for name in ("cnn", "mlp")]
    shares = [array.parallel for array in cut]
    assert sum(shares) == 60
    assert shares[0] / shares[1] == pytest.approx(by_model[0] / by_model[1], rel=0.1)


def test_tasks_of_an_array_are_asked_for_with_a_margin() -> None:
    three = runs(*(replace(CNN, repeat=repeat) for repeat in range(3)))
    (array,) = arrays(plan(three, 1, Execution(cpu_threads=2, data_workers=1)), LARGE, NOTHING_ASKED)
    assert array.resources.cpus == 3
    assert array.resources.mem_mb == math.ceil(1.25 * estimate(CNN, Execution()).mem_mb.high)
    n_runs_a_task = 3 / len(array.tasks)
    assert array.resources.time_limit_min == pytest.approx(n_runs_a_task * 360 * 1.25 / 2 / 60 + 3, abs=1)


@pytest.mark.parametrize("workers", [1, 4, 1000])
def test_a_gpu_task_holds_as_many_runs_as_are_trained_together(workers: int) -> None:
    execution = parse_grid("use_cuda: true").execution
    planned = plan(RELIABLE, workers, execution)
    sizes = [len(task.runs) for task in planned.tasks]
    assert sum(sizes) == len(RELIABLE) and max(sizes) <= execution.runs_together
    assert min(sizes) > execution.runs_together / 2  # few runs leave a GPU idle
    assert {array.resources.gpus for array in arrays(planned, LARGE, NOTHING_ASKED)} == {1}
    assert max(len(task.runs) for task in plan(RELIABLE, workers, execution, runs_per_task=5).tasks) == 5
    rates = runs(*(replace(run, learning_rate=rate) for run in list(RELIABLE)[:60] for rate in (0.1, 0.2)))
    for task in plan(rates, workers, execution).tasks:
        assert len({run.shape() for run in task.runs}) == 1
    threads = plan(RELIABLE, workers, replace(execution, cpu_threads=2))
    assert threads.wall_s == planned.wall_s  # the GPU does the work


def test_few_runs_on_a_gpu_have_time_to_launch_their_steps_and_memory_for_all_weights() -> None:
    execution = parse_grid("use_cuda: true").execution
    small = replace(MLP, batch_size=16, epochs=100, hidden_sizes=(32,))
    (array,) = arrays(plan(runs(small), 1, execution), LARGE, NOTHING_ASKED)
    n_steps = 100 * 60_000 / 16
    assert array.resources.time_limit_min * 60 > n_steps * 0.003
    large = replace(MLP, hidden_sizes=(4096, 4096))
    (array,) = arrays(plan(runs(large), 1, execution), LARGE, NOTHING_ASKED)
    assert array.resources.mem_mb > 128 * 4 * (784 * 4096 + 4096 * 4096) / 1e6


def test_a_run_that_was_killed_comes_alone_and_asks_for_more() -> None:
    six = runs(*(spec(repeat=i) for i in range(6)))
    third, fifth = six.ids()[2], six.ids()[4]
    planned = plan(six, 2, Execution(), {third: Retry(mem_mb=4500), fifth: Retry(time_limit_min=90)})
    assert [task.runs.ids() for task in planned.tasks if len(task.runs) == 1] == [[fifth], [third]]  # the longest first
    asked = {planned.tasks[array.tasks[0]].runs.ids()[0]: array.resources for array in arrays(planned, LARGE, NOTHING_ASKED)}
    plain = next(resources for run_id, resources in asked.items() if run_id not in (third, fifth))
    assert asked[third] == replace(plain, mem_mb=4500)
    assert asked[fifth] == replace(plain, time_limit_min=90)
    assert sum(len(task.runs) for task in planned.tasks) == 6


@pytest.mark.parametrize("cpu_threads", [1, 2, 4, 8])
def test_a_retry_is_a_floor_on_what_is_asked_for_whatever_the_threads(cpu_threads: int) -> None:
    one = runs(CNN)
    planned = plan(one, 1, Execution(cpu_threads=cpu_threads), {CNN.run_id: Retry(time_limit_min=50)})
    (array,) = arrays(planned, LARGE, NOTHING_ASKED)
    assert array.resources.time_limit_min == 50


def test_a_retry_that_asks_for_less_than_the_estimate_changes_nothing() -> None:
    (plain,) = arrays(plan(runs(CNN), 1, Execution()), LARGE, NOTHING_ASKED)
    (retried,) = arrays(plan(runs(CNN), 1, Execution(), {CNN.run_id: Retry(1, 1)}), LARGE, NOTHING_ASKED)
    assert retried.resources == plain.resources


def test_the_users_own_request_comes_first_and_a_retry_may_ask_for_more() -> None:
    asked = FirstRequest(mem_mb=4000, time_limit_min=7)
    (first,) = arrays(plan(runs(CNN), 1, Execution()), LARGE, asked)
    assert (first.resources.mem_mb, first.resources.time_limit_min) == (4000, 7)
    (again,) = arrays(plan(runs(CNN), 1, Execution(), {CNN.run_id: Retry(6000, 10.5)}), LARGE, asked)
    assert (again.resources.mem_mb, again.resources.time_limit_min) == (6000, 10)


def test_costs_have_a_field_for_each_kind_of_second() -> None:
    threads = estimate(CNN, Execution(cpu_threads=4))
    assert threads.cpu_s == estimate(CNN, Execution()).cpu_s
    assert threads.wall_s == threads.cpu_s.scaled(1 / 4)
    assert threads.gpu_s == Range(0, 0)
    on_gpu = estimate(CNN, Execution(use_cuda=True, cpu_threads=4))
    assert on_gpu.gpu_s == on_gpu.wall_s != Range(0, 0)


def test_attempts_that_recorded_nothing_halve_the_groups_of_their_task() -> None:
    execution = parse_grid("use_cuda: true").execution
    six = runs(*(spec(repeat=i) for i in range(6)))
    (task,) = plan(six, 1, execution, empty_attempts={six.ids()[3]: 2, "0" * 16: 5}).tasks
    assert task.runs_together == execution.runs_together / 4
    (alone,) = plan(six, 1, execution, empty_attempts={six.ids()[3]: 20}).tasks
    assert alone.runs_together == 1
    (plain,) = plan(six, 1, execution).tasks
    assert plain.runs_together == execution.runs_together


def test_runs_of_one_class_stay_in_the_order_in_which_results_are_wanted() -> None:
    many = RELIABLE.take(RELIABLE.cell == RELIABLE.cell[0])
    planned = plan(many, 2, Execution(), runs_per_task=7)
    assert max(len(task.runs) for task in planned.tasks) <= 7
    assert Runs.joined([task.runs for task in planned.tasks]) == many


def test_a_run_that_needs_more_time_starts_with_the_longest() -> None:
    cnn, mlps = CNN, [replace(MLP, repeat=i) for i in range(3)]
    planned = plan(runs(cnn, *mlps), 2, Execution(), {mlps[1].run_id: Retry(time_limit_min=5)})  # 300 s; a CNN takes 240 s
    assert [task.runs.ids()[0] for task in planned.tasks][:2] == [mlps[1].run_id, cnn.run_id]


def test_a_retried_run_on_a_gpu_launches_its_steps_too() -> None:
    execution = parse_grid("use_cuda: true").execution
    (task,) = plan(runs(MLP), 1, execution, {MLP.run_id: Retry(mem_mb=9000)}).tasks
    assert task.least_gpu_s == pytest.approx(15 * 118 * 0.003)
    (on_cpu,) = plan(runs(MLP), 1, Execution(), {MLP.run_id: Retry(mem_mb=9000)}).tasks
    (plain,) = plan(runs(MLP), 1, Execution()).tasks
    assert on_cpu.least_gpu_s == plain.least_gpu_s == 0
