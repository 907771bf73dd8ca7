"""CPU seconds of the production trainer against the textbook reference, on one thread: `python -m benchmarks.training`.

A few steps and a part of the test set are timed and scaled to an epoch of the whole data set. The trainers run in
alternation, each in a process of its own, since a shared machine's speed drifts: ratios count, not seconds.
"""

import argparse
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from statistics import median
from typing import Any

import torch

from benchmarks.memory import footprint
from benchmarks.parts import PARTS, Seconds, overhead_s, seconds_of_production, seconds_of_reference
from benchmarks.peak import peak_gflops, training_flops
from jobs.provenance import machine
from noisy import data
from noisy.models import build_model
from noisy.processor import this_processor
from noisy.spec import PRECISIONS, RunSpec

CASES: dict[str, tuple[dict[str, Any], int]] = {  # what is trained, and how many steps of it are timed
    "MLP 1024-512-256": ({"model_type": "mlp", "hidden_sizes": (1024, 512, 256), "batch_size": 512}, 4),
    "MLP 256-128": ({"model_type": "mlp", "hidden_sizes": (256, 128), "batch_size": 512}, 6),
    "CNN": ({"model_type": "cnn", "batch_size": 256}, 3),
}
ACTIVATIONS, PS = ("relu", "tanh", "sigmoid"), (0.0, 0.3, 0.9)


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
    data.stage(dataset, arguments.data_dir)
    peaks = peak_gflops()
    print(f"{machine()['cpu']}, 1 thread, torch {torch.__version__}, products of linear layers: {machine()['product_route']}")
    print("peak of this core, GFLOP/s: " + ", ".join(f"{kind} {peak:.0f}" for kind, peak in peaks.items()))
    print(f"{dataset}; CPU seconds an epoch, sampled; medians of n = {arguments.repeats} in alternation")
    print("ratio: to the reference; peak: of an epoch's training, the part that its products would take at this core's peak")
    fresh = get_context("spawn")
    with ProcessPoolExecutor(1, fresh) as reference, ProcessPoolExecutor(1, fresh) as production:
        for name, (fields, n_steps) in CASES.items():
            measure_case(name, _spec(dataset, fields), n_steps, arguments, peaks, {"reference": reference, "": production})


def _spec(dataset: str, fields: dict[str, Any], activation: str = "relu", p: float = 0.3) -> RunSpec:
    constants = {"repeat": 0, "seed": 1, "epochs": 1, "learning_rate": 1e-3, "weight_decay": 0.0}
    return RunSpec(dataset=dataset, activation=activation, p=p, **constants, **fields)


def measure_case(
    name: str,
    spec: RunSpec,
    n_steps: int,
    arguments: argparse.Namespace,
    peaks: dict[str, float],
    processes: dict[str, ProcessPoolExecutor],
) -> None:
    """Print one network's table. processes: `reference` runs there, all else in ``."""
    print(f"\n{name}, batch {spec.batch_size}\n{'':33}" + "".join(f"{part:>10}" for part in (*PARTS, "epoch", "ratio", "peak")))
    ratios: dict[str, list[float]] = {}
    for activation, p in itertools.product(ACTIVATIONS, PS):
        run = replace(spec, activation=activation, p=p)
        trainers = _trainers(run, n_steps, arguments.data_dir, processes)
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
    overheads_ms = [1000 * processes[""].submit(overhead_s, spec, arguments.data_dir).result() for _ in range(5)]
    print(f"production: a run costs {median(overheads_ms):.0f} CPU ms beside its epochs")
    _print_footprints(replace(spec, max_train_samples=2 * spec.batch_size), arguments.data_dir)


def _print_footprints(spec: RunSpec, data_dir: str) -> None:
    for trainer in ("reference", "production"):
        found = footprint(trainer, spec, data_dir)
        more = f"{found.peak_mb - found.torch_mb:.0f} MB above `import torch` ({found.torch_mb:.0f} MB)"
        print(f"{trainer}: peak {more}; start-up {found.ready_s:.1f} CPU s, of which torch {found.torch_s:.1f}", flush=True)


def _trainers(
    run: RunSpec, n_steps: int, data_dir: str, processes: dict[str, ProcessPoolExecutor]
) -> dict[str, Callable[[], Seconds]]:
    """Name -> a function that times the trainer in its process."""

    def timed(process: str, seconds: Callable[[RunSpec, int, str], Seconds], run: RunSpec) -> Callable[[], Seconds]:
        return lambda: processes[process].submit(seconds, run, n_steps, data_dir).result()

    precisions = [name for name in PRECISIONS if name == "float32" or not this_processor().bfloat16_refusal]
    production = {name: timed("", seconds_of_production, replace(run, precision=name)) for name in precisions}
    return {"reference": timed("reference", seconds_of_reference, run), **production}


def _total(seconds: Seconds) -> float:
    return sum(seconds.values())


def _seconds_at_peak(run: RunSpec, peaks: dict[str, float], trainer: str) -> float:
    """Of an epoch's training, if all products ran at the core's peak."""
    kind = "bfloat16 " if trainer == "bfloat16" else ""
    flops = training_flops(build_model(run, 10))
    return sum(run.n_train_samples() * flops[of] / (1e9 * peaks[f"{kind}{of}"]) for of in flops)


if __name__ == "__main__":
    main()
