"""The expected cost of a run: published figures, scaled."""

import itertools
import math
from dataclasses import replace
from typing import Any

from hpc.planning.cost import NOTHING, Cost, Range
from noisy.spec import IMAGE_SIZE_PX, Execution, RunSpec

# One run of the reliable campaign (60,000 images; see docs/performance.md): MLP 1024-512-256, 15 epochs at batch 512;
# CNN 20 epochs at batch 256. Ranges span the machines they were collected on.
_PUBLISHED_CPU_S = {"mlp": Range(60, 180), "cnn": Range(120, 360)}
_PUBLISHED_MEM_MB = {"mlp": Range(300, 800), "cnn": Range(500, 1200)}
_PUBLISHED_SPECS = {
    "mlp": RunSpec("mnist", "relu", "mlp", 0, 0, 0, 15, 512, 0.001, 0, (1024, 512, 256)),
    "cnn": RunSpec("mnist", "relu", "cnn", 0, 0, 0, 20, 256, 0.001, 0),
}
_FIXED_SHARE = 0.3  # the share of a published run's time that does not depend on the size of the model: making batches
_GPU_CORES = Range(20, 200)  # a GPU that trains many runs together does the work of so many cores: assumed, not yet measured
_GPU_STEP_S = 0.003  # to launch the work of one training step: assumed, not yet measured
_GPU_HOST_MB = Range(1500, 4000)  # additional host memory of CUDA: assumed, not yet measured
_BYTES_PER_PARAMETER = 16  # weight, gradient and Adam's two moments, float32
_CNN_UNITS = IMAGE_SIZE_PX**2 * 32 + (IMAGE_SIZE_PX // 2) ** 2 * 64 + 128  # outputs of its layers, an image


def estimate(run: RunSpec, execution: Execution) -> Cost:
    """The published cost of the run's model type, scaled.

    Time is linear in epochs, samples and multiply-adds; memory grows with the parameters.
    """
    published, reference = _PUBLISHED_CPU_S[run.model_type], _PUBLISHED_SPECS[run.model_type]
    size = _FIXED_SHARE + (1 - _FIXED_SHARE) * multiply_adds(run) / multiply_adds(reference)
    cpu_s = published.scaled(size * run.epochs / reference.epochs * run.n_train_samples() / reference.n_train_samples())
    more_mb = max(0.0, (n_weights(run) - n_weights(reference)) * _BYTES_PER_PARAMETER / 1e6)
    mem_mb = _PUBLISHED_MEM_MB[run.model_type] + Range(more_mb, more_mb)
    if execution.use_cuda:
        return _on_gpu(run, execution, cpu_s, mem_mb)
    return Cost(cpu_s, NOTHING, cpu_s.scaled(1 / execution.cpu_threads), mem_mb)


def _on_gpu(run: RunSpec, execution: Execution, cpu_s: Range, mem_mb: Range) -> Cost:
    """The cost of a run that is trained together with others, from its cost on a CPU.

    Its time is its share of the GPU's time, and one core of the host is busy for as long. The memory is that of the host, for
    all runs of the group. It holds their initial weights, and some three copies of the noise of each batch prepared ahead.
    """
    gpu_s = Range(cpu_s.low / _GPU_CORES.high, cpu_s.high / _GPU_CORES.low)
    noise = 3 * (2 * execution.data_workers + 1) * min(run.batch_size, run.n_train_samples()) * IMAGE_SIZE_PX**2
    all_mb = execution.runs_together * (n_weights(run) + noise) * 4 / 1e6
    return Cost(gpu_s, gpu_s, gpu_s, mem_mb + _GPU_HOST_MB + Range(all_mb, all_mb))


def least_gpu_s(run: RunSpec) -> float:
    """The least time of a GPU for a group of runs of this shape, however small: it must launch the work of each step."""
    return run.epochs * math.ceil(run.n_train_samples() / run.batch_size) * _GPU_STEP_S


def least_mem_mb(run: RunSpec) -> float:
    """The least memory that training needs on a CPU: parameters, and what one batch keeps for the backward pass."""
    units = sum(run.hidden_sizes) if run.hidden_sizes else _CNN_UNITS
    batch = min(run.batch_size, run.n_train_samples()) * (IMAGE_SIZE_PX**2 + units) * 4
    return (n_weights(run) * _BYTES_PER_PARAMETER + batch) / 1e6


def largest_that_fits(run: RunSpec, mem_mb: float) -> str:
    """The largest `hidden_sizes` (or else `batch_size`) with which this run needs at most `mem_mb`; empty if there is none."""
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


def _shrunk(run: RunSpec, name: str, factor: float) -> RunSpec:
    value = getattr(run, name)
    smaller: Any = tuple(max(1, int(n * factor)) for n in value) if isinstance(value, tuple) else max(1, int(value * factor))
    return replace(run, **{name: smaller})


def multiply_adds(run: RunSpec) -> int:
    """Multiply-adds of one forward pass of one image."""
    if run.model_type == "mlp":
        return n_weights(run)
    full, half = IMAGE_SIZE_PX**2, (IMAGE_SIZE_PX // 2) ** 2
    return full * 32 * 9 + half * 64 * 32 * 9 + _CNN_LINEAR_WEIGHTS


def n_weights(run: RunSpec) -> int:
    """Weights of the network, without biases."""
    if run.model_type == "mlp":
        sizes = (IMAGE_SIZE_PX**2, *(run.hidden_sizes or ()), 10)
        return sum(n_in * n_out for n_in, n_out in itertools.pairwise(sizes))
    return 32 * 9 + 64 * 32 * 9 + _CNN_LINEAR_WEIGHTS


_CNN_LINEAR_WEIGHTS = 64 * (IMAGE_SIZE_PX // 4) ** 2 * 128 + 128 * 10
