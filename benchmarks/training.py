"""CPU seconds of the production trainer against the textbook reference, on one thread: `python -m benchmarks.training`.

A few steps and a part of the test set are timed and scaled to an epoch of the whole data set. The trainers run in
alternation, since a shared machine's speed drifts: ratios count, not seconds. Each has a process of its own, a fresh one in
each round: where memory happens to lie makes one process faster than another.
"""

import argparse
import itertools
import os
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from statistics import median
from typing import Any

import torch
from tqdm import tqdm

from benchmarks.memory import footprint
from benchmarks.parts import PARTS, Seconds, overhead_s, seconds_of_production, seconds_of_reference
from benchmarks.peak import peak_gflops, training_flops
from jobs.provenance import machine
from noisy import data
from noisy.models import build_model
from noisy.processor import this_processor
from noisy.spec import PRECISIONS, RunSpec

CASES: dict[str, tuple[dict[str, Any], int]] = {  # what is trained, and how many steps of it are timed
    "MLP 1024-512-256": ({"model_type": "mlp", "hidden_sizes": (1024, 512, 256), "batch_size": 512}, 2),
    "MLP 256-128": ({"model_type": "mlp", "hidden_sizes": (256, 128), "batch_size": 512}, 3),
    "CNN": ({"model_type": "cnn", "batch_size": 256}, 2),
}
VARIANTS = [{"activation": activation, "p": p} for activation in ("relu", "tanh", "sigmoid") for p in (0.0, 0.3, 0.9)]
TRAINERS = ("reference", *(name for name in PRECISIONS if name == "float32" or not this_processor().bfloat16_refusal))
Measured = dict[tuple[RunSpec, str], list[Seconds]]  # (run, trainer) -> an epoch's seconds, by round


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--data-dir", default=os.environ.get("NOISY_DATA_DIR", "data"), help="holds MNIST/raw (default: %(default)s)"
    )
    parser.add_argument("--repeats", type=int, default=5, help="rounds of measurements, at least 1 (default: %(default)s)")
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
    print(f"{dataset}; CPU seconds an epoch, sampled; medians of n = {arguments.repeats} processes of each, in alternation")
    print("ratio: to the reference; peak: of an epoch's training, the part that its products would take at this core's peak")
    cases = {name: (_spec(dataset, fields), n_steps) for name, (fields, n_steps) in CASES.items()}
    measured: Measured = defaultdict(list)
    with tqdm(total=arguments.repeats * len(cases) * len(VARIANTS), leave=False, disable=None) as progress:
        for _ in range(arguments.repeats):
            measure(list(cases.values()), arguments.data_dir, measured, progress)
    for name, (spec, _) in cases.items():
        print(f"\n{name}, batch {spec.batch_size}")
        print_table(spec, measured, peaks)
        with _process() as process:
            overheads_ms = [1000 * process.submit(overhead_s, spec, arguments.data_dir).result() for _ in range(5)]
        print(f"production: a run costs {median(overheads_ms):.0f} CPU ms beside its epochs")
        _print_footprints(replace(spec, max_train_samples=2 * spec.batch_size), arguments.data_dir)


def _spec(dataset: str, fields: dict[str, Any]) -> RunSpec:
    constants = {"repeat": 0, "seed": 1, "epochs": 1, "learning_rate": 1e-3, "weight_decay": 0.0}
    return RunSpec(dataset=dataset, activation="relu", p=0.3, **constants, **fields)


def measure(cases: list[tuple[RunSpec, int]], data_dir: str, measured: Measured, progress: tqdm) -> None:
    """One round: every variant of every case, the trainers in turn."""
    with _process() as for_reference, _process() as for_production:
        for spec, n_steps in cases:
            for i, variant in enumerate(VARIANTS):
                run = replace(spec, **variant)
                for trainer in TRAINERS:
                    if trainer == "reference":
                        timed = partial(for_reference.submit, seconds_of_reference, run, n_steps, data_dir)
                    else:
                        its_run = replace(run, precision=trainer)
                        timed = partial(for_production.submit, seconds_of_production, its_run, n_steps, data_dir)
                    if i == 0:
                        timed().result()  # not counted: libraries load their kernels
                    measured[run, trainer].append(timed().result())
                progress.update()


def _process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, get_context("spawn"))


def print_table(spec: RunSpec, measured: Measured, peaks: dict[str, float]) -> None:
    """One network's: a line for each variant and trainer, and the ratios of all variants together."""
    print(f"{'':33}" + "".join(f"{part:>10}" for part in (*PARTS, "epoch", "ratio", "peak")))
    ratios: dict[str, list[float]] = defaultdict(list)
    for run, trainer in itertools.product([replace(spec, **variant) for variant in VARIANTS], TRAINERS):
        rounds = measured[run, trainer]
        pairs = zip(rounds, measured[run, "reference"], strict=True)
        ratio = median(_total(ours) / _total(reference) for ours, reference in pairs)
        parts = {part: median(one[part] for one in rounds) for part in PARTS}
        epoch_s = median(map(_total, rounds))
        share = _seconds_at_peak(run, peaks, trainer) / (epoch_s - parts["test"])
        ratios[trainer].append(ratio)
        numbers = "".join(f"{seconds:10.2f}" for seconds in (*parts.values(), epoch_s, ratio, share))
        print(f"{run.activation:8} p {run.p:<4}{trainer:>17} {numbers}")
    for trainer, values in ratios.items():
        if trainer != "reference":
            print(f"{trainer}: {median(values):.3f} of the reference's CPU time ({min(values):.3f} to {max(values):.3f})")


def _print_footprints(spec: RunSpec, data_dir: str) -> None:
    for trainer in ("reference", "production"):
        found = footprint(trainer, spec, data_dir)
        more = f"{found.peak_mb - found.torch_mb:.0f} MB above `import torch` ({found.torch_mb:.0f} MB)"
        print(f"{trainer}: peak {more}; start-up {found.ready_s:.1f} CPU s, of which torch {found.torch_s:.1f}", flush=True)


def _total(seconds: Seconds) -> float:
    return sum(seconds.values())


def _seconds_at_peak(run: RunSpec, peaks: dict[str, float], trainer: str) -> float:
    """Of an epoch's training, if all products ran at the core's peak."""
    kind = "bfloat16 " if trainer == "bfloat16" else ""
    flops = training_flops(build_model(run, 10))
    return sum(run.n_train_samples() * flops[of] / (1e9 * peaks[f"{kind}{of}"]) for of in flops)


if __name__ == "__main__":
    main()
