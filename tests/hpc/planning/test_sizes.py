"""The size of a run: against the real networks, and against the formulas written out."""

import json
from dataclasses import replace

import pytest

from hpc.planning.sizes import (
    TERMS,
    data_mb,
    largest_that_fits,
    least_mem_mb,
    multiply_adds,
    n_weights,
    terms,
    training_mb,
)
from noisy.models import IMAGES_AT_ONCE, build_model
from noisy.spec import RunSpec

MLP = RunSpec("mnist", "relu", "mlp", 0.1, 0, 0, 15, 512, 0.001, 0, (1024, 512, 256))
CNN = RunSpec("mnist", "relu", "cnn", 0.1, 0, 0, 20, 256, 0.001, 0)


def test_weights_are_those_of_the_networks() -> None:
    for run in (MLP, CNN, replace(MLP, hidden_sizes=(7,))):
        matrices = [p for p in build_model(run, 10).parameters() if p.dim() > 1]
        assert n_weights(run) == sum(p.numel() for p in matrices)


def test_multiply_adds_of_one_image() -> None:
    assert multiply_adds(MLP) == 784 * 1024 + 1024 * 512 + 512 * 256 + 256 * 10
    assert multiply_adds(CNN) == 784 * 9 * 32 + 196 * 9 * 32 * 64 + 3136 * 128 + 128 * 10


def test_the_least_memory_is_that_of_parameters_and_one_batch() -> None:
    assert least_mem_mb(MLP) == pytest.approx((n_weights(MLP) * 16 + 512 * (784 + 1792) * 4) / 1e6)
    assert least_mem_mb(replace(MLP, batch_size=2**31 - 1)) == least_mem_mb(replace(MLP, batch_size=60_000))


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


def test_the_terms_of_a_run() -> None:
    run = replace(MLP, max_train_samples=1000, batch_size=300, epochs=2)
    counted = dict(zip(TERMS, terms(run), strict=True))
    assert counted == {
        "start": 1,
        "products": 2 * (3 * 1000 + 10_000) * multiply_adds(run),
        "images": 2 * 1000,
        "updates": 2 * 4 * n_weights(run),  # 1,000 images in batches of 300: 4 steps
        "steps": 2 * 4,
    }


def test_memory_of_training_is_that_of_the_images_handled_at_once() -> None:
    for run, units in ((MLP, 1792), (CNN, 784 * 32 + 196 * 64 + 128)):
        at_once = IMAGES_AT_ONCE[run.model_type]
        for batch_size in (at_once, 10 * at_once):
            outputs = batch_size * 784 + at_once * units
            found = training_mb(replace(run, batch_size=batch_size))
            assert found == pytest.approx((n_weights(run) * 16 + outputs * 4) / 1e6)
    assert data_mb(MLP) == 70_000 * 785 / 1e6
