"""CPU seconds of the parts of a trainer, measured over a few steps and some test images in the trainer's own loops.

Each trainer must run in a process of its own, because settings of one, such as the allocator's, change the times of the other.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Subset

from benchmarks import reference
from noisy import data
from noisy.allocator import keep_freed_memory
from noisy.batches import training_batches
from noisy.device import fast_arithmetic
from noisy.models import build_model
from noisy.optimizer import Adam
from noisy.spec import RunSpec
from noisy.training import evaluate, train, train_one_epoch

N_TEST = 1_000  # images of the test set that are timed
PARTS = ("prepare", "forward", "backward", "optimizer", "test")  # backward includes the loss and the rest of a step
CPU = torch.device("cpu")
Seconds = dict[str, float]  # CPU seconds an epoch, by part


def seconds_of_reference(run: RunSpec, n_steps: int, data_dir: str) -> Seconds:
    """CPU seconds of an epoch of the reference on the whole data set, estimated from `n_steps` steps."""
    return _reference(_sample(run, n_steps), data_dir)()


def seconds_of_production(run: RunSpec, n_steps: int, data_dir: str) -> Seconds:
    """CPU seconds of an epoch of the production trainer on the whole data set, estimated from `n_steps` steps."""
    keep_freed_memory()
    return _production(_sample(run, n_steps), data_dir)()


def overhead_s(run: RunSpec, data_dir: str) -> float:
    """CPU seconds of a production run with one training and one test image: the cost of a run in addition to its epochs."""
    mapped = data.load(run.dataset, data_dir)
    one = replace(mapped, test_images=mapped.test_images[:1], test_labels=mapped.test_labels[:1])
    return _cpu_seconds(lambda: train(replace(run, max_train_samples=1, batch_size=1), one))


def _sample(run: RunSpec, n_steps: int) -> RunSpec:
    torch.set_num_threads(1)
    return replace(run, max_train_samples=n_steps * run.batch_size)


@lru_cache
def _reference(run: RunSpec, data_dir: str) -> Callable[[], Seconds]:
    train_loader, test_loader = reference.get_dataloaders(run, data_dir)
    n_test = min(N_TEST, len(test_loader.dataset))
    part = DataLoader(Subset(test_loader.dataset, range(n_test)), batch_size=run.batch_size)
    model = reference.build_model(run)
    optimizer = torch.optim.Adam(model.parameters(), lr=run.learning_rate)

    def measure() -> Seconds:
        clock = _Clock(model, optimizer)
        with clock.running():
            reference.train_one_epoch(model, _Timed(train_loader, clock), optimizer, CPU)
        return clock.epoch(run, _cpu_seconds(lambda: reference.evaluate(model, part, CPU)) / n_test)

    return measure


@lru_cache
def _production(run: RunSpec, data_dir: str) -> Callable[[], Seconds]:
    mapped = data.load(run.dataset, data_dir)
    n_test = min(N_TEST, len(mapped.test_images))
    part = replace(mapped, test_images=mapped.test_images[:n_test], test_labels=mapped.test_labels[:n_test])
    model = build_model(run, mapped.n_classes).to(memory_format=torch.channels_last)
    optimizer = Adam(model.parameters(), run.learning_rate, run.weight_decay)

    def measure() -> Seconds:
        clock = _Clock(model, optimizer)
        with fast_arithmetic(CPU):
            with clock.running():
                train_one_epoch(run, model, optimizer, _Timed(training_batches(run, mapped, 0), clock))
            return clock.epoch(run, _cpu_seconds(lambda: evaluate(run, model, part)) / n_test)

    return measure


class _Clock:
    """CPU seconds of the parts of a trainer's own loop, by hooks around its model and its optimizer."""

    def __init__(self, model: nn.Module, optimizer: Any) -> None:
        self._model, self._optimizer = model, optimizer
        self.seconds = dict.fromkeys((*PARTS[:-1], "all"), 0.0)

    @contextmanager
    def running(self) -> Iterator[None]:
        """A block in which everything is timed."""
        step, begun_s = self._optimizer.step, [0.0]

        def timed_step() -> None:
            with self.part("optimizer"):
                step()

        def begin(*_: Any) -> None:
            begun_s[0] = time.process_time()

        def end(*_: Any) -> None:
            self.seconds["forward"] += time.process_time() - begun_s[0]

        hooks = [self._model.register_forward_pre_hook(begin), self._model.register_forward_hook(end)]
        self._optimizer.step = timed_step
        with self.part("all"):
            yield
        self._optimizer.step = step
        for hook in hooks:
            hook.remove()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """A block whose CPU time counts for this part."""
        start_s = time.process_time()
        yield
        self.seconds[name] += time.process_time() - start_s

    def epoch(self, run: RunSpec, test_s: float) -> Seconds:
        """The measured times, scaled to an epoch of the whole data set (the test from one image)."""
        n_train, n_test = run.data.n_train, run.data.n_test
        scale = n_train / run.n_train_samples()
        known = {part: scale * self.seconds[part] for part in ("prepare", "forward", "optimizer")}
        backward_s = scale * self.seconds["all"] - sum(known.values())
        return {part: {**known, "backward": backward_s, "test": n_test * test_s}[part] for part in PARTS}


class _Timed:
    """Batches, with the time that each takes."""

    def __init__(self, batches: Any, clock: _Clock) -> None:
        self._batches, self._clock = batches, clock
        self.dataset = getattr(batches, "dataset", None)

    def __iter__(self) -> Iterator[Any]:
        with self._clock.part("prepare"):
            batches = iter(self._batches)
        while True:
            with self._clock.part("prepare"):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch


def _cpu_seconds(function: Callable[[], Any]) -> float:
    start_s = time.process_time()
    function()
    return time.process_time() - start_s
