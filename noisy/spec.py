"""The definition of one run: its hyperparameters, its name (`run_id`) and its random streams. Does not load torch."""

import ctypes
import hashlib
import json
import operator
import re
import unicodedata
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, replace
from enum import IntEnum
from functools import cached_property
from typing import Any

import numpy as np

from noisy.allowed import MAX_INT, POSITIVE_INT, Allowed, integer, is_number, one_of, or_null
from noisy.datasets import DATASETS, DatasetInfo, info_of, is_text

ACTIVATION_NAMES = ("relu", "tanh", "sigmoid", "leaky_relu", "gelu")
MODEL_TYPES = ("mlp", "cnn")
PRECISIONS = ("float32", "bfloat16")
DEFAULT_HIDDEN_SIZES = (256, 128)
RESOLUTION = 2.0**-24  # step of the uniform numbers u that make the noise; for any smaller p, u < p holds only for u = 0


def shown(value: Any) -> str:
    """A user's value for a message, shortened to about 80 characters. Characters that are not ASCII are escaped and named.

    A Cyrillic letter can look like a Latin one, and a space without width cannot be seen.
    """
    text = ascii(value)
    return named(text if len(text) <= 80 else text[:77] + "...", value if isinstance(value, str) else repr(value))


def named(text: str, of: str = "") -> str:
    """Escape characters that are not ASCII, and add their names and those of such characters in `of`."""
    others = [c for c in dict.fromkeys(text + of) if not c.isascii()]
    names = [f"U+{ord(c):04X} {unicodedata.name(c, 'without a name')}" for c in others[:3]]
    return text.encode("ascii", "backslashreplace").decode() + (f" (with {', '.join(names)})" if names else "")


_DIGESTS = re.compile(r"([0-9a-f]{16}(\+[0-9a-f]{16})*)?")

ALLOWED: dict[str, Allowed] = {
    "dataset": one_of(tuple(DATASETS)),
    "activation": one_of(ACTIVATION_NAMES),
    "model_type": one_of(MODEL_TYPES),
    "p": Allowed(
        "a number from 0 to 1", lambda v: is_number(v) and 0 <= v <= 1, {"type": "number", "minimum": 0, "maximum": 1}
    ),
    "repeat": integer(0, MAX_INT),
    "seed": integer(0, 2**63 - 1, "from 0 to 2**63 - 1"),
    "epochs": POSITIVE_INT,
    "batch_size": POSITIVE_INT,
    "learning_rate": Allowed("a number above 0", lambda v: is_number(v) and v > 0, {"type": "number", "exclusiveMinimum": 0}),
    "weight_decay": Allowed("a number of at least 0", lambda v: is_number(v) and v >= 0, {"type": "number", "minimum": 0}),
    "hidden_sizes": Allowed(
        f"a list with at least one item, each {POSITIVE_INT.text}",
        lambda v: isinstance(v, list | tuple) and len(v) > 0 and all(map(POSITIVE_INT.holds, v)),
        {"type": "array", "minItems": 1, "items": POSITIVE_INT.schema},
    ),
    "max_train_samples": or_null(POSITIVE_INT),
    "precision": one_of(PRECISIONS),
    "extensions": Allowed("digests of files, joined by +", lambda v: isinstance(v, str) and bool(_DIGESTS.fullmatch(v))),
    "own_data": Allowed("the sizes and the digest of a data set", lambda v: isinstance(v, str) and (v == "" or is_text(v))),
}
# What a user's own file may register: beside the built-in names, any such name is allowed in a run that names the file.
OWN_NAME = Allowed(
    "a name of lower-case letters, digits and _, of at most 40 characters, that begins with a letter",
    lambda v: isinstance(v, str) and bool(re.fullmatch("[a-z][a-z0-9_]{0,39}", v, re.ASCII)),
    {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,39}$"},
)
BUILT_IN = {"dataset": tuple(DATASETS), "activation": ACTIVATION_NAMES, "model_type": MODEL_TYPES}
_WITH_OWN = {**ALLOWED, **dict.fromkeys(BUILT_IN, OWN_NAME)}

_CASTS: dict[str, Callable[[Any], Any]] = {
    "p": lambda v: float(v) + 0.0,  # + 0.0 turns -0.0 into 0.0, so that equal values have the same name
    "learning_rate": float,
    "weight_decay": lambda v: float(v) + 0.0,
    "repeat": operator.index,
    "seed": operator.index,
    "epochs": operator.index,
    "batch_size": operator.index,
    "hidden_sizes": lambda v: None if v is None else tuple(map(operator.index, v)),
    "max_train_samples": lambda v: None if v is None else operator.index(v),
}


class Stream(IntEnum):
    """The purposes of random numbers. Each has its own generators. The values below must not change: results depend on them."""

    WEIGHTS = 0
    ORDER = 1
    NOISE = 2


