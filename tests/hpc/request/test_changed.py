"""What changed between two grids, as a person would say it."""

import pytest

from hpc.request.changed import compare
from hpc.request.grid import parse_grid

BASE = "dataset: digits\nrepeats: 2\n"
BOTH = BASE + "model_types: [mlp, cnn]\n"


@pytest.mark.parametrize(
    ("old", "new", "n_new", "n_gone", "lines"),
    [
        (BASE, BASE, 0, 0, []),
        (BASE, BASE + "max_workers: 3", 0, 0, []),
        (BASE + "ps: [0, 0.5]", BASE + "ps: [0.5, 0]", 0, 0, []),
        (BASE, BASE + "seed: 2", 42, 42, ["seed: 1234 -> 2"]),
        (BASE, BASE + "epochs: 6", 42, 42, ["epochs: 5 -> 6"]),
        (BASE, BASE.replace("2", "3"), 21, 0, ["repeats: 2 -> 3"]),
        (BASE, BASE.replace("2", "1"), 0, 21, ["repeats: 2 -> 1"]),
        (BASE + "ps: [0, 0.5]", BASE + "ps: [0.25, 0, 0.5]", 6, 0, ["ps: [0.0, 0.5] -> [0.0, 0.25, 0.5]"]),
        (BASE + "ps: [0, 0.5]", BASE + "ps: [0.25, 0]", 6, 6, ["ps: [0.0, 0.5] -> [0.0, 0.25]"]),
        (BASE, BASE + "hidden_sizes: [[8], [8, 4]]", 84, 42, ["hidden_sizes: [256, 128] -> [[8], [8, 4]]"]),
        (BASE, BASE + "max_train_samples: [null, 100]", 42, 0, ["max_train_samples: null -> [null, 100]"]),
        (BASE, BOTH, 42, 0, ["model_types: mlp -> [cnn, mlp]"]),
        (BOTH, BOTH + "epochs: 6", 84, 84, ["epochs: 5 -> 6"]),
        (BOTH, BOTH + "models: {mlp: {epochs: 6}}", 42, 42, ["models.mlp.epochs: 5 -> 6"]),
        (
            BOTH,
            BOTH + "models: {mlp: {epochs: 6}, cnn: {epochs: 7}}",
            84,
            84,
            ["models.cnn.epochs: 5 -> 7", "models.mlp.epochs: 5 -> 6"],
        ),
        (
            BASE + "activations: [relu]",
            BASE.replace("digits", "mnist") + "activations: [tanh]\nprecision: bfloat16",
            14,
            14,
            ["dataset: digits -> mnist", "activations: relu -> tanh", "precision: float32 -> bfloat16"],
        ),
    ],
)
def test_what_changed(old: str, new: str, n_new: int, n_gone: int, lines: list[str]) -> None:
    found = compare(parse_grid(old).runs(), parse_grid(new).runs())
    assert (found.n_new, len(found.gone), found.lines) == (n_new, n_gone, lines)
