"""Runs that are trained together give the same results as alone. The slow oracle is noisy.training, run by run."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from noisy.data import Data
from noisy.models import build_model
from noisy.processor import this_processor
from noisy.result import RunResult
from noisy.spec import ACTIVATION_NAMES, MODEL_TYPES, PRECISIONS, Execution, RunSpec
from noisy.stacked import Stacked
from noisy.together import train_together
from noisy.training import train
from tests.specs import spec

SMALL = {
    "mlp": spec(hidden_sizes=(32, 16), max_train_samples=400),
    "cnn": spec(model_type="cnn", epochs=1, batch_size=32, max_train_samples=40),
}
CPU = torch.device("cpu")


def fewer(digits: Data) -> Data:
    """The data set with its first 35 test images: most of the time of so small a CNN is that of its test set."""
    return replace(digits, test_images=digits.test_images[:35], test_labels=digits.test_labels[:35])


def in_company(shape: RunSpec) -> list[RunSpec]:
    """Each activation, p from none to all, two repeats and two seeds, not in any order."""
    changes = zip(ACTIVATION_NAMES, itertools.cycle((0.0, 0.5, 1.0)), itertools.cycle((0, 1)), (7, 8, 7, 7, 8), strict=False)
    one_each = [replace(shape, activation=a, p=p, repeat=repeat, seed=seed) for a, p, repeat, seed in changes]
    return [*one_each, replace(one_each[1], p=0.9), replace(one_each[0], repeat=3)]


def assert_same_but_for_rounding(ours: RunResult, theirs: RunResult, rel: float, most_flips: int = 3) -> None:
    """most_flips: images on the border between two classes, of those of the test set."""
    assert ours.status == theirs.status
    assert (ours.n_test, ours.n_parameters) == (theirs.n_test, theirs.n_parameters)
    np.testing.assert_allclose(ours.train_loss, theirs.train_loss, rtol=rel)
    np.testing.assert_allclose(ours.test_loss, theirs.test_loss, rtol=rel)
    right = [np.unpackbits(result.correct, count=result.n_test) for result in (ours, theirs)]
    assert (right[0] != right[1]).sum() <= most_flips
    assert ours.n_correct == right[0].sum() == round(ours.test_accuracy[-1] * ours.n_test)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("model_type", ["mlp", pytest.param("cnn", marks=pytest.mark.slow)])
def test_a_run_in_company_is_the_run_alone(model_type: str, precision: str, digits: Data) -> None:
    if precision == "bfloat16" and this_processor().bfloat16_refusal:
        pytest.skip(this_processor().bfloat16_refusal)
    runs = in_company(replace(SMALL[model_type], precision=precision))
    data, most_flips = (fewer(digits), 1) if model_type == "cnn" else (digits, 3)
    for run, result in zip(runs, train_together(runs, data), strict=True):
        assert_same_but_for_rounding(result, train(run, data), 1e-4 if precision == "float32" else 1e-2, most_flips)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_networks_side_by_side_have_the_outputs_and_gradients_of_each(model_type: str, digits: Data) -> None:
    runs = sorted(in_company(SMALL[model_type]), key=lambda run: run.activation)
    networks = [build_model(run, 10).double() for run in runs]
    stacked = Stacked(networks, CPU)
    images = torch.rand((len(runs), 6, 1, 28, 28), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    logits = stacked(images)
    (logits.square() * torch.arange(1, len(runs) + 1).view(-1, 1, 1)).sum().backward()
    gradients = [parameter.grad for parameter in stacked.parameters()]
    for place, (network, some) in enumerate(zip(networks, images, strict=True)):
        alone = network(some)
        (alone.square() * (place + 1)).sum().backward()
        assert (logits[place] - alone).abs().max() < 1e-10 * alone.abs().max()
        for ours, theirs in zip(gradients, network.parameters(), strict=True):
            assert (ours[place] - theirs.grad).abs().max() < 1e-10 * theirs.grad.abs().max()


def test_one_that_diverges_harms_no_other(digits: Data) -> None:
    shape = spec(learning_rate=1e16, epochs=3, hidden_sizes=(32, 32))
    runs = [replace(shape, activation="relu"), replace(shape, activation="sigmoid")]
    relu, sigmoid = train_together(runs, digits)
    assert relu.status == "diverged" and np.isnan(relu.test_accuracy[1:]).all()
    assert sigmoid.status != "diverged" and np.isfinite(sigmoid.test_loss).all()
    alone = train(runs[0], digits)
    assert alone.status == "diverged"
    np.testing.assert_array_equal(np.isfinite(relu.train_loss), np.isfinite(alone.train_loss))


@pytest.mark.parametrize("data_workers", [1, 3])
def test_who_draws_the_noise_changes_no_bit(data_workers: int, digits: Data) -> None:
    runs = in_company(SMALL["mlp"])
    plain = train_together(runs, digits)
    other = train_together(runs, digits, Execution(data_workers=data_workers))
    for ours, theirs in zip(plain, other, strict=True):
        np.testing.assert_array_equal(ours.train_loss, theirs.train_loss)
        np.testing.assert_array_equal(ours.correct, theirs.correct)


def test_results_are_in_the_order_in_which_runs_are_given(digits: Data) -> None:
    runs = in_company(SMALL["mlp"])
    for ours, theirs in zip(train_together(runs, digits), train_together(runs[::-1], digits)[::-1], strict=True):
        assert_same_but_for_rounding(ours, theirs, rel=1e-6)


@pytest.mark.parametrize("p", [1e-46, 1e-40, 1e-9])
def test_a_p_below_the_resolution_of_the_noise_is_a_p_of_nearly_none(p: float, digits: Data) -> None:
    run = spec(p=p, epochs=1)
    clean = train(replace(run, p=0.0), digits)
    for result in (train(run, digits), *train_together([run], digits)):
        assert_same_but_for_rounding(result, clean, rel=1e-4)


def test_runs_of_two_shapes_are_refused(digits: Data) -> None:
    with pytest.raises(ValueError, match="runs of 2 shapes"):
        train_together([spec(), spec(learning_rate=0.1)], digits)


def test_a_shape_is_what_a_product_of_all_needs() -> None:
    assert spec().shape() == spec(activation="gelu", p=1.0, repeat=5, seed=9).shape()
    for change in ({"hidden_sizes": (33,)}, {"epochs": 3}, {"batch_size": 9}, {"weight_decay": 0.1}, {"precision": "bfloat16"}):
        assert spec().shape() != spec(**change).shape()


def test_global_random_state_is_not_touched(digits: Data) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    train_together(in_company(SMALL["mlp"]), digits)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_gpu_finds_what_the_cpu_finds(model_type: str, precision: str, digits: Data) -> None:
    runs = in_company(replace(SMALL[model_type], precision=precision))
    on_gpu = train_together(runs, digits, Execution(use_cuda=True))
    assert torch.cuda.max_memory_allocated() > 0
    for run, result in zip(runs, on_gpu, strict=True):
        theirs = train(replace(run, precision="float32"), digits)
        rel, most_flips = (1e-3, 3) if precision == "float32" else (5e-2, 40)
        assert_same_but_for_rounding(result, theirs, rel, most_flips)
        alone = train(run, digits, Execution(use_cuda=True))
        assert_same_but_for_rounding(result, alone, rel=1e-4 if precision == "float32" else 1e-2)
