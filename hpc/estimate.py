"""What a run costs before anything was measured: published figures, scaled."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from noisy.spec import IMAGE_SIZE_PX, Execution, RunSpec, spec_of, split_repeat

Found = TypeVar("Found")


@dataclass(frozen=True)
class Range:
    """Low and high end of what is expected."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        """The mean of both ends: what plans are made with."""
        return (self.low + self.high) / 2

    def __add__(self, other: "Range") -> "Range":
        return Range(self.low + other.low, self.high + other.high)

    def scaled(self, factor: float) -> "Range":
        """Both ends times `factor`."""
        return Range(self.low * factor, self.high * factor)


@dataclass(frozen=True)
class Cost:
    """What one run takes. cpu_s: CPU seconds, or seconds of a GPU; mem_mb: peak resident memory in 10**6 bytes."""

    cpu_s: Range
    mem_mb: Range


# One run of the reliable campaign (60,000 images; see README, "Costs"): MLP 1024-512-256, 15 epochs at batch 512;
# CNN 20 epochs at batch 256. Ranges span the machines they were collected on.
_PUBLISHED = {"mlp": Cost(Range(60, 180), Range(300, 800)), "cnn": Cost(Range(120, 360), Range(500, 1200))}
_PUBLISHED_SPECS = {
    "mlp": RunSpec("mnist", "relu", "mlp", 0, 0, 0, 15, 512, 0.001, 0, (1024, 512, 256)),
    "cnn": RunSpec("mnist", "relu", "cnn", 0, 0, 0, 20, 256, 0.001, 0),
}
_FIXED_SHARE = 0.3  # of a published run's time that does not depend on the size of the model: making the batches
_GPU_CORES = Range(20, 200)  # cores whose work a GPU does when it trains many runs together: assumed, not yet measured
_GPU_STEP_S = 0.003  # of a training step, to launch it: assumed, not yet measured
_GPU_HOST_MB = Range(1500, 4000)  # host memory that CUDA takes beside: assumed, not yet measured
_BYTES_PER_PARAMETER = 16  # weight, gradient and Adam's two moments, float32


def estimate(run: RunSpec) -> Cost:
    """The published cost of its model type, linear in epochs, samples and multiply-adds; memory follows the parameters."""
    published, reference = _PUBLISHED[run.model_type], _PUBLISHED_SPECS[run.model_type]
    size = _FIXED_SHARE + (1 - _FIXED_SHARE) * multiply_adds(run) / multiply_adds(reference)
    factor = size * run.epochs / reference.epochs * run.n_train_samples() / reference.n_train_samples()
    more_mb = max(0.0, (n_weights(run) - n_weights(reference)) * _BYTES_PER_PARAMETER / 1e6)
    return Cost(published.cpu_s.scaled(factor), published.mem_mb + Range(more_mb, more_mb))


def estimate_on_gpu(run: RunSpec, execution: Execution) -> Cost:
    """As `estimate`, of a run that is trained together with others.

    `cpu_s` is its share of the GPU's seconds; `mem_mb` the host's memory for all: their initial weights, and their noise, of
    which the batches prepared ahead are held some three times over.
    """
    on_cpu = estimate(run)
    cpu_s = Range(on_cpu.cpu_s.low / _GPU_CORES.high, on_cpu.cpu_s.high / _GPU_CORES.low)
    noise = 3 * (2 * execution.data_workers + 1) * min(run.batch_size, run.n_train_samples()) * IMAGE_SIZE_PX**2
    all_mb = execution.runs_together * (n_weights(run) + noise) * 4 / 1e6
    return Cost(cpu_s, on_cpu.mem_mb + _GPU_HOST_MB + Range(all_mb, all_mb))


def least_gpu_s(run: RunSpec) -> float:
    """Seconds that a GPU takes for runs of this shape at least, however few: of launching the work of every step."""
    return run.epochs * math.ceil(run.n_train_samples() / run.batch_size) * _GPU_STEP_S


def estimates(texts: Iterable[str], execution: Execution) -> Iterator[Cost]:
    """The cost of the run behind each canonical JSON text."""
    return by_cell(texts, lambda run: estimate_on_gpu(run, execution) if execution.use_cuda else estimate(run))


def by_cell(texts: Iterable[str], find: Callable[[RunSpec], Found]) -> Iterator[Found]:
    """What `find` makes of the run behind each canonical JSON text, found once a cell: it is to be the same for all repeats."""
    found: dict[tuple[str, str], Found] = {}
    for text in texts:
        before, _, behind = split_repeat(text)
        if (before, behind) not in found:
            found[before, behind] = find(spec_of(text))
        yield found[before, behind]


def multiply_adds(run: RunSpec) -> int:
    """Multiply-adds of one image's way through the network."""
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
