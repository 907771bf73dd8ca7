"""The keys of grid.yaml: what each may hold, and its default. The check of a file and the JSON schema are made from them."""

from typing import Any, NamedTuple

from hpc.request.own import OWN_FILE
from hpc.request.paths import FOLDER
from noisy.allowed import POSITIVE_INT, Allowed, integer, or_null
from noisy.spec import ALLOWED, DEFAULT_HIDDEN_SIZES


class Key(NamedTuple):
    """A key of a grid.

    allowed: its value, or each of its values if it has a list of them; about: for an editor to show; field: of RunSpec, if the
    user's own files may register more values of it.
    """

    allowed: Allowed
    default: Any
    about: str
    field: str = ""


_WEEK_MIN = 7 * 24 * 60
_BOOLEAN = Allowed("true or false", lambda v: isinstance(v, bool), {"type": "boolean"})

SCALARS = {  # one value
    "output_dir": Key(FOLDER, "results", "the campaign's folder"),
    "dataset": Key(ALLOWED["dataset"], "mnist", "all but digits are downloaded, unless they are in data_dir", "dataset"),
    "data_dir": Key(FOLDER, "data", "the folder of the data sets"),
    "seed": Key(ALLOWED["seed"], 1234, "all random numbers follow from it and from the number of the repeat"),
    "repeats": Key(POSITIVE_INT, 5, "runs of each cell, with different random numbers"),
    "max_workers": Key(or_null(POSITIVE_INT, "null (all cores)"), None, "workers at the same time"),
    "worker_time_min": Key(integer(5, _WEEK_MIN, f"from 5 to {_WEEK_MIN} (a week)"), 60, "minutes asked for of a scheduler"),
    "cpu_threads_per_worker": Key(POSITIVE_INT, 1, "another number changes the last bits of results"),
    "data_workers": Key(ALLOWED["repeat"], 0, "threads of a worker that prepare batches ahead"),
    "use_cuda": Key(_BOOLEAN, False, "train on a GPU"),
}
AXES = {  # a list of values
    "activations": Key(ALLOWED["activation"], ["relu", "tanh", "sigmoid"], "leaky_relu has the slope 0.1", "activation"),
    "model_types": Key(ALLOWED["model_type"], ["mlp"], "the kinds of networks", "model_type"),
    "ps": Key(ALLOWED["p"], [0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0], "probabilities that a pixel of a training image is replaced"),
}
TRAINING = {  # one value or a list of values, for all model types; below `models`, for one
    "epochs": Key(ALLOWED["epochs"], 5, "passes over the training images"),
    "batch_size": Key(ALLOWED["batch_size"], 128, "images"),
    "learning_rate": Key(ALLOWED["learning_rate"], 0.001, "of Adam"),
    "weight_decay": Key(ALLOWED["weight_decay"], 0.0, "L2 penalty that is added to the gradient"),
    "max_train_samples": Key(ALLOWED["max_train_samples"], None, "the first N training images; null: all"),
    "hidden_sizes": Key(ALLOWED["hidden_sizes"], list(DEFAULT_HIDDEN_SIZES), "units of each hidden layer of an mlp"),
    "precision": Key(ALLOWED["precision"], "float32", "of the inputs of matrix products in training"),
}
EXTENSIONS = Key(OWN_FILE, [], "own models, activations and data sets: Python files, from the grid's folder")
KEYS = (*SCALARS, *AXES, *TRAINING, "models", "extensions")
DEFAULTS = {"extensions": EXTENSIONS.default, **{name: key.default for name, key in (SCALARS | AXES | TRAINING).items()}}


def fields_of(model_type: str) -> tuple[str, ...]:
    """The keys that a model type may have below `models`."""
    return tuple(name for name in TRAINING if name != "hidden_sizes" or model_type == "mlp")
