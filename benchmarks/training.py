"""CPU seconds of the production trainer against the textbook reference, on one thread: `python -m benchmarks.training`.

The trainings are short; the cost of a step is the slope between a run of few steps and a run of many, and what is left of a
whole run is its set-up and its evaluation on the full test set. Both trainers run in alternation in this one process,
since a shared machine's speed drifts: ratios count, not seconds.
"""

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import NamedTuple

import torch

from benchmarks import reference
from jobs.provenance import machine
from noisy import data
from noisy.spec import DATASETS, RunSpec
from noisy.training import train

P = 0.3
CASES = {  # what is trained, and the number of steps of the long run
    "mlp": ({"model_type": "mlp", "hidden_sizes": (1024, 512, 256), "batch_size": 512}, 30),
    "cnn": ({"model_type": "cnn", "batch_size": 256}, 10),
}


class Cost(NamedTuple):
    """CPU seconds: of one training step, of a run's set-up and evaluation, and of the whole measured run."""

    step_s: float
    rest_s: float
    whole_s: float


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
        print(f"MNIST is not in {str(data.folder('mnist', arguments.data_dir))!r}: measured on digits, at most 1,442 images")
    data.stage(dataset, arguments.data_dir)
    print(f"{machine()['cpu']}, 1 thread, torch {torch.__version__}")
    print(f"{dataset}, relu, p = {P}; medians of n = {arguments.repeats} each, in alternation")
    print(f"{'':24}{'production':>12}{'reference':>12}   ratio (smallest to largest of the n pairs)")
    for fields, n_steps in CASES.values():
        _measure(_spec(dataset, fields, n_steps), arguments.data_dir, arguments.repeats)


def _spec(dataset: str, fields: dict, n_steps: int) -> RunSpec:
    n_images = min(n_steps * fields["batch_size"], DATASETS[dataset].n_train)
    constants = {"activation": "relu", "p": P, "repeat": 0, "seed": 1, "epochs": 1, "learning_rate": 1e-3, "weight_decay": 0.0}
    return RunSpec(dataset=dataset, max_train_samples=n_images, **constants, **fields)


def _measure(spec: RunSpec, data_dir: str, repeats: int) -> None:
    def production(run: RunSpec) -> None:
        train(run, data.load(run.dataset, data_dir))

    def baseline(run: RunSpec) -> None:
        reference.train_and_evaluate(run, data_dir)

    _cost(production, spec), _cost(baseline, spec)  # not counted: libraries load their kernels, files enter the cache
    pairs = [(_cost(production, spec), _cost(baseline, spec)) for _ in range(repeats)]
    name = " ".join([spec.model_type, *(["-".join(map(str, spec.hidden_sizes))] if spec.hidden_sizes else [])])
    print(f"{name}, batch {spec.batch_size}, first {spec.max_train_samples:,} images, 1 epoch of {_n_steps(spec)} steps")
    for field, label in (("step_s", "one step, CPU ms"), ("rest_s", "set-up + test, CPU ms"), ("whole_s", "whole run, CPU ms")):
        ours, theirs = ([getattr(pair[side], field) for pair in pairs] for side in (0, 1))
        ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
        milliseconds = f"{1000 * median(ours):12,.1f}{1000 * median(theirs):12,.1f}"
        print(f"  {label:22}{milliseconds}{median(ratios):8.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})", flush=True)


def _cost(trainer: Callable[[RunSpec], None], spec: RunSpec) -> Cost:
    short = replace(spec, max_train_samples=spec.batch_size)
    short_s, whole_s = _cpu_seconds(trainer, short), _cpu_seconds(trainer, spec)
    step_s = (whole_s - short_s) / (_n_steps(spec) - _n_steps(short))
    return Cost(step_s, whole_s - _n_steps(spec) * step_s, whole_s)


def _n_steps(spec: RunSpec) -> int:
    return -(-spec.n_train_samples() // spec.batch_size)


def _cpu_seconds(trainer: Callable[[RunSpec], None], spec: RunSpec) -> float:
    start_s = time.process_time()
    trainer(spec)
    return time.process_time() - start_s


if __name__ == "__main__":
    main()
