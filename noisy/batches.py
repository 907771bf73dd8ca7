"""Training batches. Each is indexed, scaled and corrupted as a whole. It does not depend on the thread that prepares it."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch

from noisy.corruption import corrupt
from noisy.data import Data
from noisy.spec import RunSpec, Stream

Batch = tuple[torch.Tensor, torch.Tensor]
Prepared = TypeVar("Prepared")


def scale(images: np.ndarray) -> torch.Tensor:
    """Convert uint8 (n, height, width) or (n, channels, height, width) to float32 (n, channels, height, width) in [0, 1].

    It divides in float32, as torchvision's ToTensor does.
    """
    scaled = torch.from_numpy(np.array(images)).to(torch.float32).div_(255)
    return scaled[:, None] if scaled.dim() == 3 else scaled


def last_batch(n_images: int, batch_size: int) -> int:
    """The number of images in the last batch of an epoch."""
    return n_images % batch_size or batch_size


def training_batches(spec: RunSpec, data: Data, epoch: int, data_workers: int = 0) -> Iterator[Batch]:
    """One epoch of shuffled, freshly corrupted training batches; the last may be smaller.

    Order and noise depend only on (seed, repeat, epoch, batch). So any number of threads can make batches in advance, in any
    order, without changing them.

    Yields:
        images: float32 (n, channels, height, width) in [0, 1]; labels: int64 (n,).
    """
    order = spec.generator(Stream.ORDER, epoch).permutation(spec.n_train_samples())

    def prepare(batch: int) -> Batch:
        rows = order[batch * spec.batch_size : (batch + 1) * spec.batch_size]
        images = scale(data.train_images[rows])
        corrupt(images, spec.p, spec.generator(Stream.NOISE, epoch, batch))
        return images, torch.from_numpy(data.train_labels[rows].astype(np.int64))

    return ahead(prepare, -(-len(order) // spec.batch_size), data_workers)


def ahead(prepare: Callable[[int], Prepared], n_batches: int, data_workers: int) -> Iterator[Prepared]:
    """Yield prepare(0), prepare(1), ..., made when they are needed, or in advance by `data_workers` threads (if above 0)."""
    if not data_workers:
        yield from map(prepare, range(n_batches))
        return
    with ThreadPoolExecutor(data_workers) as pool:
        waiting: deque = deque()
        for batch in range(n_batches):
            waiting.append(pool.submit(prepare, batch))
            if len(waiting) > 2 * data_workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
