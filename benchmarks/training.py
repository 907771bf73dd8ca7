"""CPU seconds of the production trainer against the textbook reference, on one thread: `python -m benchmarks.training`.

A few steps and a part of the test set are timed, in the trainers' own loops, and scaled to an epoch of the whole data set.
All trainers run in alternation in this one process, since a shared machine's speed drifts: ratios count, not seconds.
"""

import argparse
import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from statistics import median
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Subset

from benchmarks import reference
from benchmarks.memory import footprint
from benchmarks.peak import CPU, peak_gflops, training_flops
from jobs.provenance import machine
from noisy import data
from noisy.allocator import keep_freed_memory
from noisy.batches import training_batches
from noisy.models import build_model
from noisy.optimizer import Adam
from noisy.processor import this_processor
from noisy.spec import DATASETS, RunSpec
from noisy.training import evaluate, fast_arithmetic, train, train_one_epoch

CASES: dict[str, tuple[dict[str, Any], int]] = {  # what is trained, and how many steps of it are timed
    "MLP 1024-512-256": ({"model_type": "mlp", "hidden_sizes": (1024, 512, 256), "batch_size": 512}, 4),
    "MLP 256-128": ({"model_type": "mlp", "hidden_sizes": (256, 128), "batch_size": 512}, 6),
    "CNN": ({"model_type": "cnn", "batch_size": 256}, 3),
}
ACTIVATIONS, PS = ("relu", "tanh", "sigmoid"), (0.0, 0.3, 0.9)
N_TEST = 2_000  # images of the test set that are timed
PARTS = ("prepare", "forward", "backward", "optimizer", "test")  # backward: with the loss and what else a step does
Seconds = dict[str, float]  # CPU seconds an epoch, by part


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--data-dir", default=os.environ.get("NOISY_DATA_DIR", "data"), help="holds MNIST/raw (default: %(default)s)"
    )
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each kind, at least 1 (default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.repeats < 1:
        parser.error(f"--repeats: {arguments.repeats}: allowed: an integer of at least 1")
    torch.set_num_threads(1)
    dataset = "mnist" if data.is_staged("mnist", arguments.data_dir) else "digits"
    if dataset == "digits":
        print(f"MNIST is not in {str(data.folder('mnist', arguments.data_dir))!r}: measured on digits")
    mapped = data.stage(dataset, arguments.data_dir)
    peaks = peak_gflops()
    print(f"{machine()['cpu']}, 1 thread, torch {torch.__version__}, products of linear layers: {machine()['product_route']}")
    print("peak of this core, GFLOP/s: " + ", ".join(f"{kind} {peak:.0f}" for kind, peak in peaks.items()))
    print(
        f"{dataset}; CPU seconds an epoch, sampled; medians of n = {arguments.repeats} in alternation; ratio: to the reference"
    )
    print("peak: the time of all products and convolutions at this core's peak, as a part of the whole time")
    for name, (fields, n_steps) in CASES.items():
        _measure_case(name, _spec(dataset, fields), n_steps, mapped, arguments, peaks)


def _spec(dataset: str, fields: dict[str, Any], activation: str = "relu", p: float = 0.3) -> RunSpec:
    constants = {"repeat": 0, "seed": 1, "epochs": 1, "learning_rate": 1e-3, "weight_decay": 0.0}
    return RunSpec(dataset=dataset, activation=activation, p=p, **constants, **fields)


def _measure_case(
    name: str, spec: RunSpec, n_steps: int, mapped: data.Data, arguments: argparse.Namespace, peaks: dict[str, float]
) -> None:
    print(f"\n{name}, batch {spec.batch_size}\n{'':33}" + "".join(f"{part:>10}" for part in (*PARTS, "epoch", "ratio", "peak")))
    ratios: dict[str, list[float]] = {}
    for activation, p in itertools.product(ACTIVATIONS, PS):
        run = replace(spec, activation=activation, p=p)
        trainers = _trainers(run, n_steps, mapped, arguments.data_dir)
        for measure in trainers.values():
            measure()  # not counted: libraries load their kernels, files enter the cache
        rounds = [{trainer: measure() for trainer, measure in trainers.items()} for _ in range(arguments.repeats)]
        for trainer in trainers:
            ratio = median(_total(one[trainer]) / _total(one["reference"]) for one in rounds)
            parts = {part: median(one[trainer][part] for one in rounds) for part in PARTS}
            epoch_s = median(_total(one[trainer]) for one in rounds)
            share = _seconds_at_peak(run, peaks, trainer) / (epoch_s - parts["test"])
            ratios.setdefault(trainer, []).append(ratio)
            numbers = "".join(f"{seconds:10.2f}" for seconds in (*parts.values(), epoch_s, ratio, share))
            print(f"{activation:8} p {p:<4}{trainer:>17} {numbers}", flush=True)
    for trainer, values in ratios.items():
        if trainer != "reference":
            print(f"{trainer}: {median(values):.3f} of the reference's CPU time ({min(values):.3f} to {max(values):.3f})")
    _print_overheads(replace(spec, max_train_samples=2 * spec.batch_size), mapped, arguments.data_dir)


def _print_overheads(spec: RunSpec, mapped: data.Data, data_dir: str) -> None:
    few = replace(mapped, test_images=mapped.test_images[:1], test_labels=mapped.test_labels[:1])
    one_image = replace(spec, max_train_samples=1, batch_size=1)
    overheads_ms = [1000 * _cpu_seconds(lambda: train(one_image, few)) for _ in range(5)]
    for trainer in ("reference", "production"):
        found = footprint(trainer, spec, data_dir)
        more = f"{found.peak_mb - found.torch_mb:.0f} MB above `import torch` ({found.torch_mb:.0f} MB)"
        print(f"{trainer}: peak {more}; start-up {found.ready_s:.1f} CPU s, of which torch {found.torch_s:.1f}")
    print(f"production: a run of one image: {median(overheads_ms):.0f} CPU ms", flush=True)


def _total(seconds: Seconds) -> float:
    return sum(seconds.values())


def _seconds_at_peak(run: RunSpec, peaks: dict[str, float], trainer: str) -> float:
    """Of an epoch's training, if all products ran at the core's peak."""
    kind = "bfloat16 " if "bfloat16" in trainer else ""
    flops = training_flops(build_model(run, 10))
    return sum(run.n_train_samples() * flops[of] / (1e9 * peaks[f"{kind}{of}"]) for of in flops)


def _trainers(run: RunSpec, n_steps: int, mapped: data.Data, data_dir: str) -> dict[str, Callable[[], Seconds]]:
    """Name -> a function that times `n_steps` steps and a part of the test set."""
    small = replace(run, max_train_samples=n_steps * run.batch_size)
    precisions = ["float32"] + ([] if this_processor().bfloat16_refusal else ["bfloat16"])
    production = {name: _production(replace(small, precision=name), mapped) for name in precisions}
    return {"reference": _reference(small, data_dir), **production}


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


def _production(run: RunSpec, mapped: data.Data) -> Callable[[], Seconds]:
    n_test = min(N_TEST, len(mapped.test_images))
    part = replace(mapped, test_images=mapped.test_images[:n_test], test_labels=mapped.test_labels[:n_test])
    model = build_model(run, mapped.n_classes).to(memory_format=torch.channels_last)
    optimizer = Adam(model.parameters(), run.learning_rate, run.weight_decay)

    def measure() -> Seconds:
        keep_freed_memory()
        clock = _Clock(model, optimizer)
        with fast_arithmetic(CPU):
            with clock.running():
                train_one_epoch(run, model, optimizer, _Timed(training_batches(run, mapped, 0), clock), CPU)
            return clock.epoch(run, _cpu_seconds(lambda: evaluate(run, model, part, CPU)) / n_test)

    return measure


class _Clock:
    """CPU seconds of the parts of a trainer's own loop, by hooks around its model and its optimizer."""

    def __init__(self, model: nn.Module, optimizer: Any) -> None:
        self._model, self._optimizer = model, optimizer
        self.seconds = dict.fromkeys((*PARTS[:-1], "all"), 0.0)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Within it, all is timed."""
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
        """Within it, CPU time counts as of this part."""
        start_s = time.process_time()
        yield
        self.seconds[name] += time.process_time() - start_s

    def epoch(self, run: RunSpec, test_s: float) -> Seconds:
        """What was timed, scaled from the run's images, and the test from one image, to an epoch of the whole data set."""
        n_train, n_test, _ = DATASETS[run.dataset]
        scale = n_train / run.n_train_samples()
        known = {part: scale * self.seconds[part] for part in ("prepare", "forward", "optimizer")}
        backward_s = scale * self.seconds["all"] - sum(known.values())
        return {part: {**known, "backward": backward_s, "test": n_test * test_s}[part] for part in PARTS}


class _Timed:
    """Batches, with the time that it takes to get each."""

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


if __name__ == "__main__":
    main()
