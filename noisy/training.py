"""train(spec, data) -> RunResult: one complete run."""

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from noisy.allocator import keep_freed_memory
from noisy.batches import Batch, scale, training_batches
from noisy.data import Data
from noisy.device import check_precision, fast_arithmetic, select_device
from noisy.extend import own_random_numbers
from noisy.models import build_model, images_at_once
from noisy.optimizer import Adam
from noisy.result import RunResult, Scores
from noisy.spec import Execution, RunSpec
from noisy.together import train_together
from noisy.usage import Meter

_CPU = torch.device("cpu")


def train(spec: RunSpec, data: Data, execution: Execution | None = None) -> RunResult:
    """Train and score one run. On the same machine with the same number of threads, results are equal in every bit.

    It sets torch's number of threads and the allocator's behaviour for the whole process. It does not use global random
    generators.

    Raises:
        RuntimeError: a GPU is asked for but there is none, bfloat16 would be slower than float32, or the run's own files were
            not loaded (`noisy.extend.load`).
    """
    execution = execution or Execution()
    if execution.use_cuda and not spec.extensions:  # a network of an own file is trained alone, also on a GPU
        return train_together([spec], data, execution)[0]
    keep_freed_memory()
    torch.set_num_threads(execution.cpu_threads)
    device = select_device(execution.use_cuda)
    check_precision(spec.precision, device)
    meter = Meter()
    with own_random_numbers(spec, device), fast_arithmetic(device):
        layout = torch.preserve_format if spec.has_own_model else torch.channels_last
        model = build_model(spec, data.n_classes).to(device).to(memory_format=layout)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = Adam(trained, spec.learning_rate, spec.weight_decay)
        scores = Scores(spec.epochs, data.test_labels)
        for epoch in range(spec.epochs):
            batches = training_batches(spec, data, epoch, execution.data_workers)
            scores.add(train_one_epoch(spec, model, optimizer, batches, device), *evaluate(spec, model, data, device))
            if scores.diverged:
                break
    return scores.result(sum(parameter.numel() for parameter in model.parameters()), meter.read())


def train_one_epoch(
    spec: RunSpec, model: nn.Module, optimizer: Adam, batches: Iterable[Batch], device: torch.device = _CPU
) -> float:
    """Train for one epoch. Returns the mean loss per image in nats. Stops as soon as the loss is not finite.

    The gradient of a batch is summed over pieces of the batch.
    """
    model.train()
    low = spec.precision == "bfloat16"
    n_at_once = images_at_once(spec) * (2 if low else 1)  # without gradients, twice as many take the same memory
    total, n_images = 0.0, 0
    for images, labels in batches:
        for some, their_labels in zip(images.split(n_at_once), labels.split(n_at_once), strict=True):
            with torch.autocast(device.type, torch.bfloat16, enabled=low):
                logits = model(some.to(device))
            loss = functional.cross_entropy(logits.float(), their_labels.to(device), reduction="sum")
            (loss / len(labels)).backward()
            total += loss.item()
        optimizer.step()
        n_images += len(labels)
        if not math.isfinite(total):
            break
    return total / n_images


@torch.inference_mode()
def evaluate(spec: RunSpec, model: nn.Module, data: Data, device: torch.device = _CPU) -> tuple[float, np.ndarray]:
    """Mean loss in nats, and predicted classes int64 (n_test,), on the whole clean test set, always in float32."""
    model.eval()
    n_at_once = images_at_once(spec)
    total, predictions = 0.0, np.empty(len(data.test_images), np.int64)  # because many small arrays would fragment the heap
    for start in range(0, len(data.test_images), n_at_once):
        piece = slice(start, start + n_at_once)
        logits = model(scale(data.test_images[piece]).to(device))
        labels = torch.from_numpy(data.test_labels[piece].astype(np.int64)).to(device)
        total += functional.cross_entropy(logits, labels, reduction="sum").item()
        predictions[piece] = logits.argmax(dim=1).cpu().numpy()
    return total / len(data.test_images), predictions
