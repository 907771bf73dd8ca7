"""Does the production trainer find what another way of training finds? `python -m benchmarks.equivalence`.

Against the textbook reference, each trains with its own random numbers, so only the law of the final test accuracy can
agree. Against bfloat16, production trains each run in both precisions with the same random numbers: pairs. Each finished
pair is appended to the CSV at once: the same command, given again, goes on where it was stopped, or only draws the figure,
which lies beside the CSV.
"""

import argparse
import csv
import itertools
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
OTHERS = {"reference": "production", "bfloat16": "float32"}  # what is compared with -> what production is called beside it
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
    add("--seeds", type=int, default=20, help="runs of each at each p, 2 or more; the CSV may hold more (default: %(default)s)")
    add("--model-types", nargs="+", choices=MODEL_TYPES, default=list(MODEL_TYPES), help="(default: all)")
    add("--activation", choices=ACTIVATION_NAMES, default="relu")
    add("--out", type=Path, help="finished pairs (default: docs/equivalence_OTHER.csv)")
    options = parser.parse_args()
    if options.seeds < 2:
        parser.error(f"--seeds: {options.seeds}: allowed: an integer of at least 2")
    if options.other == "bfloat16" and this_processor().bfloat16_refusal:
        parser.error(f"--other: bfloat16: {this_processor().bfloat16_refusal}")
    options.out = options.out or Path("docs") / f"equivalence_{options.other}.csv"
    names = [(model, options.activation, p) for model in options.model_types for p in PS]
    try:
        pairs = _train_missing([_spec(*name, repeat) for name in names for repeat in range(options.seeds)], options)
    except data.DataError as error:
        parser.error(str(error))
    accuracies = {(model, p): _accuracies((model, activation, p), options.other, pairs) for model, activation, p in names}
    _print_comparison(options, accuracies)
    _draw(options, accuracies)


def _spec(model_type: str, activation: str, p: float, repeat: int) -> RunSpec:
    return RunSpec(
        dataset="mnist",
        activation=activation,
        model_type=model_type,
        p=p,
        repeat=repeat,
        seed=1,
        epochs=3,
        batch_size=128,
        learning_rate=1e-3,
        weight_decay=0.0,
        max_train_samples=10_000,
    )


def _accuracies(name: tuple[str, str, float], other: str, pairs: Pairs) -> np.ndarray:
    """float64 (n, 2), production and other: of repeats 0, 1, ..., as far as there are pairs."""
    run_ids = (_spec(*name, repeat).run_id for repeat in itertools.count())
    return np.array([pairs[run_id, other] for run_id in itertools.takewhile(lambda run_id: (run_id, other) in pairs, run_ids)])


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


def _print_comparison(options: argparse.Namespace, accuracies: dict[tuple[str, float], np.ndarray]) -> None:
    """accuracies[model type, p]: float64 (n, 2), production and other."""
    print(f"\n{machine()['cpu']}, 1 thread, torch {torch.__version__}")
    print(f"{_what(options)}; final test accuracy")
    print(f"{'':5}{'p':>4}{'n':>4}{OTHERS[options.other]:>12}{options.other:>11}", end="")
    print(f"{'difference':>12}   95 % interval        KS p-value")
    for (model, p), pairs in accuracies.items():
        found, (ours, theirs) = _difference(pairs, options.other), pairs.mean(axis=0)
        print(f"{model:5}{p:4}{len(pairs):4}{ours:12.4f}{theirs:11.4f}{found.mean:+12.4f}", end="")
        print(f"   {found.low:+.4f} to {found.high:+.4f}{found.p_value:12.2f}")


def _draw(options: argparse.Namespace, accuracies: dict[tuple[str, float], np.ndarray]) -> None:
    """Every final accuracy, and below the mean difference at each p with its 95 % interval; a column for each model."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.6 * len(options.model_types), 5), layout="constrained")
    grid = figure.subplots(2, len(options.model_types), sharex=True, squeeze=False)
    for model, (above, below) in zip(options.model_types, grid.T, strict=True):
        for place, p in enumerate(PS):
            for side, (values, colour) in enumerate(zip(accuracies[model, p].T, ("C0", "C1"), strict=True)):
                label = (OTHERS[options.other], options.other)[side] if place == 0 else None
                above.plot(np.full(len(values), place - 0.1 + 0.2 * side), values, ".", color=colour, alpha=0.6, label=label)
            found = _difference(accuracies[model, p], options.other)
            reach = 100 * np.array([[found.mean - found.low], [found.high - found.mean]])
            below.errorbar(place, 100 * found.mean, reach, fmt="o", capsize=4, color="0.2")
        above.set_title(f"{model.upper()}, n = {len(accuracies[model, PS[-1]])} of each")
        above.set(xticks=range(len(PS)), xticklabels=[f"{p:g}" for p in PS])
        below.axhline(0, color="0.7", zorder=0)
        below.set(xlabel="p", xlim=(-0.5, len(PS) - 0.5))
    grid[0, 0].set_ylabel("final test accuracy")
    grid[0, 0].legend(frameon=False)
    grid[1, 0].set_ylabel(f"{OTHERS[options.other]} less {options.other},\nmean, percentage points")
    figure.suptitle(f"{_what(options)}; 95 % intervals", fontsize="small")
    figure.savefig(options.out.with_suffix(".png"), dpi=110)


def _what(options: argparse.Namespace) -> str:
    return f"{options.activation}, batch 128, first 10,000 images of MNIST, 3 epochs"


if __name__ == "__main__":
    main()
