"""The size of a run: weights, arithmetic, steps and memory. All are computed from its hyperparameters, not measured."""

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np

from noisy.spec import DATASETS, IMAGE_SIZE_PX, RunSpec

TERMS = ("start", "products", "images", "updates", "steps")  # the parts of a run's CPU time
BYTES_PER_PARAMETER = 16  # bytes per weight: the weight, its gradient and Adam's two moments, in float32
_AT_ONCE = {"mlp": 512, "cnn": 64}  # images that training handles at a time (noisy.models.IMAGES_AT_ONCE)
_CNN_UNITS = IMAGE_SIZE_PX**2 * 32 + (IMAGE_SIZE_PX // 2) ** 2 * 64 + 128  # outputs of its layers for one image
_CNN_LINEAR_WEIGHTS = 64 * (IMAGE_SIZE_PX // 4) ** 2 * 128 + 128 * 10


def terms(run: RunSpec) -> np.ndarray:
    """float64 (5,), in the order of TERMS: how many units of each part a run needs.

    Start: 1. Products: multiply-adds of all epochs; a training image takes one forward pass, and a backward pass that counts
    twice, and each epoch ends with a forward pass over the test images. Images: training images that are prepared. Updates:
    weights that Adam changes. Steps: batches.
    """
    n_images, n_test = run.n_train_samples(), DATASETS[run.dataset].n_test
    steps = run.epochs * math.ceil(n_images / run.batch_size)
    products = run.epochs * (3 * n_images + n_test) * multiply_adds(run)
    return np.array([1, products, run.epochs * n_images, steps * n_weights(run), steps], float)


def multiply_adds(run: RunSpec) -> int:
    """Multiply-adds of one forward pass of one image."""
    if run.model_type == "mlp":
        return n_weights(run)
    full, half = IMAGE_SIZE_PX**2, (IMAGE_SIZE_PX // 2) ** 2
    return full * 32 * 9 + half * 64 * 32 * 9 + _CNN_LINEAR_WEIGHTS


def n_weights(run: RunSpec) -> int:
    """Number of weights of the network, without biases."""
    if run.model_type == "mlp":
        sizes = (IMAGE_SIZE_PX**2, *(run.hidden_sizes or ()), 10)
        return sum(n_in * n_out for n_in, n_out in itertools.pairwise(sizes))
    return 32 * 9 + 64 * 32 * 9 + _CNN_LINEAR_WEIGHTS


# Memory, in 10**6 bytes


def data_mb(run: RunSpec) -> float:
    """The memory of the data set: images and labels, all of which each worker maps."""
    info = DATASETS[run.dataset]
    return (info.n_train + info.n_test) * (IMAGE_SIZE_PX**2 + 1) / 1e6


def training_mb(run: RunSpec) -> float:
    """The least memory of training without the data set: parameters, a batch, and the outputs for images handled at once."""
    batch = min(run.batch_size, run.n_train_samples())
    at_once = min(batch, _AT_ONCE[run.model_type])
    return (n_weights(run) * BYTES_PER_PARAMETER + (batch * IMAGE_SIZE_PX**2 + at_once * _units(run)) * 4) / 1e6


def least_mem_mb(run: RunSpec) -> float:
    """The least memory of training on a CPU: parameters, and what one batch keeps for the backward pass."""
    batch = min(run.batch_size, run.n_train_samples()) * (IMAGE_SIZE_PX**2 + _units(run)) * 4
    return (n_weights(run) * BYTES_PER_PARAMETER + batch) / 1e6


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
    return sum(run.hidden_sizes) if run.hidden_sizes else _CNN_UNITS


def _shrunk(run: RunSpec, name: str, factor: float) -> RunSpec:
    value = getattr(run, name)
    smaller: Any = tuple(max(1, int(n * factor)) for n in value) if isinstance(value, tuple) else max(1, int(value * factor))
    return replace(run, **{name: smaller})
