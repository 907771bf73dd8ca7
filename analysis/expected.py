"""Expected ranges of results. Values outside are flagged; a flag is a reason to look, not an error."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from noisy.datasets import DATASETS

FLAGS = ("row", "what", "value", "low", "high", "text")
_CHANCE_REACH = (
    0.03  # allowed deviation from 1 / classes; on MNIST, a network that always answers "1" has an accuracy of 0.1135
)
# Range of accuracies at p = 1: nothing can be learnt, but the answers to clean images are not evenly distributed.
_NOISE_ONLY = (0.02, 0.25)


class Known(NamedTuple):
    """Mean accuracy of a network of grid.yaml on MNIST, as in grids/mnist_check.yaml. epochs: the least number of epochs."""

    model_type: str
    p: float
    low: float
    high: float
    epochs: int
    hidden_sizes: str | None = None
    activations: tuple[str, ...] = ("relu", "tanh", "sigmoid")


KNOWN = (
    Known("mlp", 0.0, 0.975, 0.987, 15, "1024-512-256"),
    Known("mlp", 0.5, 0.95, 0.98, 15, "1024-512-256", ("relu",)),
    Known("cnn", 0.0, 0.985, 0.994, 6),
)


def flags(summary: pd.DataFrame) -> pd.DataFrame:
    """Everything that is not as expected, one row for each value.

    Args:
        summary: `analysis.statistics.summarise`, all columns.

    Returns:
        Columns FLAGS: row (int, the label of the cell's row in `summary`), what (text), value (fraction, found), low and high
        (fractions, expected) and text (one line with all of it).
    """
    return pd.DataFrame(list(_flags(summary)), columns=list(FLAGS))


def _flags(summary: pd.DataFrame) -> Iterator[tuple[int, str, float, float, float, str]]:
    finished = summary[summary["repeats"] > 0]
    found = [*_unlike_known(finished), *_chance_elsewhere(finished), *_learnt_from_noise(finished)]
    for row, what, value, low, high in sorted(found, key=lambda one: one[0]):
        cell = summary.loc[row]
        where = f"{cell['model_type']} {cell['activation']} p = {cell['p']:g} on {cell['dataset']} (n = {cell['repeats']})"
        yield row, what, value, low, high, f"{where}: {what} {value:.4f}; expected: {low:g} to {high:g}"


def _unlike_known(cells: pd.DataFrame) -> Iterator[tuple[int, str, float, float, float]]:
    for known in KNOWN:
        is_known = (
            (cells["dataset"] == "mnist")
            & (cells["model_type"] == known.model_type)
            & (cells["p"] == known.p)
            & cells["activation"].isin(known.activations)
            & (cells["epochs"] >= known.epochs)
            & (cells["learning_rate"] == 0.001)
            & (cells["weight_decay"] == 0)
            & cells["max_train_samples"].isna()
        )
        if known.hidden_sizes:
            is_known &= cells["hidden_sizes"] == known.hidden_sizes
        for row, cell in cells[is_known].iterrows():
            if cell["chance"] and known.p == 0:
                yield row, "share of runs at chance without noise", cell["share_chance"], 0, 0
            mean = cell["mean_trained_accuracy"]
            if cell["n_trained"] and not known.low <= mean <= known.high:
                yield row, "mean accuracy of the runs that trained", mean, known.low, known.high


def _chance_elsewhere(cells: pd.DataFrame) -> Iterator[tuple[int, str, float, float, float]]:
    """Runs at chance answer with one class, so their accuracy must be near 1 / classes."""
    cells = cells[(cells["chance"] > 0) & (cells["diverged"] == 0)]
    level = cells["dataset"].map({name: 1 / info.n_classes for name, info in DATASETS.items()}).astype(float)
    mean = mean_at_chance(cells)
    for row in cells.index[(mean - level).abs() > _CHANCE_REACH]:
        yield row, "mean accuracy of the runs at chance", mean[row], level[row] - _CHANCE_REACH, level[row] + _CHANCE_REACH


def mean_at_chance(cells: pd.DataFrame) -> pd.Series:
    """Mean accuracy of the runs at chance, if no run diverged. It is computed from the mean of all and that of the others."""
    trained = (cells["n_trained"] * cells["mean_trained_accuracy"]).where(cells["n_trained"] > 0, 0)
    return (cells["repeats"] * cells["mean_test_accuracy"] - trained) / cells["chance"]


def _learnt_from_noise(cells: pd.DataFrame) -> Iterator[tuple[int, str, float, float, float]]:
    low, high = _NOISE_ONLY
    mean = cells["mean_test_accuracy"]
    outside = (cells["p"] == 1) & cells["dataset"].isin(list(DATASETS)) & ~mean.between(low, high)
    yield from (
        (row, "mean accuracy after training on noise only", mean[row], low, high) for row in np.array(cells.index)[outside]
    )
