"""The cost of a run: as published, scaled, where nothing was measured; as measured, where its kind was."""

import math
from dataclasses import replace

import numpy as np
import pytest

from hpc.planning.cost import NOTHING, Cost, Range
from hpc.planning.model import PUBLISHED, Knowledge, Measured
from hpc.planning.priors import estimate, least_gpu_s
from hpc.planning.published import IMPORT_MB
from hpc.planning.quantiles import Bounds
from hpc.planning.sizes import data_mb, multiply_adds, n_weights, terms, training_mb
from noisy.spec import Execution, RunSpec

MLP = RunSpec("mnist", "relu", "mlp", 0.1, 0, 0, 15, 512, 0.001, 0, (1024, 512, 256))
CNN = RunSpec("mnist", "relu", "cnn", 0.1, 0, 0, 20, 256, 0.001, 0)
COEFFICIENTS = np.array([0.1, 2e-11, 1e-5, 1e-9, 1e-3])
KNOWN = Knowledge(
    {
        ("mlp", "float32"): Measured(
            COEFFICIENTS, (1e6, 2e6), 30, 1, Bounds(-0.1, 0.0, 0.2, True), Bounds(0.5, math.log(2), 1.0, True)
        )
    },
    import_mb=200,
    growth_mb=Range(10, 90, 30),
)


def test_published_costs_are_met_and_scale_with_the_terms() -> None:
    assert estimate(MLP, Execution()).cpu_s == pytest.approx(Range(60, 180))
    assert estimate(CNN, Execution()).cpu_s == pytest.approx(Range(120, 360))
    for run in (MLP, CNN):
        whole_s = estimate(run, Execution()).cpu_s.middle
        assert estimate(replace(run, epochs=run.epochs * 3), Execution()).cpu_s.middle == pytest.approx(3 * whole_s, rel=0.01)
        tenth_s = estimate(replace(run, max_train_samples=6000), Execution()).cpu_s.middle
        assert 0.1 * whole_s < tenth_s < 0.2 * whole_s  # each epoch still evaluates all test images


def test_a_measured_kind_costs_what_was_measured_and_not_what_was_published() -> None:
    found, model_s = estimate(MLP, Execution(cpu_threads=4), KNOWN), float(COEFFICIENTS @ terms(MLP))
    assert (found.cpu_s.low, found.cpu_s.middle, found.cpu_s.high) == pytest.approx(
        (model_s * math.exp(-0.1), model_s, model_s * math.exp(0.2))
    )
    assert found.wall_s.middle == pytest.approx(2 * model_s)  # as measured: threads are not taken into account again
    assert found.wall_s.high == pytest.approx(math.e * model_s)


@pytest.mark.parametrize(
    "run", [CNN, replace(MLP, precision="bfloat16"), replace(MLP, hidden_sizes=(64,)), replace(MLP, hidden_sizes=(4096, 4096))]
)
def test_what_was_never_measured_has_the_published_costs(run: RunSpec) -> None:
    assert KNOWN.of(run) is None
    assert estimate(run, Execution(), KNOWN).cpu_s == estimate(run, Execution(), PUBLISHED).cpu_s


def test_a_network_up_to_three_times_as_large_as_measured_ones_is_known() -> None:
    for sizes in ((1024, 512, 256), (512, 256), (2048, 1024, 512)):
        run = replace(MLP, hidden_sizes=sizes)
        assert (KNOWN.of(run) is not None) == (1e6 / 3 <= multiply_adds(run) <= 2e6 * 3)
    assert KNOWN.of(replace(MLP, hidden_sizes=(512, 256))) is not None


def test_threads_share_a_published_cost() -> None:
    found = estimate(CNN, Execution(cpu_threads=4))
    assert found.cpu_s == estimate(CNN, Execution()).cpu_s
    assert found.wall_s == found.cpu_s.scaled(1 / 4)


def test_memory_is_that_of_the_import_the_data_training_and_the_growth_of_a_worker() -> None:
    found = estimate(MLP, Execution(), KNOWN)
    assert found.shared_mb == 200 + data_mb(MLP)
    assert found.mem_mb == pytest.approx(Range(10, 90, 30) + Range(*2 * [200 + data_mb(MLP) + training_mb(MLP)]))
    assert estimate(MLP, Execution()).mem_mb.high >= IMPORT_MB["cuda"] + 96


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


def test_costs_of_several_runs() -> None:
    one = Cost(Range(1, 2), NOTHING, Range(0.5, 1), Range(100, 200))
    assert one.times(3) == Cost(Range(3, 6), NOTHING, Range(1.5, 3), Range(100, 200))
    assert one.times(3, least_gpu_s=2) == Cost(Range(3, 6), Range(2, 2), Range(2, 3), Range(100, 200))


def test_sums_keep_the_expected_value() -> None:
    assert (Range(1, 9, 3) + Range(2, 4)).middle == 3 + 3
    assert sum([Range(1, 9, 3)] * 4, NOTHING) == Range(4, 36, 12) == Range(1, 9, 3).scaled(4)
    assert Range(1, 9, 3).at_least(5) == Range(5, 9, 5)
