"""Does the production trainer find the same results as another way of training? `python -m benchmarks.equivalence`.

The textbook reference and production use different random numbers, so only the distributions of final test accuracies can
agree. For bfloat16, production trains each run in both precisions with the same random numbers, which gives pairs. The
comparison is
that of `noisy compare`. Each finished pair is appended to the CSV at once. The same command later continues from there, or only
draws the figure, which is beside the CSV.
"""

import argparse
import csv
import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from analysis.agreement import Agreement, agreement
from analysis.campaigns import say
from analysis.figures.agreement import agreement_figure
from analysis.figures.style import styled
from analysis.planned import cells_of
from benchmarks import reference
from jobs.provenance import machine
from noisy import data
from noisy.processor import this_processor
from noisy.runs import Runs
from noisy.spec import ACTIVATION_NAMES, MODEL_TYPES, RunSpec
from noisy.training import train

PS = (0.0, 0.5, 0.8)
OTHERS = {"reference": "production", "bfloat16": "float32"}  # the other way of training -> the name of production beside it
COLUMNS = ("run_id", "model_type", "activation", "p", "repeat", "other", "production_accuracy", "other_accuracy")
Pairs = dict[tuple[str, str], tuple[float, float]]  # (run_id, other): final test accuracies in [0, 1]


def main() -> None:
    """Train the pairs that are missing in the CSV, then print the comparison."""
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
    options.out = options.out or Path("docs") / f"equivalence_{options.other}.csv"
    names = [(model, options.activation, p) for model in options.model_types for p in PS]
    pairs = _read(options.out)
    wanted = (_spec(*name, repeat) for name in names for repeat in range(options.seeds))
    missing = [spec for spec in wanted if (spec.run_id, options.other) not in pairs]
    if missing and options.other == "bfloat16" and this_processor().bfloat16_refusal:
        parser.error(f"--other: bfloat16: {this_processor().bfloat16_refusal}")
    try:
        _train(missing, options, pairs)
    except data.DataError as error:
        parser.error(str(error))
    other, production = _tables(
        [_spec(*name, repeat) for name in names for repeat in _repeats(name, options.other, pairs)], options, pairs
    )
    found = agreement(other, production, in_pairs=options.other == "bfloat16")
    _print_comparison(options, found)
    with styled("slides"):
        figure = agreement_figure(found.table, options.other, OTHERS[options.other])
        figure.savefig(options.out.with_suffix(".png"), dpi=80)


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


def _repeats(name: tuple[str, str, float], other: str, pairs: Pairs) -> Iterator[int]:
    """Repeats 0, 1, ..., as far as there are pairs."""
    return itertools.takewhile(lambda repeat: (_spec(*name, repeat).run_id, other) in pairs, itertools.count())


def _tables(specs: list[RunSpec], options: argparse.Namespace, pairs: Pairs) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two tables, of the other way and of production, with a row for each run and the columns that a comparison needs."""
    cells = cells_of(Runs.of(specs))
    runs = cells.take(Runs.of(specs).cell).reset_index(drop=True).assign(repeat=[spec.repeat for spec in specs], status="ok")
    production, other = np.array([pairs[spec.run_id, options.other] for spec in specs]).T
    precision = options.other if options.other == "bfloat16" else "float32"
    return runs.assign(test_accuracy=other, precision=precision), runs.assign(test_accuracy=production)


def _train(specs: list[RunSpec], options: argparse.Namespace, pairs: Pairs) -> None:
    """Train these runs in both ways, and add them to the pairs and to the CSV."""
    if not specs:
        return
    mnist = data.stage("mnist", options.data_dir)

    def production(spec: RunSpec) -> float:
        return float(train(spec, mnist).test_accuracy[-1])

    others: dict[str, Callable[[RunSpec], float]] = {
        "reference": lambda spec: reference.train_and_evaluate(spec, options.data_dir)["test_accuracy"],
        "bfloat16": lambda spec: production(replace(spec, precision="bfloat16")),
    }
    for spec in specs:
        ours, theirs = pairs[spec.run_id, options.other] = production(spec), others[options.other](spec)
        run = (spec.model_type, spec.activation, spec.p, spec.repeat)
        _append(options.out, (spec.run_id, *run, options.other, ours, theirs))
        print(*run, f"production {ours:.4f} {options.other} {theirs:.4f}", flush=True)


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


def _print_comparison(options: argparse.Namespace, found: Agreement) -> None:
    print(f"\n{machine()['cpu']}, 1 thread, torch {torch.__version__}")
    print(f"{_what(options)}; final test accuracy; A is {options.other}, B is {OTHERS[options.other]}", *say(found), sep="\n")
    print(
        f"\n{'':5}{'p':>4}{'n':>4}{OTHERS[options.other]:>12}{options.other:>11}{'difference':>12}   interval, all together",
        end="",
    )
    print(f"{'p-value':>10}{'corrected':>11}")
    for cell in found.table.to_dict("records"):
        print(f"{cell['model_type']:5}{cell['p']:4}{cell['n_a']:4}{cell['mean_b']:12.4f}{cell['mean_a']:11.4f}", end="")
        print(f"{cell['mean_difference']:+12.4f}   {cell['ci95_low']:+.4f} to {cell['ci95_high']:+.4f}     ", end="")
        print(f"{cell['p_raw']:10.3f}{cell['p_holm']:11.3f}")


def _what(options: argparse.Namespace) -> str:
    return f"{options.activation}, batch 128, first 10,000 images of MNIST, 3 epochs"


if __name__ == "__main__":
    main()
