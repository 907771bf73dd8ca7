"""train(spec, data) -> RunResult: the whole of one run."""

import contextlib
import math
import platform
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from noisy.allocator import keep_freed_memory
from noisy.batches import Batch, scale, training_batches
from noisy.data import Data
from noisy.models import IMAGES_AT_ONCE, build_model
from noisy.optimizer import Adam
from noisy.processor import this_processor
from noisy.spec import Execution, RunSpec
from noisy.usage import Meter, Usage

_CONSTANT_FRACTION = 0.95  # of the test images: from here on predictions count as one class


@dataclass(frozen=True)
class RunResult:
    """What one run found.

    status: "ok"; "chance": every epoch's predictions were one class for at least 95 % of the test images; "diverged":
        a loss was not finite, and training stopped there.
    train_loss, test_loss, test_accuracy: float64 (epochs,); mean cross-entropy in nats over the epoch and over the
        clean test set, and fraction right in [0, 1]; NaN after an epoch that diverged.
    correct: uint8 (ceil(n_test / 8),), one bit per test image, right or wrong, after the last epoch (numpy.packbits).
    n_correct, n_test: images right and images in all after the last epoch.
    """

    status: str
    train_loss: np.ndarray
    test_loss: np.ndarray
    test_accuracy: np.ndarray
    correct: np.ndarray
    n_correct: int
    n_test: int
    n_parameters: int
    usage: Usage


def select_device(use_cuda: bool) -> torch.device:
    """The GPU if asked for, else the CPU.

    Raises:
        RuntimeError: a GPU is asked for and there is none: never silently the CPU.
    """
    if use_cuda and not torch.cuda.is_available():
        raise RuntimeError(
            f"use_cuda: true, but torch {torch.__version__} sees no CUDA device on {platform.node()!r}; set use_cuda: false"
        )
    return torch.device("cuda" if use_cuda else "cpu")


def check_precision(precision: str, device: torch.device) -> None:
    """Pass where `precision` pays on `device`.

    Raises:
        RuntimeError: it is bfloat16, and would be slower there than float32.
    """
    if precision == "bfloat16":
        if device.type == "cuda":
            why = "" if torch.cuda.is_bf16_supported(including_emulation=False) else "this GPU has no bfloat16 products"
        else:
            why = this_processor().bfloat16_refusal
        if why:
            raise RuntimeError(f"precision: bfloat16 on {platform.node()!r}: {why}; set precision: float32")


@contextlib.contextmanager
def fast_arithmetic(device: torch.device) -> Iterator[None]:
    """Within it, float32 products take the route of the rule, and denormal numbers count as 0; what was set before comes back.

    "medium" is how torch is told to use oneDNN. It permits rounding to bfloat16, but oneDNN does that only with AMX, where the
    rule takes another route.
    """
    before = torch.get_float32_matmul_precision()
    by_onednn = device.type == "cpu" and this_processor().product_route == "onednn"
    torch.set_float32_matmul_precision("medium" if by_onednn else "highest")
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
        torch.set_flush_denormal(False)


def train(spec: RunSpec, data: Data, execution: Execution | None = None) -> RunResult:
    """Train and score one run. One spec gives one result, bit by bit, on one machine at one thread.

    Sets, for the whole process, torch's number of threads and how the allocator keeps memory; touches no global random
    generator.

    Raises:
        RuntimeError: a GPU is asked for where there is none, or bfloat16 where it does not pay.
    """
    execution = execution or Execution()
    keep_freed_memory()
    torch.set_num_threads(execution.cpu_threads)
    device = select_device(execution.use_cuda)
    check_precision(spec.precision, device)
    meter = Meter()
    model = build_model(spec, data.n_classes).to(memory_format=torch.channels_last).to(device)
    optimizer = Adam(model.parameters(), spec.learning_rate, spec.weight_decay)
    history = np.full((3, spec.epochs), np.nan)
    diverged, constant = False, True
    with fast_arithmetic(device):
        for epoch in range(spec.epochs):
            batches = training_batches(spec, data, epoch, execution.data_workers)
            train_loss = train_one_epoch(spec, model, optimizer, batches, device)
            test_loss, predictions = evaluate(spec, model, data, device)
            right = predictions == data.test_labels
            history[:, epoch] = train_loss, test_loss, right.mean()
            constant &= bool(np.bincount(predictions).max() >= _CONSTANT_FRACTION * len(predictions))
            if not (math.isfinite(train_loss) and math.isfinite(test_loss)):
                diverged = True
                break
    return RunResult(
        status="diverged" if diverged else "chance" if constant else "ok",
        train_loss=history[0],
        test_loss=history[1],
        test_accuracy=history[2],
        correct=np.packbits(right),
        n_correct=int(right.sum()),
        n_test=len(right),
        n_parameters=sum(parameter.numel() for parameter in model.parameters()),
        usage=meter.read(),
    )


def train_one_epoch(spec: RunSpec, model: nn.Module, optimizer: Adam, batches: Iterable[Batch], device: torch.device) -> float:
    """Mean loss per image in nats; an epoch that stops being finite is stopped there.

    A batch's gradient is summed over pieces of it.
    """
    model.train()
    low = spec.precision == "bfloat16"
    n_at_once = _images_at_once(spec, device) * (2 if low else 1)  # which take the same memory
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
def evaluate(spec: RunSpec, model: nn.Module, data: Data, device: torch.device) -> tuple[float, np.ndarray]:
    """Mean loss in nats and predicted class int64 (n_test,) on the whole clean test set; in float32 in any case."""
    model.eval()
    n_at_once = _images_at_once(spec, device)
    total, predictions = 0.0, []
    for start in range(0, len(data.test_images), n_at_once):
        piece = slice(start, start + n_at_once)
        logits = model(scale(data.test_images[piece]).to(device))
        labels = torch.from_numpy(data.test_labels[piece].astype(np.int64)).to(device)
        total += functional.cross_entropy(logits, labels, reduction="sum").item()
        predictions.append(logits.argmax(dim=1).cpu().numpy())
    return total / len(data.test_images), np.concatenate(predictions)


def _images_at_once(spec: RunSpec, device: torch.device) -> int:
    """How many images go through the network at one time: few bound a worker's memory; a GPU is not busy with few."""
    return IMAGES_AT_ONCE[spec.model_type] if device.type == "cpu" else max(1_000, spec.batch_size)
