"""Plan and estimate: every run once, classes kept apart, published costs as published."""

from dataclasses import replace

import pytest

from hpc.estimate import Range, estimate
from hpc.grid import parse_grid
from hpc.plan import TASK_MAX_S, TASK_MIN_S, Retry, arrays, plan
from noisy.models import build_model
from noisy.spec import Execution, RunSpec, spec_of
from tests.specs import spec, texts

MLP = RunSpec("mnist", "relu", "mlp", 0.1, 0, 0, 15, 512, 0.001, 0, (1024, 512, 256))
CNN = RunSpec("mnist", "relu", "cnn", 0.1, 0, 0, 20, 256, 0.001, 0)
RELIABLE = parse_grid(
    "{model_types: [mlp, cnn], models: {mlp: {hidden_sizes: [1024, 512, 256], epochs: 15}, cnn: {epochs: 20}}}"
).runs()
COSTS = [estimate(spec_of(text)) for text in RELIABLE.values()]


def test_published_costs_are_met() -> None:
    assert estimate(MLP).cpu_s == pytest.approx(Range(60, 180))
    assert estimate(MLP).mem_mb == Range(300, 800)
    assert estimate(CNN).cpu_s == pytest.approx(Range(120, 360))
    assert estimate(CNN).mem_mb == Range(500, 1200)


def test_costs_are_linear_in_epochs_and_samples() -> None:
    for run in (MLP, CNN):
        whole = estimate(run).cpu_s
        assert estimate(replace(run, epochs=run.epochs * 3)).cpu_s == pytest.approx(whole.scaled(3))
        assert estimate(replace(run, max_train_samples=6000)).cpu_s == pytest.approx(whole.scaled(0.1))


def test_costs_follow_the_size_of_the_network() -> None:
    large = estimate(replace(MLP, hidden_sizes=(8192, 8192)))
    n_parameters = sum(p.numel() for p in build_model(spec(hidden_sizes=(8192, 8192)), 10).parameters())
    assert large.mem_mb.low > n_parameters * 16 / 1e6
    assert estimate(replace(MLP, hidden_sizes=(256, 128))).cpu_s.low < estimate(MLP).cpu_s.low < large.cpu_s.low


@pytest.mark.parametrize("workers", [1, 2, 7, 80, 10_000])
def test_every_run_is_in_one_task(workers: int) -> None:
    planned = plan(RELIABLE, workers, Execution())
    runs = [run for task in planned.tasks for run in task.runs.items()]
    assert len(runs) == len(RELIABLE)
    assert dict(runs) == RELIABLE
    assert planned.n_runs == len(RELIABLE)
    assert planned.workers <= min(workers, len(planned.tasks))


def test_a_task_holds_one_class_and_the_longest_start_first() -> None:
    planned = plan(RELIABLE, 2, Execution())
    models = [{spec_of(text).model_type for text in task.runs.values()} for task in planned.tasks]
    n_cnn = models.index({"mlp"})
    assert models == [{"cnn"}] * n_cnn + [{"mlp"}] * (len(models) - n_cnn)


def test_tasks_are_neither_short_nor_long() -> None:
    planned = plan(RELIABLE, 2, Execution())
    lengths_s = [task.cpu_s.middle for task in planned.tasks]
    assert TASK_MIN_S < min(lengths_s) < max(lengths_s) < 1.5 * TASK_MAX_S
    tiny = plan(texts(*(spec(repeat=i) for i in range(20))), 2, Execution())
    assert len(tiny.tasks) == 1  # starting a second worker would cost more than it saves


def test_costs_add_up() -> None:
    planned = plan(RELIABLE, 4, Execution())
    assert planned.cpu_s.low == pytest.approx(sum(cost.cpu_s.low for cost in COSTS))
    assert planned.wall_s.high == pytest.approx(planned.cpu_s.high / 4)
    assert planned.mem_mb == Range(4 * 500, 4 * 1200)
    assert plan(texts(CNN), 4, Execution(cpu_threads=2)).wall_s == pytest.approx(Range(60, 180))


# Arrays


