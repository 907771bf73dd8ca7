"""Several runs of one shape trained as one computation. One such network alone would leave a GPU almost idle."""

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from noisy.allocator import keep_freed_memory
from noisy.batches import ahead, scale
from noisy.corruption import draw, to_uniform
from noisy.data import Data
from noisy.device import check_precision, fast_arithmetic, select_device
from noisy.models import build_model
from noisy.optimizer import Adam
from noisy.result import RunResult, Scores
from noisy.spec import RESOLUTION, Execution, RunSpec, Stream
from noisy.stacked import Stacked
from noisy.usage import Meter, Usage

_TEST_IMAGES_AT_ONCE = 256  # (or the batch size of training, if it is larger: training takes more memory for each image)


def train_together(specs: Sequence[RunSpec], data: Data, execution: Execution | None = None) -> list[RunResult]:
    """Train and score runs of one shape (`RunSpec.shape`). Each gets the same result as alone, except for rounding.

    (A run that diverges goes on to the end of the epoch; alone, it would stop at once.)

    Each run has its own p, activation, weights, order and noise. Runs with the same repeat share their random numbers, which
    are drawn once. As noisy.training.train, this changes settings of the whole process.

    All of them is built in: runs with own files are trained alone (`noisy.training.train`).

    Raises:
        ValueError: the runs have different shapes.
        RuntimeError: a GPU is asked for but there is none, bfloat16 would be slower than float32, or memory is too small.
    """
    shapes = {spec.shape() for spec in specs}
    if len(shapes) != 1:
        raise ValueError(f"runs of {len(shapes)} shapes; allowed: runs that differ only in activation, p, repeat and seed")
    (shape,) = shapes
    execution = execution or Execution()
    keep_freed_memory()
    torch.set_num_threads(execution.cpu_threads)
    device = select_device(execution.use_cuda)
    check_precision(shape.precision, device)
    meter = Meter()
    runs = sorted(specs, key=lambda run: run.activation)
    networks = [cast(nn.Sequential, build_model(run, data.n_classes)) for run in runs]
    network = Stacked(networks, device)
    optimizer = Adam(network.parameters(), shape.learning_rate, shape.weight_decay)
    batches = _Batches(runs, data, device, execution.data_workers)
    scores = [Scores(run.epochs, data.test_labels) for run in runs]
    with fast_arithmetic(device):
        for epoch in range(shape.epochs):
            train_losses = _train_one_epoch(shape, network, optimizer, batches.of_epoch(epoch))
            for one, *found in zip(scores, train_losses, *_evaluate(shape, network, data, device), strict=True):
                one.add(*found)
            if all(one.diverged for one in scores):
                break
    n_parameters = sum(parameter[0].numel() for parameter in network.parameters())
    whole = meter.read()
    share = Usage(whole.wall_s / len(runs), whole.cpu_s / len(runs), whole.peak_mem_mb)
    results = {run: one.result(n_parameters, share) for run, one in zip(runs, scores, strict=True)}
    return [results[spec] for spec in specs]


class _Batches:
    """The batches of `noisy.batches` for all runs, made on the device.

    The CPU draws orders and noise, because the random streams are numpy's. Runs with the same (seed, repeat) share them.
    """

    def __init__(self, runs: Sequence[RunSpec], data: Data, device: torch.device, data_workers: int) -> None:
        self._shape, self._device, self._data_workers = runs[0].shape(), device, data_workers
        streams = {(run.seed, run.repeat): run for run in runs}
        self._sources = list(streams.values())  # one run of each (seed, repeat)
        places = {key: place for place, key in enumerate(streams)}
        self._source_of = torch.tensor([places[run.seed, run.repeat] for run in runs], device=device)
        self._p = torch.tensor([run.p for run in runs], device=device)[:, None, None, None, None]
        self._images = torch.from_numpy(np.array(data.train_images[: self._shape.n_train_samples()])).to(device)
        self._labels = torch.from_numpy(data.train_labels[: len(self._images)].astype(np.int64)).to(device)

    def of_epoch(self, epoch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield images float32 (runs, n, 1, 28, 28) and labels int64 (runs, n)."""
        n_images, batch_size = len(self._images), self._shape.batch_size
        orders = [run.generator(Stream.ORDER, epoch).permutation(n_images) for run in self._sources]
        order = torch.from_numpy(np.stack(orders)).to(self._device)

        def noise(batch: int) -> torch.Tensor:
            n_pixels = min(batch_size, n_images - batch * batch_size) * self._images[0].numel()
            drawn = torch.stack([draw(n_pixels, run.generator(Stream.NOISE, epoch, batch)) for run in self._sources])
            return drawn.pin_memory() if self._device.type == "cuda" else drawn  # otherwise the copy would wait for the GPU

        fields = ahead(noise, -(-n_images // batch_size), self._data_workers)
        for rows, field in zip(order.split(batch_size, dim=1), fields, strict=True):
            images = self._images[rows].to(torch.float32).div_(255)[:, :, None]
            u = to_uniform(field.to(self._device, non_blocking=True)).view(images.shape)[self._source_of]
            noisy = torch.where(u < self._p, u / self._p.clamp(min=RESOLUTION), images[self._source_of])
            yield noisy, self._labels[rows][self._source_of]


def _train_one_epoch(
    shape: RunSpec, network: Stacked, optimizer: Adam, batches: Iterator[tuple[torch.Tensor, torch.Tensor]]
) -> list[float]:
    """Train for one epoch. Returns the mean loss per image of each run in nats. Waits for the device only once."""
    totals: torch.Tensor | None = None
    for images, labels in batches:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=shape.precision == "bfloat16"):
            logits = network(images)
        losses = _losses(logits.float(), labels)
        (losses.sum() / labels.shape[1]).backward()
        optimizer.step()
        so_far = torch.zeros_like(losses, dtype=torch.float64) if totals is None else totals
        totals = torch.where(so_far.isfinite(), so_far + losses.detach(), so_far)  # a loss that is not finite stays so
    assert totals is not None
    return (totals / shape.n_train_samples()).tolist()


@torch.inference_mode()
def _evaluate(shape: RunSpec, network: Stacked, data: Data, device: torch.device) -> tuple[list[float], np.ndarray]:
    """Mean loss of each run in nats, and predicted classes int64 (runs, n_test), on the whole clean test set in float32."""
    losses, predictions = [], []
    n_networks, n_at_once = len(next(network.parameters())), max(shape.batch_size, _TEST_IMAGES_AT_ONCE)
    for start in range(0, len(data.test_images), n_at_once):
        piece = slice(start, start + n_at_once)
        images = scale(data.test_images[piece]).to(device).expand(n_networks, -1, -1, -1, -1)
        labels = torch.from_numpy(data.test_labels[piece].astype(np.int64)).to(device).expand(n_networks, -1)
        logits = network(images)
        losses.append(_losses(logits, labels).double())
        predictions.append(logits.argmax(dim=2))
    return (torch.stack(losses).sum(dim=0) / len(data.test_images)).tolist(), torch.cat(predictions, dim=1).cpu().numpy()


def _losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """float32 (runs,): the sum of the cross-entropies of each run in nats."""
    each = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    return each.view(labels.shape).sum(dim=1)
