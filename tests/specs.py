"""Tiny run specifications for the tests."""

from typing import Any

from noisy.runs import Runs
from noisy.spec import RunSpec


def runs(*specs: RunSpec) -> Runs:
    """These runs, as manifests and tasks hold them."""
    return Runs.of(specs)


def spec(**changes: Any) -> RunSpec:
    """A run of well under a second on digits, with `changes`; an mlp has one hidden layer of 32 unless told otherwise."""
    fields: dict[str, Any] = {
        "dataset": "digits",
        "activation": "relu",
        "model_type": "mlp",
        "p": 0.3,
        "repeat": 0,
        "seed": 1234,
        "epochs": 2,
        "batch_size": 128,
        "learning_rate": 0.001,
        "weight_decay": 0.0,
        **changes,
    }
    if fields["model_type"] == "mlp":
        fields.setdefault("hidden_sizes", (32,))
    return RunSpec(**fields)
