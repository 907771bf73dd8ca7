"""Does the production trainer find what another way of training finds? `python -m benchmarks.equivalence`.

Against the textbook reference, each trains with its own random numbers, so only the law of the final test accuracy can
agree. Against bfloat16, production trains each run in both precisions with the same random numbers: pairs. Each finished
pair is appended to the CSV at once: the same command, given again, goes on where it was stopped, or only draws the figure.
"""

import argparse
import csv
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy import stats

from benchmarks import reference
from jobs.provenance import machine
from noisy import data
from noisy.processor import this_processor
from noisy.spec import ACTIVATION_NAMES, MODEL_TYPES, RunSpec
from noisy.training import train

PS = (0.0, 0.5, 0.8)
OTHERS = ("reference", "bfloat16")
COLUMNS = ("run_id", "model_type", "activation", "p", "repeat", "other", "production_accuracy", "other_accuracy")
Pairs = dict[tuple[str, str], tuple[float, float]]  # (run_id, other): final test accuracies in [0, 1]


class Difference(NamedTuple):
    """Of mean accuracies, production less the other, with its 95 % interval; p_value: of equal laws (Kolmogorov-Smirnov)."""

    mean: float
    low: float
    high: float
    p_value: float


def main() -> None:
    """Train what the CSV lacks, then print the comparison."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.equivalence", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--data-dir", default=os.environ.get("NOISY_DATA_DIR", "data"), help="holds MNIST/raw (default: %(default)s)")
    add("--other", choices=OTHERS, default="reference", help="what is compared with (default: %(default)s)")
    add("--seeds", type=int, default=20, help="runs of each trainer at each p, at least 2 (default: %(default)s)")
    add("--model-type", choices=MODEL_TYPES, default="mlp")
    add("--activation", choices=ACTIVATION_NAMES, default="relu")
    add("--out", type=Path, default=Path("results/equivalence.csv"), help="finished pairs (default: %(default)s)")
    add("--figure", type=Path, help="also draw the differences into this file")
    options = parser.parse_args()
    if options.seeds < 2:
        parser.error(f"--seeds: {options.seeds}: allowed: an integer of at least 2")
    if options.other == "bfloat16" and this_processor().bfloat16_refusal:
        parser.error(f"--other: bfloat16: {this_processor().bfloat16_refusal}")
    specs = {p: [_spec(options, p, repeat) for repeat in range(options.seeds)] for p in PS}
    try:
        pairs = _train_missing([spec for cell in specs.values() for spec in cell], options)
    except data.DataError as error:
        parser.error(str(error))
    accuracies = {p: np.array([pairs[spec.run_id, options.other] for spec in cell]) for p, cell in specs.items()}
    _print_comparison(options, accuracies)
    if options.figure:
        _draw(options, accuracies)


def _spec(options: argparse.Namespace, p: float, repeat: int) -> RunSpec:
    return RunSpec(
        dataset="mnist",
        activation=options.activation,
        model_type=options.model_type,
        p=p,
        repeat=repeat,
        seed=1,
        epochs=3,
        batch_size=128,
        learning_rate=1e-3,
        weight_decay=0.0,
        max_train_samples=10_000,
    )


def _train_missing(specs: list[RunSpec], options: argparse.Namespace) -> Pairs:
    pairs = _read(options.out)
    mnist = data.stage("mnist", options.data_dir)

    def production(spec: RunSpec) -> float:
        return float(train(spec, mnist).test_accuracy[-1])

    others: dict[str, Callable[[RunSpec], float]] = {
        "reference": lambda spec: reference.train_and_evaluate(spec, options.data_dir)["test_accuracy"],
        "bfloat16": lambda spec: production(replace(spec, precision="bfloat16")),
    }
    for spec in specs:
        if (spec.run_id, options.other) not in pairs:
            ours, theirs = pairs[spec.run_id, options.other] = production(spec), others[options.other](spec)
            run = (spec.model_type, spec.activation, spec.p, spec.repeat)
            _append(options.out, (spec.run_id, *run, options.other, ours, theirs))
            print(*run, f"production {ours:.4f} {options.other} {theirs:.4f}", flush=True)
    return pairs


def _read(path: Path) -> Pairs:
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {(row["run_id"], row["other"]): (float(row["production_accuracy"]), float(row["other_accuracy"])) for row in rows}


def _append(path: Path, row: tuple) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, row] if is_new else [row])


def _difference(pairs: np.ndarray, other: str) -> Difference:
    """pairs: float64 (n, 2), production and other. Pairs share their random numbers with bfloat16, not with the reference."""
    ours, theirs = pairs.T
    test = stats.ttest_rel(ours, theirs) if other == "bfloat16" else stats.ttest_ind(ours, theirs, equal_var=False)
    interval = test.confidence_interval(0.95)
    return Difference(ours.mean() - theirs.mean(), interval.low, interval.high, stats.ks_2samp(ours, theirs).pvalue)


def _print_comparison(options: argparse.Namespace, accuracies: dict[float, np.ndarray]) -> None:
    """accuracies[p]: float64 (n, 2), production and other."""
    print(f"\n{machine()['cpu']}, 1 thread, torch {torch.__version__}")
    print(f"{_title(options)}; final test accuracy")
    print(f"{'p':>4}{'n':>4}{'production':>12}{options.other:>11}{'difference':>12}   95 % interval        KS p-value")
    for p, pairs in accuracies.items():
        found, (ours, theirs) = _difference(pairs, options.other), pairs.mean(axis=0)
        print(f"{p:4}{len(pairs):4}{ours:12.4f}{theirs:11.4f}{found.mean:+12.4f}", end="")
        print(f"   {found.low:+.4f} to {found.high:+.4f}{found.p_value:12.2f}")


def _draw(options: argparse.Namespace, accuracies: dict[float, np.ndarray]) -> None:
    """The mean difference at each p with its 95 % interval."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3), layout="constrained")
    axes = figure.subplots()
    found = [_difference(pairs, options.other) for pairs in accuracies.values()]
    means = 100 * np.array([one.mean for one in found])
    reach = 100 * np.array([(one.mean - one.low, one.high - one.mean) for one in found]).T
    axes.errorbar([f"{p:g}" for p in accuracies], means, reach, fmt="o", capsize=4)
    axes.axhline(0, color="0.7", zorder=0)
    axes.set(xlabel="p", ylabel=f"production less {options.other},\npercentage points", title=f"n = {options.seeds} each")
    figure.suptitle(_title(options), fontsize="small")
    options.figure.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.figure)


def _title(options: argparse.Namespace) -> str:
    return f"{options.model_type}, {options.activation}, batch 128, first 10,000 images of MNIST, 3 epochs"


if __name__ == "__main__":
    main()
