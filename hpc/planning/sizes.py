"""The size of a run: weights, arithmetic, steps and memory. All are computed from its hyperparameters, not measured.

Nobody knows the size of an own model, so nominal sizes are used. Each own model is a kind of its own, and the coefficients that
are measured for it correct the nominal sizes (hpc/planning/model.py).
"""

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np

from noisy.datasets import IMAGE_SIZE_PX
from noisy.spec import RunSpec

TERMS = ("start", "products", "images", "updates", "steps")  # the parts of a run's CPU time
BYTES_PER_PARAMETER = 16  # bytes per weight: the weight, its gradient and Adam's two moments, in float32
_AT_ONCE = {"mlp": 512, "cnn": 64}  # images that training handles at a time (noisy.models.IMAGES_AT_ONCE)
_OWN_PRODUCTS, _OWN_UNITS = 20_000, 1_000  # of an own model: multiply-adds and outputs of layers per pixel (assumed)
_OWN_WEIGHTS = 300_000  # of an own model (assumed)


def terms(run: RunSpec) -> np.ndarray:
    """float64 (5,), in the order of TERMS: how many units of each part a run needs.

    Start: 1. Products: multiply-adds of all epochs; a training image takes one forward pass, and a backward pass that counts
    twice, and each epoch ends with a forward pass over the test images. Images: training images that are prepared, in units of
    28x28 values. Updates: weights that Adam changes. Steps: batches.
    """
    n_images, n_test = run.n_train_samples(), run.data.n_test
    steps = run.epochs * math.ceil(n_images / run.batch_size)
    products = run.epochs * (3 * n_images + n_test) * multiply_adds(run)
    images = run.epochs * n_images * run.data.n_values / IMAGE_SIZE_PX**2
    return np.array([1, products, images, steps * n_weights(run), steps], float)


def multiply_adds(run: RunSpec) -> int:
    """Multiply-adds of one forward pass of one image."""
    channels, height, width = run.data.shape
    if run.has_own_model:
        return _OWN_PRODUCTS * height * width
    if run.model_type == "mlp":
        return n_weights(run)
    full, half = height * width, (height // 2) * (width // 2)
    return full * 32 * channels * 9 + half * 64 * 32 * 9 + _cnn_linear_weights(run)


def n_weights(run: RunSpec) -> int:
    """Number of weights of the network, without biases."""
    if run.has_own_model:
        return _OWN_WEIGHTS
    if run.model_type == "mlp":
        sizes = (run.data.n_values, *(run.hidden_sizes or ()), run.data.n_classes)
        return sum(n_in * n_out for n_in, n_out in itertools.pairwise(sizes))
    return 32 * run.data.shape[0] * 9 + 64 * 32 * 9 + _cnn_linear_weights(run)


def _cnn_linear_weights(run: RunSpec) -> int:
    _, height, width = run.data.shape
    return 64 * (height // 4) * (width // 4) * 128 + 128 * run.data.n_classes


# Memory, in 10**6 bytes


def data_mb(run: RunSpec) -> float:
    """The memory of the data set: images and labels, all of which each worker maps."""
    return (run.data.n_train + run.data.n_test) * (run.data.n_values + 1) / 1e6


def training_mb(run: RunSpec) -> float:
    """The least memory of training without the data set: parameters, a batch, and the outputs for images handled at once.

    For an own model it is assumed.
    """
    batch = min(run.batch_size, run.n_train_samples())
    at_once = min(batch, _AT_ONCE.get(run.model_type, batch))
    return (n_weights(run) * BYTES_PER_PARAMETER + (batch * run.data.n_values + at_once * _units(run)) * 4) / 1e6


def least_mem_mb(run: RunSpec) -> float:
    """The least memory of training on a CPU: parameters, and what one batch keeps for the backward pass.

    For an own model it is the batch alone.
    """
    batch = min(run.batch_size, run.n_train_samples())
    if run.has_own_model:
        return batch * run.data.n_values * 4 / 1e6
    return (n_weights(run) * BYTES_PER_PARAMETER + batch * (run.data.n_values + _units(run)) * 4) / 1e6


def largest_that_fits(run: RunSpec, mem_mb: float) -> str:
    """The largest `hidden_sizes` (else `batch_size`) with which this run needs at most `mem_mb`; empty if there is none."""
    for name in ("hidden_sizes", "batch_size"):
        if getattr(run, name) is None or least_mem_mb(_shrunk(run, name, 0)) > mem_mb:
            continue
        fits, too_large = 0.0, 1.0
        for _ in range(60):
            middle = (fits + too_large) / 2
            is_small = least_mem_mb(_shrunk(run, name, middle)) <= mem_mb
            fits, too_large = (middle, too_large) if is_small else (fits, middle)
        value = getattr(_shrunk(run, name, fits), name)
        return f"{name}: {list(value) if isinstance(value, tuple) else value}"
    return ""


def _units(run: RunSpec) -> int:
    """Outputs of its layers, an image."""
    if run.hidden_sizes:
        return sum(run.hidden_sizes)
    _, height, width = run.data.shape
    full, half = height * width, (height // 2) * (width // 2)
    return _OWN_UNITS * full if run.has_own_model else full * 32 + half * 64 + 128


def _shrunk(run: RunSpec, name: str, factor: float) -> RunSpec:
    value = getattr(run, name)
    smaller: Any = tuple(max(1, int(n * factor)) for n in value) if isinstance(value, tuple) else max(1, int(value * factor))
    return replace(run, **{name: smaller})
