"""Does the production trainer find what the textbook reference finds? `python -m benchmarks.equivalence`.

Both train the same runs, each with its own random numbers, so only the law of the final test accuracy can agree. Each
finished pair is appended to the CSV at once: the same command, given again, goes on where it was stopped.
"""

import argparse
import csv
import os
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from benchmarks import reference
from jobs.provenance import machine
from noisy import data
from noisy.spec import MODEL_TYPES, RunSpec
from noisy.training import train

PS = (0.0, 0.5, 0.8)
COLUMNS = ("run_id", "model_type", "p", "repeat", "production_accuracy", "reference_accuracy")
Pairs = dict[str, tuple[float, float]]  # run_id: final test accuracy in [0, 1] of production and reference


def main() -> None:
    """Train what the CSV lacks, then print the comparison."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.equivalence", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--data-dir", default=os.environ.get("NOISY_DATA_DIR", "data"), help="holds MNIST/raw (default: %(default)s)"
    )
    parser.add_argument(
        "--seeds", type=int, default=10, help="runs of each trainer at each p, at least 2 (default: %(default)s)"
    )
    parser.add_argument("--model-type", choices=MODEL_TYPES, default="mlp")
    parser.add_argument(
        "--out", type=Path, default=Path("results/equivalence.csv"), help="finished pairs (default: %(default)s)"
    )
    arguments = parser.parse_args()
    if arguments.seeds < 2:
        parser.error(f"--seeds: {arguments.seeds}: allowed: an integer of at least 2")
    specs = {p: [_spec(arguments.model_type, p, repeat) for repeat in range(arguments.seeds)] for p in PS}
    try:
        pairs = _train_missing([spec for cell in specs.values() for spec in cell], arguments.data_dir, arguments.out)
    except data.DataError as error:
        parser.error(str(error))
    _print_comparison(arguments.model_type, {p: np.array([pairs[spec.run_id] for spec in cell]) for p, cell in specs.items()})


def _spec(model_type: str, p: float, repeat: int) -> RunSpec:
    return RunSpec(
        dataset="mnist",
        activation="relu",
        model_type=model_type,
        p=p,
        repeat=repeat,
        seed=1,
        epochs=3,
        batch_size=128,
        learning_rate=1e-3,
        weight_decay=0.0,
        max_train_samples=5_000,
    )


def _train_missing(specs: list[RunSpec], data_dir: str, path: Path) -> Pairs:
    pairs = _read(path)
    mnist = data.stage("mnist", data_dir)
    for spec in specs:
        if spec.run_id not in pairs:
            ours = float(train(spec, mnist).test_accuracy[-1])
            theirs = reference.train_and_evaluate(spec, data_dir)["test_accuracy"]
            pairs[spec.run_id] = ours, theirs
            _append(path, (spec.run_id, spec.model_type, spec.p, spec.repeat, ours, theirs))
            run = f"{spec.model_type} p {spec.p} repeat {spec.repeat}"
            print(f"{run}: production {ours:.4f} reference {theirs:.4f}", flush=True)
    return pairs


def _read(path: Path) -> Pairs:
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {row["run_id"]: (float(row["production_accuracy"]), float(row["reference_accuracy"])) for row in rows}


def _append(path: Path, row: tuple) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, row] if is_new else [row])


def _print_comparison(model_type: str, accuracies: dict[float, np.ndarray]) -> None:
    """accuracies[p]: float64 (n, 2), column 0 production, column 1 reference."""
    print(f"\n{machine()['cpu']}, 1 thread, torch {torch.__version__}")
    print(f"{model_type}, relu, batch 128, first 5,000 images of MNIST, 3 epochs; final test accuracy")
    print(f"{'p':>4}{'n':>4}{'production':>12}{'reference':>11}{'difference':>12}   95 % interval (Welch)   KS p-value")
    for p, pair in accuracies.items():
        ours, theirs = pair.T
        low, high = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
        means = f"{ours.mean():12.4f}{theirs.mean():11.4f}{ours.mean() - theirs.mean():+12.4f}"
        print(f"{p:4}{len(pair):4}{means}   {low:+.4f} to {high:+.4f}{stats.ks_2samp(ours, theirs).pvalue:19.2f}")


if __name__ == "__main__":
    main()