@pytest.mark.parametrize("workers", [1, 2, 3, 7, 80, 500])
@pytest.mark.parametrize("max_array_size", [2, 11, 101])
def test_arrays_keep_to_the_limits(workers: int, max_array_size: int) -> None:
    planned = plan(RELIABLE, workers, Execution())
    cut = arrays(planned, max_array_size)
    tasks = [index for array in cut for index in range(array.first_task, array.first_task + array.n_tasks)]
    assert tasks == list(range(len(planned.tasks)))
    assert max(array.n_tasks for array in cut) <= max_array_size  # indices from 0: the largest is below it
    assert all(1 <= array.parallel <= array.n_tasks for array in cut)
    at_once = [array.parallel for array in cut if array.after is None]
    assert sum(at_once) <= workers
    for i, array in enumerate(cut):  # one waiting array takes the place of one that ended
        if array.after is not None:
            assert array.after < i
            assert array.parallel == cut[array.after].parallel == 1
    assert len({array.after for array in cut if array.after is not None}) == sum(array.after is not None for array in cut)


def test_workers_follow_the_cost() -> None:
    cut = arrays(plan(RELIABLE, 60, Execution()), 10_000)
    cnn_s, mlp_s = (sum(cost.cpu_s.middle for cost in COSTS if (cost.mem_mb.high == 1200) is cnn) for cnn in (True, False))
    shares = [array.parallel for array in cut]
    assert sum(shares) == 60
    assert shares[0] / shares[1] == pytest.approx(cnn_s / mlp_s, rel=0.1)


def test_tasks_of_an_array_are_asked_for_with_a_margin() -> None:
    runs = texts(*(replace(CNN, repeat=repeat) for repeat in range(3)))
    (array,) = arrays(plan(runs, 1, Execution(cpu_threads=2, data_workers=1)), 101)
    assert array.resources.cpus == 3
    assert array.resources.mem_mb == 1500
    n_runs_a_task = 3 / array.n_tasks
    assert array.resources.time_limit_min == pytest.approx(n_runs_a_task * 360 * 1.25 / 2 / 60 + 3, abs=1)


@pytest.mark.parametrize("workers", [1, 4, 1000])
def test_a_gpu_task_holds_as_many_runs_as_are_trained_together(workers: int) -> None:
    execution = parse_grid("use_cuda: true").execution
    planned = plan(RELIABLE, workers, execution)
    sizes = [len(task.runs) for task in planned.tasks]
    assert sum(sizes) == len(RELIABLE) and max(sizes) <= execution.runs_together
    assert min(sizes) > execution.runs_together / 2  # few runs leave a GPU idle
    assert {array.resources.gpus for array in arrays(planned, 101)} == {1}
    assert max(len(task.runs) for task in plan(RELIABLE, workers, execution, runs_per_task=5).tasks) == 5
    rates = texts(*(replace(spec_of(text), learning_rate=rate) for text in list(RELIABLE.values())[:60] for rate in (0.1, 0.2)))
    for task in plan(rates, workers, execution).tasks:
        assert len({spec_of(text).shape() for text in task.runs.values()}) == 1
    threads = plan(RELIABLE, workers, replace(execution, cpu_threads=2))
    assert threads.wall_s == planned.wall_s  # the GPU does the work


def test_few_runs_on_a_gpu_have_time_to_launch_their_steps_and_memory_for_all_weights() -> None:
    execution = parse_grid("use_cuda: true").execution
    small = replace(MLP, batch_size=16, epochs=100, hidden_sizes=(32,))
    (array,) = arrays(plan(texts(small), 1, execution), 101)
    n_steps = 100 * 60_000 / 16
    assert array.resources.time_limit_min * 60 > n_steps * 0.003
    large = replace(MLP, hidden_sizes=(4096, 4096))
    (array,) = arrays(plan(texts(large), 1, execution), 101)
    assert array.resources.mem_mb > 128 * 4 * (784 * 4096 + 4096 * 4096) / 1e6


def test_a_run_that_was_killed_comes_alone_and_asks_for_more() -> None:
    runs = texts(*(spec(repeat=i) for i in range(6)))
    third, fifth = list(runs)[2], list(runs)[4]
    planned = plan(runs, 2, Execution(), {third: Retry(mem_mb=4500), fifth: Retry(time_limit_min=90)})
    assert [set(task.runs) for task in planned.tasks if len(task.runs) == 1] == [{fifth}, {third}]  # the longest first
    asked = {next(iter(planned.tasks[array.first_task].runs)): array.resources for array in arrays(planned, 101)}
    assert asked[third].mem_mb == 4500
    assert asked[fifth].time_limit_min >= 90
    assert sum(len(task.runs) for task in planned.tasks) == 6
