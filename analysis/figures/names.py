"""Names as in a paper: MNIST, MLP 256-128, ReLU."""

import math
from typing import Any

import pandas as pd

from analysis.datasets import info
from analysis.planned import CELL_FIELDS

OTHER_FIELDS = tuple(name for name in CELL_FIELDS if name not in ("p", "activation", "model_type"))  # the further axes
_NAMES = {
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "kmnist": "Kuzushiji-MNIST",
    "digits": "digits",
    "mlp": "MLP",
    "cnn": "CNN",
    "relu": "ReLU",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "leaky_relu": "leaky ReLU",
    "gelu": "GELU",
}
_FIELDS = {"max_train_samples": "training images", "hidden_sizes": "hidden", "dataset": "", "precision": ""}
# Accuracy of a network that always answers with the largest class of the test set. Other data sets have 1 / classes.
_MAJORITY = {"mnist": 0.1135, "digits": 36 / 355}


def named(name: Any) -> str:
    """The name of an activation, model type or data set."""
    return _NAMES.get(str(name), str(name))


def majority(dataset: str) -> float:
    """Accuracy, in [0, 1], of always answering with the largest class of the test set; NaN if nobody knows the data set."""
    found = info(dataset)
    return _MAJORITY.get(dataset, 1 / found.n_classes if found else math.nan)


def varying(cells: pd.DataFrame) -> list[str]:
    """The further axes: fields other than p, activation and model type with more than one value in the cells."""
    # (a cnn has no hidden sizes)
    return [name for name in OTHER_FIELDS if cells[name].nunique(dropna=name == "hidden_sizes") > 1]


def setting(cells: pd.DataFrame, fields: list[str]) -> str:
    """The common values of these cells in `fields`, as text such as "learning rate 0.01, hidden 64-32"."""
    first = cells.iloc[0]
    told = [name for name in fields if name == "max_train_samples" or not pd.isna(first[name])]  # a cnn has no hidden sizes
    return ", ".join(f"{_FIELDS.get(name, name.replace('_', ' '))} {named(text_of(first[name]))}".strip() for name in told)


def file_part(cells: pd.DataFrame, fields: list[str]) -> str:
    """The same for the name of a file, such as `learning_rate=0.01,hidden_sizes=64-32`."""
    first = cells.iloc[0]
    return ",".join(f"{name}={named(text_of(first[name]))}" for name in fields)


def network(cells: pd.DataFrame) -> str:
    """Data set and network, such as "MNIST, MLP 256-128"; without sizes if the cells have several."""
    data = ", ".join(named(name) for name in pd.unique(cells["dataset"]))
    models = []
    for model_type, members in cells.groupby("model_type", sort=False, observed=True):
        sizes = members["hidden_sizes"].dropna().unique()
        models.append(f"{named(model_type)} {sizes[0]}" if len(sizes) == 1 else named(model_type))
    return f"{data}, {' and '.join(models)}"


def text_of(value: Any) -> str:
    """A value of a cell as text. A missing value, as of `max_train_samples`, is "all"."""
    if pd.isna(value):
        return "all"
    return f"{value:g}" if isinstance(value, float) else str(value)
