"""The published costs, scaled: against the formulas written out."""

import json
from dataclasses import replace

import pytest

from hpc.planning.cost import NOTHING, Cost, Range
from hpc.planning.priors import estimate, largest_that_fits, least_gpu_s, least_mem_mb, multiply_adds, n_weights
from noisy.models import build_model
from noisy.spec import Execution, RunSpec

MLP = RunSpec("mnist", "relu", "mlp", 0.1, 0, 0, 15, 512, 0.001, 0, (1024, 512, 256))
CNN = RunSpec("mnist", "relu", "cnn", 0.1, 0, 0, 20, 256, 0.001, 0)


def test_weights_are_those_of_the_networks() -> None:
    for run in (MLP, CNN, replace(MLP, hidden_sizes=(7,))):
        matrices = [p for p in build_model(run, 10).parameters() if p.dim() > 1]
        assert n_weights(run) == sum(p.numel() for p in matrices)


def test_multiply_adds_of_one_image() -> None:
    assert multiply_adds(MLP) == 784 * 1024 + 1024 * 512 + 512 * 256 + 256 * 10
    assert multiply_adds(CNN) == 784 * 9 * 32 + 196 * 9 * 32 * 64 + 3136 * 128 + 128 * 10


def test_a_gpu_takes_the_work_of_20_to_200_cores_and_a_core_of_the_host() -> None:
    found, on_cpu = estimate(CNN, Execution(use_cuda=True, runs_together=128)), estimate(CNN, Execution())
    assert found.gpu_s == found.cpu_s == found.wall_s == pytest.approx(Range(on_cpu.cpu_s.low / 200, on_cpu.cpu_s.high / 20))


@pytest.mark.parametrize("data_workers", [0, 2])
def test_a_gpus_host_holds_the_weights_of_all_runs_and_their_noise(data_workers: int) -> None:
    found = estimate(CNN, Execution(data_workers=data_workers, use_cuda=True, runs_together=64))
    numbers = n_weights(CNN) + 3 * (2 * data_workers + 1) * 256 * 28 * 28
    all_mb = 64 * 4 * numbers / 1e6
    assert found.mem_mb == pytest.approx(Range(500 + 1500 + all_mb, 1200 + 4000 + all_mb))


def test_the_least_time_of_a_gpu_is_that_of_its_steps() -> None:
    assert least_gpu_s(MLP) == pytest.approx(15 * 118 * 0.003)  # 60,000 images in batches of 512: 118 steps


def test_a_large_network_takes_more_memory_by_its_parameters() -> None:
    large = replace(MLP, hidden_sizes=(8192, 8192))
    more_mb = (n_weights(large) - n_weights(MLP)) * 16 / 1e6
    assert estimate(large, Execution()).mem_mb == pytest.approx(Range(300 + more_mb, 800 + more_mb))
    assert estimate(replace(MLP, hidden_sizes=(1,)), Execution()).mem_mb == Range(300, 800)


def test_the_least_memory_is_that_of_parameters_and_one_batch() -> None:
    assert least_mem_mb(MLP) == pytest.approx((n_weights(MLP) * 16 + 512 * (784 + 1792) * 4) / 1e6)
    assert least_mem_mb(replace(MLP, batch_size=2**31 - 1)) == least_mem_mb(replace(MLP, batch_size=60_000))
    assert least_mem_mb(CNN) < estimate(CNN, Execution()).mem_mb.low


@pytest.mark.parametrize("run", [replace(MLP, hidden_sizes=(2**31 - 1,)), replace(MLP, hidden_sizes=(10**7, 3, 10**6))])
@pytest.mark.parametrize("mem_mb", [10, 1000, 64_000])
def test_the_largest_layers_that_fit_fit_and_larger_ones_do_not(run: RunSpec, mem_mb: float) -> None:
    name, sizes = largest_that_fits(run, mem_mb).split(": ")
    assert name == "hidden_sizes"
    assert least_mem_mb(replace(run, hidden_sizes=tuple(json.loads(sizes)))) <= mem_mb
    assert least_mem_mb(replace(run, hidden_sizes=tuple(n + n // 100 + 1 for n in json.loads(sizes)))) > mem_mb


def test_the_largest_batch_that_fits() -> None:
    large = replace(CNN, batch_size=60_000)
    name, size = largest_that_fits(large, 1000).split(": ")
    assert name == "batch_size"
    assert least_mem_mb(replace(large, batch_size=int(size))) <= 1000 < least_mem_mb(replace(large, batch_size=int(size) + 1))
    assert largest_that_fits(large, 1) == ""


def test_costs_of_several_runs() -> None:
    one = Cost(Range(1, 2), NOTHING, Range(0.5, 1), Range(100, 200))
    assert one.times(3) == Cost(Range(3, 6), NOTHING, Range(1.5, 3), Range(100, 200))
    assert one.times(3, least_gpu_s=2) == Cost(Range(3, 6), Range(2, 2), Range(2, 3), Range(100, 200))
