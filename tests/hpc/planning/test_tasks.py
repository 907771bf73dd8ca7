"""Plan and estimate: every run once, classes kept apart, published costs as published."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from hpc.planning.cost import Range
from hpc.planning.deadline import end_of
from hpc.planning.model import Knowledge, Measured
from hpc.planning.priors import estimate
from hpc.planning.quantiles import Bounds
from hpc.planning.tasks import TASK_MAX_S, TASK_MIN_S, WORKER_MIN_S, Retry, plan
from hpc.request.grid import parse_grid
from noisy.runs import Runs
from noisy.spec import Execution, RunSpec
from tests.specs import runs, spec

MLP = RunSpec("mnist", "relu", "mlp", 0.1, 0, 0, 15, 512, 0.001, 0, (1024, 512, 256))
CNN = RunSpec("mnist", "relu", "cnn", 0.1, 0, 0, 20, 256, 0.001, 0)
RELIABLE = parse_grid(
    "{model_types: [mlp, cnn], models: {mlp: {hidden_sizes: [1024, 512, 256], epochs: 15}, cnn: {epochs: 20}}}"
).runs()
COSTS = [estimate(run, Execution()) for run in RELIABLE]


def test_costs_follow_the_size_of_the_network() -> None:
    large = estimate(replace(MLP, hidden_sizes=(8192, 8192)), Execution())
    n_parameters = sum((n_in + 1) * n_out for n_in, n_out in itertools.pairwise((784, 8192, 8192, 10)))
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
        assert length_s <= max(run_s, wanted_s + run_s / 2) * 1.0001
        is_last_of_class = i + 1 == len(lengths_s) or planned.tasks[i + 1].per_run != task.per_run
        assert length_s + run_s > min(wanted_s, TASK_MIN_S) or is_last_of_class
        left_s -= length_s
    assert lengths_s[0] > 3 * lengths_s[-1]


def test_little_work_gets_few_workers() -> None:
    tiny = plan(runs(*(spec(repeat=i) for i in range(20))), 2, Execution())
    assert (tiny.workers, len(tiny.tasks)) == (1, 1)  # starting a second worker would cost more than it saves
    seconds = plan(runs(*(replace(MLP, repeat=i, epochs=1) for i in range(2))), 80, Execution())  # 8 s each
    assert seconds.workers == 1
    minutes = plan(runs(*(replace(MLP, repeat=i, epochs=1) for i in range(12))), 80, Execution())  # 8 s each
    assert minutes.workers == pytest.approx(12 * 8 / WORKER_MIN_S, abs=1) and len(minutes.tasks) == 12
    as_asked = plan(runs(*(spec(repeat=i) for i in range(20))), 8, Execution(), runs_per_task=3)
    assert (as_asked.workers, [len(task.runs) for task in as_asked.tasks]) == (7, [2, 3, 3, 3, 3, 3, 3])


def test_costs_add_up() -> None:
    planned = plan(RELIABLE, 4, Execution())
    assert planned.cpu_s.low == pytest.approx(sum(cost.cpu_s.low for cost in COSTS))
    largest_mb = max(cost.mem_mb.high for cost in COSTS)
    assert planned.mem_mb.high == pytest.approx(4 * largest_mb)
    shared_mb = COSTS[0].shared_mb
    assert replace(planned, is_forked=True).mem_mb.high == pytest.approx(4 * largest_mb - 3 * shared_mb)


def test_a_plan_follows_what_was_measured() -> None:
    bounds = Bounds(-0.1, 0.0, 0.1, False)
    known = Knowledge({("mlp", "float32"): Measured(np.array([7.0, 0, 0, 0, 0]), (1e6, 2e6), 40, 20, bounds, bounds)})
    mlps, cnns = ([run for run in RELIABLE if run.model_type == name] for name in ("mlp", "cnn"))
    planned = plan(runs(*mlps), 4, Execution(), knowledge=known)
    assert planned.cpu_s.middle == pytest.approx(7 * len(mlps))
    assert (planned.n_hosts, plan(runs(*mlps, *cnns), 4, Execution(), knowledge=known).n_hosts) == (20, 0)


@pytest.mark.parametrize("workers", [1, 4, 1000])
def test_a_gpu_task_holds_as_many_runs_as_are_trained_together(workers: int) -> None:
    execution = parse_grid("use_cuda: true").execution
    planned = plan(RELIABLE, workers, execution)
    sizes = [len(task.runs) for task in planned.tasks]
    assert sum(sizes) == len(RELIABLE) and max(sizes) <= execution.runs_together
    assert min(sizes) > execution.runs_together / 2  # few runs leave a GPU idle
    assert max(len(task.runs) for task in plan(RELIABLE, workers, execution, runs_per_task=5).tasks) == 5
    rates = runs(*(replace(run, learning_rate=rate) for run in list(RELIABLE)[:60] for rate in (0.1, 0.2)))
    for task in plan(rates, workers, execution).tasks:
        assert len({run.shape() for run in task.runs}) == 1
    threads = plan(RELIABLE, workers, replace(execution, cpu_threads=2))
    assert end_of(threads) == end_of(planned)  # the GPU does the work


def test_a_run_that_was_killed_comes_alone() -> None:
    six = runs(*(spec(repeat=i) for i in range(6)))
    third, fifth = six.ids()[2], six.ids()[4]
    planned = plan(six, 2, Execution(), {third: Retry(mem_mb=4500), fifth: Retry(time_limit_min=90)})
    assert [task.runs.ids() for task in planned.tasks if len(task.runs) == 1] == [[fifth], [third]]  # the longest first
    assert sum(len(task.runs) for task in planned.tasks) == 6


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