@dataclass(frozen=True)
class RunSpec:
    """Everything that defines one training, and nothing else. `Execution` says how it is executed.

    Fields with their default values are not part of the identity. So a later version can add a field with a default without
    changing any `run_id`.

    Raises:
        ValueError: a field has a value that `ALLOWED` does not allow, or does not apply to the model type.
    """

    dataset: str
    activation: str
    model_type: str
    p: float  # probability that a pixel of a training image is replaced, in [0, 1]
    repeat: int  # index within the cell
    seed: int
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float  # L2 penalty added to the gradient, as in torch.optim.Adam
    hidden_sizes: tuple[int, ...] | None = None  # only for mlp; None: DEFAULT_HIDDEN_SIZES
    max_train_samples: int | None = None  # the first N images of the training set; None: all
    precision: str = "float32"  # for the inputs of matrix products in training; weights, sums and evaluation are always float32
    extensions: str = ""  # digests of the user's own files that register what this run uses, sorted, joined by +
    own_data: str = ""  # of an own data set: DatasetInfo.text

    def __post_init__(self) -> None:
        if self.model_type == "mlp" and self.hidden_sizes is None:
            object.__setattr__(self, "hidden_sizes", DEFAULT_HIDDEN_SIZES)
        for name, allowed in (_WITH_OWN if self.extensions else ALLOWED).items():
            value = getattr(self, name)
            if not (value is None and name == "hidden_sizes") and not allowed.holds(value):
                raise ValueError(f"{name}: {shown(value)}: allowed: {allowed.text}")
            if name in _CASTS:
                object.__setattr__(self, name, _CASTS[name](value))
        if self.model_type != "mlp" and self.hidden_sizes is not None:
            raise ValueError(f"hidden_sizes: {self.hidden_sizes!r}: applies to mlp only, not to {self.model_type!r}")
        if bool(self.own_data) != (self.dataset not in DATASETS):
            raise ValueError(f"own_data: {self.own_data!r}: allowed: the sizes of an own data set, and not of {self.dataset!r}")
        if self.extensions and not any(getattr(self, name) not in names for name, names in BUILT_IN.items()):
            raise ValueError(f"extensions: {self.extensions!r}: allowed: nothing, since all of this run is built in")

    def canonical_json(self) -> str:
        """The identity as text: sorted keys, no spaces, fields at their default left out."""
        identity = {
            name: value for name, default in _DEFAULTS if (value := getattr(self, name)) != default or default is MISSING
        }
        return json.dumps(identity, sort_keys=True, separators=(",", ":"))

    @cached_property
    def run_id(self) -> str:
        """The run's name: 16 hexadecimal digits of the SHA-256 of `canonical_json()`."""
        return run_id_of(self.canonical_json())

    @property
    def label(self) -> str:
        """A short name for people. Several cells may share it."""
        return f"{self.model_type} {self.activation} p={self.p:g} repeat {self.repeat}"

    def shape(self) -> "RunSpec":
        """What runs must have in common to be trained together: everything but activation, p, repeat and seed."""
        extensions = self.extensions if self.has_own_model or self.own_data else ""
        return replace(self, activation=ACTIVATION_NAMES[0], p=0.0, repeat=0, seed=0, extensions=extensions)

    @property
    def has_own_model(self) -> bool:
        """Whether a user's own file registers its model."""
        return self.model_type not in MODEL_TYPES

    @property
    def data(self) -> DatasetInfo:
        """The sizes of its data set."""
        return info_of(self.dataset, self.own_data)

    def n_train_samples(self) -> int:
        """The number of training images in an epoch."""
        return as_trained("max_train_samples", self.max_train_samples, self.data.n_train)

    def generator(self, stream: Stream, *indices: int) -> np.random.Generator:
        """The generator for one purpose. It depends only on (seed, repeat, purpose, indices).

        Runs with the same repeat share weights, order and noise, for every activation, model and p. numpy's SeedSequence
        derives the streams, and its hash keeps different (seed, spawn_key) pairs independent.

        Args:
            stream: the purpose.
            indices: () for WEIGHTS, (epoch,) for ORDER, (epoch, batch) for NOISE, counted from 0.
        """
        sequence = np.random.SeedSequence(self.seed, spawn_key=(int(stream), self.repeat, *indices))
        return np.random.Generator(np.random.SFC64(sequence))


def as_trained(name: str, value: Any, n_train: int) -> Any:
    """A field's value in the form that training uses. If two values have the same form, they give the same training.

    Args:
        name: a field of RunSpec that may be an axis of a grid.
        value: an allowed value of that field.
        n_train: the number of training images: those of the data set for `max_train_samples`, those used for `batch_size`.
    """
    if name == "max_train_samples":
        return n_train if value is None else min(value, n_train)
    if name == "batch_size":
        return min(value, n_train)
    if name in ("p", "learning_rate", "weight_decay"):
        return ctypes.c_float(max(value, RESOLUTION) if name == "p" and value > 0 else value).value
    return value


_DEFAULTS = [(f.name, f.default) for f in fields(RunSpec)]


def run_id_of(canonical_json: str) -> str:
    """The `run_id` of a canonical JSON text, computed without a RunSpec."""
    return digest_of(canonical_json.encode())


def digest_of(content: bytes) -> str:
    """16 hexadecimal digits of the SHA-256 of a run's identity, or of an own file."""
    return hashlib.sha256(content).hexdigest()[:16]


def spec_of(canonical_json: str) -> RunSpec:
    """The RunSpec of a canonical JSON text."""
    return RunSpec(**json.loads(canonical_json))


@dataclass(frozen=True)
class Execution:
    """How runs are executed. This is recorded with the results, but is not part of a run's identity."""

    cpu_threads: int = 1
    data_workers: int = 0  # threads that prepare batches in advance; 0: batches are made when they are needed
    use_cuda: bool = False
    runs_together: int = 1  # the most runs that are trained as one computation; more than 1 is faster only on a GPU
