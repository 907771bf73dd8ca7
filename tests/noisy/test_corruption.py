"""Laws of the noise. Bounds are five standard errors or a p-value of 1e-4, with fixed seeds: no test fails by chance."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from benchmarks.reference import corrupt_pixels
from noisy.corruption import corrupt, uniform
from noisy.spec import Stream
from tests.distributions import are_of_one_law, is_uniform
from tests.specs import spec

SHAPE = (300, 1, 28, 28)
N_PIXELS = 300 * 28 * 28
PS = (0.01, 0.1, 0.3, 0.5, 0.8, 0.99)
OUTSIDE = 2.0  # no noise has this value: a pixel that holds it was not replaced


def _generator(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.SFC64(seed))


def _corrupted(p: float, seed: int = 0) -> np.ndarray:
    return _with_noise(np.full(SHAPE, OUTSIDE, dtype=np.float32), p, _generator(seed))


def _with_noise(images: np.ndarray, p: float, generator: np.random.Generator) -> np.ndarray:
    noisy = torch.from_numpy(images.copy())
    corrupt(noisy, p, generator)
    return noisy.numpy()


def _images() -> np.ndarray:
    return np.random.default_rng(1).random(SHAPE, dtype=np.float32)


@pytest.mark.parametrize("p", [0.0, -0.0])
def test_p_0_changes_nothing_and_draws_nothing(p: float) -> None:
    generator = _generator()
    assert _with_noise(_images(), p, generator).tobytes() == _images().tobytes()
    assert generator.random() == _generator().random()


def test_p_1_leaves_nothing() -> None:
    assert not (_corrupted(1.0) == OUTSIDE).any()
    images = _with_noise(_images(), 1.0, _generator())
    assert abs(np.corrcoef(images.ravel(), _images().ravel())[0, 1]) < 5 / N_PIXELS**0.5


@pytest.mark.parametrize("p", PS)
def test_the_rate_is_p(p: float) -> None:
    n_replaced = (_corrupted(p) != OUTSIDE).sum()
    assert abs(n_replaced - N_PIXELS * p) < 5 * (N_PIXELS * p * (1 - p)) ** 0.5


@pytest.mark.parametrize("p", (*PS, 1.0))
def test_replaced_values_are_uniform_on_0_to_1(p: float) -> None:
    images = _corrupted(p)
    values = images[images != OUTSIDE]
    assert values.min() >= 0 and values.max() <= 1
    assert is_uniform(values)


@pytest.mark.parametrize("p", PS)
def test_pixels_are_replaced_independently_of_each_other_and_of_the_values(p: float) -> None:
    images = _corrupted(p)
    replaced = (images != OUTSIDE).astype(float)
    for axis in (0, 2, 3):  # neighbours in the batch, down, and to the right
        before, after = (np.take(replaced, range(start, replaced.shape[axis] - 1 + start), axis).ravel() for start in (0, 1))
        assert abs(np.corrcoef(before, after)[0, 1]) < 5 / len(before) ** 0.5
    values = images[images != OUTSIDE]
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 5 / len(values) ** 0.5


@pytest.mark.parametrize("p", PS)
def test_the_other_pixels_are_untouched(p: float) -> None:
    images, replaced = _with_noise(_images(), p, _generator()), _corrupted(p) != OUTSIDE
    assert images[~replaced].tobytes() == _images()[~replaced].tobytes()
    assert images[replaced].tobytes() == _corrupted(p)[replaced].tobytes()


def test_masks_are_nested_in_p() -> None:
    masks = [_corrupted(p) != OUTSIDE for p in (*PS, 1.0)]
    for smaller, larger in pairwise(masks):
        assert larger[smaller].all()
        assert larger.sum() > smaller.sum()


def test_each_generator_state_gives_its_own_noise() -> None:
    assert _corrupted(0.5).tobytes() == _corrupted(0.5).tobytes()
    fields = []
    for run, epoch, batch in [(spec(), 0, 0), (spec(), 1, 0), (spec(), 0, 1), (spec(repeat=1), 0, 0), (spec(seed=9), 0, 0)]:
        generator = run.generator(Stream.NOISE, epoch, batch)
        images = _with_noise(np.full(SHAPE, OUTSIDE, dtype=np.float32), 0.5, generator)
        fields.append((images != OUTSIDE).astype(float).ravel())
    correlations = np.corrcoef(fields) - np.eye(len(fields))
    assert np.abs(correlations).max() < 5 / N_PIXELS**0.5


@pytest.mark.parametrize("p", PS)
def test_same_law_as_the_reference(p: float) -> None:
    torch.manual_seed(0)
    theirs, ours = corrupt_pixels(torch.full(SHAPE, OUTSIDE), p).numpy(), _corrupted(p)
    n_ours, n_theirs = (ours != OUTSIDE).sum(), (theirs != OUTSIDE).sum()
    assert abs(n_ours - n_theirs) < 5 * (2 * N_PIXELS * p * (1 - p)) ** 0.5
    assert are_of_one_law(ours[ours != OUTSIDE], theirs[theirs != OUTSIDE])


@pytest.mark.parametrize("n", [1, 2, 1_001, N_PIXELS])
def test_uniform_draws_numpys_own_numbers(n: int) -> None:
    generator = _generator()
    for _ in range(2):
        expected = generator.random(n + n % 2, dtype=np.float32)[:n]  # a whole number of 64-bit numbers
    twice = _generator()
    uniform(n, twice)
    assert uniform(n, twice).numpy().tobytes() == expected.tobytes()


@pytest.mark.parametrize("p", (*PS, 1.0))
def test_the_noise_is_that_of_its_definition(p: float) -> None:
    """The slow way, with numpy's generator and one choice for each pixel."""
    u = _generator().random(SHAPE, dtype=np.float32)
    expected = np.where(u < np.float32(p), u / np.float32(p), _images())
    assert _with_noise(_images(), p, _generator()).tobytes() == expected.tobytes()
