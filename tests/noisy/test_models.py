"""Laws of the networks, against plain modules and torch's own layers."""

import copy
import inspect
import random

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import reference
from noisy.batches import scale
from noisy.data import Data
from noisy.device import fast_arithmetic
from noisy.extend import find, registered
from noisy.models import IMAGES_AT_ONCE, build_model
from noisy.spec import ACTIVATION_NAMES, MODEL_TYPES, RunSpec
from noisy.training import train, train_one_epoch
from tests.distributions import are_of_one_law
from tests.specs import spec

MLP_256_128 = (784 * 256 + 256) + (256 * 128 + 128) + (128 * 10 + 10)
MLP_1024_512_256 = (784 * 1024 + 1024) + (1024 * 512 + 512) + (512 * 256 + 256) + (256 * 10 + 10)
CNN = (1 * 9 * 32 + 32) + (32 * 9 * 64 + 64) + (64 * 7 * 7 * 128 + 128) + (128 * 10 + 10)

EVERY_MODEL = [
    spec(model_type=model_type, activation=activation) for model_type in MODEL_TYPES for activation in ACTIVATION_NAMES
]


def _name(run: RunSpec) -> str:
    return f"{run.model_type}-{run.activation}"


def _global_state() -> tuple:
    """Of all three global generators."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state().numpy().tobytes(), name, keys.tobytes(), *rest, random.getstate()


@pytest.mark.parametrize(
    ("run", "n_parameters"),
    [
        (spec(hidden_sizes=None), MLP_256_128),
        (spec(hidden_sizes=(1024, 512, 256)), MLP_1024_512_256),
        (spec(model_type="cnn"), CNN),
    ],
)
def test_numbers_of_parameters(run: RunSpec, n_parameters: int) -> None:
    assert sum(parameter.numel() for parameter in build_model(run, 10).parameters()) == n_parameters


def test_the_sums_are_the_published_sizes() -> None:
    assert (MLP_256_128, MLP_1024_512_256, CNN) == (235_146, 1_462_538, 421_642)


def test_every_name_that_a_spec_allows_can_be_built() -> None:
    assert tuple(registered("").activation) == ACTIVATION_NAMES
    assert tuple(registered("").model) == MODEL_TYPES


def test_the_slope_of_leaky_relu_is_a_tenth() -> None:
    assert find("activation", "leaky_relu")()(torch.tensor([-2.0, 3.0])).tolist() == pytest.approx([-0.2, 3.0])


@pytest.mark.parametrize("run", EVERY_MODEL, ids=_name)
def test_the_activation_stands_after_every_hidden_layer(run: RunSpec) -> None:
    kind = type(find("activation", run.activation)())
    assert sum(type(layer) is kind for layer in build_model(run, 10)) == (1 if run.model_type == "mlp" else 3)


@pytest.mark.parametrize("run", [spec(hidden_sizes=(256, 128)), spec(model_type="cnn")], ids=_name)
def test_initial_weights_have_the_law_of_torchs_default(run: RunSpec) -> None:
    torch.manual_seed(0)
    for ours in build_model(run, 10):
        if isinstance(ours, nn.Linear | nn.Conv2d):
            theirs = copy.deepcopy(ours)
            theirs.reset_parameters()
            for name in ("weight", "bias"):
                mine, its = (getattr(layer, name).detach().numpy().ravel() for layer in (ours, theirs))
                assert are_of_one_law(mine, its)
                assert not np.array_equal(mine, its)


@pytest.mark.parametrize("run", [spec(repeat=3), spec(repeat=3, model_type="cnn")], ids=_name)
def test_the_initial_weights_never_change(run: RunSpec) -> None:
    """They are part of every recorded result: one stream, layer after layer, the weights of each before its biases."""
    generator = np.random.Generator(np.random.SFC64(np.random.SeedSequence(1234, spawn_key=(0, 3))))
    for layer in build_model(run, 10):
        if isinstance(layer, nn.Linear | nn.Conv2d):
            bound = (layer.weight.numel() / layer.weight.shape[0]) ** -0.5
            for parameter in (layer.weight, layer.bias):
                expected = bound * (2 * generator.random(tuple(parameter.shape), dtype=np.float32) - 1)
                assert np.abs(parameter.detach().numpy() - expected).max() < 1e-6 * bound


def test_initial_weights_are_a_function_of_seed_and_repeat() -> None:
    def weights(run: RunSpec) -> bytes:
        return torch.nn.utils.parameters_to_vector(build_model(run, 10).parameters()).detach().numpy().tobytes()

    assert weights(spec()) == weights(spec(p=0.9, activation="gelu", epochs=7, batch_size=3))
    assert len({weights(run) for run in (spec(), spec(repeat=1), spec(seed=1), spec(seed=1234 + 2**32))}) == 4


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_no_global_generator_is_touched(model_type: str, digits: Data) -> None:
    run = spec(model_type=model_type, max_train_samples=200)
    before = _global_state()
    build_model(run, 10)
    assert _global_state() == before
    train(run, digits)
    assert _global_state() == before


def _with_weights_of(model: nn.Module, plain: nn.Module) -> nn.Module:
    for theirs, ours in zip(plain.parameters(), model.parameters(), strict=True):
        theirs.data = ours.data.to(torch.float64)
    return plain


def _images_and_labels(digits: Data, n_images: int) -> tuple[torch.Tensor, torch.Tensor]:
    images = scale(digits.train_images[:n_images])
    noisy = torch.where(torch.from_numpy(np.random.default_rng(0).random(images.shape) < 0.5), images.flip(0), images)
    return noisy, torch.from_numpy(digits.train_labels[:n_images].astype(np.int64))


class _Gradients:
    """Stands where the optimizer does: keeps the gradients that it is given."""

    def __init__(self, model: nn.Module) -> None:
        self._model, self.found = model, list[torch.Tensor]()

    def step(self) -> None:
        self.found = [parameter.grad.clone() for parameter in self._model.parameters()]


@pytest.mark.parametrize("run", EVERY_MODEL, ids=_name)
def test_outputs_and_gradients_are_those_of_the_plain_network_in_float64(run: RunSpec, digits: Data) -> None:
    """Of a batch that goes through in several pieces, by the production's own loop and on its way of computing products.

    Few images many times: among many images some pooling window has two pixels that are equal but for rounding, and its
    gradient then goes to the one in float32 (the reference's, too) and to the other in float64.
    """
    model = build_model(run, 10).to(memory_format=torch.channels_last)
    oracle = _with_weights_of(model, reference.build_model(run))
    n_times = IMAGES_AT_ONCE[run.model_type] // 8 + 1
    images, labels = (torch.cat(n_times * [tensor]) for tensor in _images_and_labels(digits, 8))
    gradients, expected = _Gradients(model), oracle(images.double())
    with fast_arithmetic(torch.device("cpu")):
        logits = model(images)
        loss = train_one_epoch(run, model, gradients, [(images, labels)])
    expected_loss = nn.functional.cross_entropy(expected, labels)
    expected_loss.backward()
    assert logits.shape == (len(images), 10) and logits.dtype == torch.float32
    assert (logits - expected).abs().max() < 1e-5 * expected.abs().max()
    assert loss == pytest.approx(expected_loss.item(), rel=1e-5)
    for ours, theirs in zip(gradients.found, oracle.parameters(), strict=True):
        assert (ours - theirs.grad).abs().max() < 1e-5 * theirs.grad.abs().max()


def test_the_reference_shares_no_code_with_the_production() -> None:
    """It is an oracle only as long as it is independent."""
    source = inspect.getsource(reference)
    assert [line for line in source.splitlines() if "noisy" in line and "import" in line] == [
        "from noisy.data import stage",
        "from noisy.spec import RunSpec",
    ]
