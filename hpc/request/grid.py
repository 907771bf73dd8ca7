"""Read grid.yaml: the result is a Grid, or one error with every problem of the file."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpc.request.keys import AXES, DEFAULTS, KEYS, SCALARS, TRAINING, fields_of
from hpc.request.own import NOTHING_OWN, Own, read_own
from hpc.request.settings import put
from hpc.request.yaml_file import Check, GridError, parse_yaml, with_values
from jobs.extensions import copy_name
from noisy.runs import Runs
from noisy.spec import ALLOWED, MODEL_TYPES, Allowed, Execution, RunSpec, as_trained

Problem = tuple[str, Any, str]  # what is wrong, the value, what is allowed
Sections = Mapping[str, Callable[[Any, Any], Problem | None]]  # name of an executor's section -> the check of one option

MAX_RUNS = 10_000_000
_RUNS_ON_GPU = 128  # runs trained together, enough to keep a GPU busy; a worker halves the number if memory is too small
_MAX_BYTES = 200_000  # size of a grid file; PyYAML takes seconds for such a file

_TOLD_APART = {  # key -> which values of it are different trainings
    "max_train_samples": "each number of images once; null is all {n_train:,}",
    "batch_size": "at most one value of {n_train:,} or more, because all of them mean one batch of all images",
}
_FLOAT_TOLD_APART = "values that differ in float32, in which training computes"


@dataclass(frozen=True)
class Grid:
    """A validated grid.

    training: model type -> field of RunSpec -> the values of that axis (one value if it is not varied); options: name of an
    executor's section -> its options.
    """

    output_dir: Path
    dataset: str
    data_dir: Path
    seed: int
    activations: tuple[str, ...]
    ps: tuple[float, ...]
    repeats: int
    training: dict[str, dict[str, tuple]]
    max_workers: int | None  # None: the executor decides
    worker_time_min: int  # time limit of a worker on a scheduler
    execution: Execution
    options: dict[str, dict[str, str | int | float | bool]]
    text: str  # what a campaign keeps of the file: see `_kept`
    own: Own = NOTHING_OWN  # the user's own models, activations and data sets
    settings: tuple[str, ...] = ()  # what `--set` replaced: KEY=VALUE

    @property
    def n_runs(self) -> int:
        """The number of runs, computed without listing them."""
        per_model = (math.prod(len(values) for values in axes.values()) for axes in self.training.values())
        return self.repeats * len(self.activations) * len(self.ps) * sum(per_model)

    def cells(self) -> Iterator[RunSpec]:
        """The first repeat of every cell."""
        for model_type, axes in self.training.items():
            for values in itertools.product(*axes.values()):
                training = dict(zip(axes, values, strict=True))
                for activation, p in itertools.product(self.activations, self.ps):
                    own = self.own.of(self.dataset, activation, model_type)
                    yield RunSpec(self.dataset, activation, model_type, p, 0, self.seed, **training, **own)

    def runs(self) -> Runs:
        """All runs, ordered by repeat, so that every cell gets its first repeats early."""
        return Runs.of_grid(self.cells(), self.repeats)


def load_grid(path: Path, sections: Sections, data_dir: Path | None = None, settings: Sequence[str] = ()) -> Grid:
    """Read and validate a grid file. Own files that it names are executed in another process.

    Args:
        sections: name of each allowed section for an executor -> the check of one option.
        data_dir: instead of the grid's.
        settings: KEY=VALUE, which replace values of the file; KEY as in `models.cnn.epochs`.

    Raises:
        GridError: the file or a setting has problems; the error lists all of them.
    """
    try:
        if path.exists() and not path.is_file():  # opening a pipe could wait forever
            raise GridError(["not a file (a folder, a pipe or a device); allowed: the path of a grid file"])
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)  # not more, because the path may be /dev/zero
        if len(content) > _MAX_BYTES:
            raise GridError([f"more than {_MAX_BYTES:,} bytes; allowed: the path of a grid file"])
        return parse_grid(content.decode(), sections, path.parent, data_dir, settings)
    except OSError as error:
        raise GridError(
            [f"cannot be read: {error.strerror}; allowed: the path of a grid file, such as grids/quickstart.yaml"]
        ) from error
    except UnicodeDecodeError as error:
        raise GridError([f"byte {error.start}: not UTF-8 text; allowed: a YAML file"]) from error


def parse_grid(
    text: str,
    sections: Sections | None = None,
    folder: Path = Path(),
    data_dir: Path | None = None,
    settings: Sequence[str] = (),
) -> Grid:
    """Validate the text of a grid file; see `load_grid`. folder: in which its own files are."""
    values, check = parse_yaml(text)
    changed = put(settings, values, check)
    sections = sections or {}
    check.keys("", values, (*KEYS, *sections))
    given = DEFAULTS | values
    own = read_own(given, folder, data_dir, check)
    scalars = {name: check.value(name, given[name], own.allowed(key.field, key.allowed)) for name, key in SCALARS.items()}
    axes = {name: check.axis(name, given[name], own.allowed(key.field, key.allowed)) for name, key in AXES.items()}
    _check_twins("ps", "p", axes["ps"], 0, check)
    training = _training(values, axes["model_types"], scalars["dataset"], own, check)
    options = {name: _section(name, values.get(name, {}), problem_of, check) for name, problem_of in sections.items()}
    if check.problems:
        raise GridError(check.problems)
    grid = Grid(
        **{key: scalars[key] for key in ("dataset", "seed", "repeats", "max_workers", "worker_time_min")},
        output_dir=Path(scalars["output_dir"]).expanduser(),
        data_dir=Path(scalars["data_dir"]).expanduser(),
        activations=axes["activations"],
        ps=axes["ps"],
        training=training,
        execution=Execution(
            scalars["cpu_threads_per_worker"],
            scalars["data_workers"],
            scalars["use_cuda"],
            _RUNS_ON_GPU if scalars["use_cuda"] else 1,
        ),
        options=options,
        text=_kept(text, values, changed, own),
        own=own,
        settings=tuple(settings),
    )
    if grid.n_runs > MAX_RUNS:
        raise GridError([f"the grid: {grid.n_runs:,} runs; allowed: at most {MAX_RUNS:,}; shorten an axis or repeats"])
    return grid


def _kept(text: str, values: dict, changed: list[str], own: Own) -> str:
    """The text that a campaign keeps: with the values of `--set`, and with the names of its own copies of the user's files."""
    if own.files:
        copies = [f"extensions/{copy_name(file.path.name, file.content)}" for file in own.files]
        values, changed = values | {"extensions": copies}, [*dict.fromkeys([*changed, "extensions"])]
    return with_values(text, values, changed) if changed else text


def _training(values: dict, model_types: tuple, dataset: Any, own: Own, check: Check) -> dict[str, dict[str, tuple]]:
    """The axes of every model type. Values under `models` replace those at the top of the grid, which replace the defaults."""
    every, allowed, info = own.names("model_type", MODEL_TYPES), own.samples(dataset), own.info(dataset)
    models = check.mapping("models", values.get("models", {}), every)
    given = {name: check.mapping(f"models.{name}", models.get(name, {}), fields_of(name)) for name in every}
    top = {name: _training_axis(name, name, values[name], allowed, check) for name in TRAINING if name in values}
    overrides = {
        model: {
            name: _training_axis(f"models.{model}.{name}", name, value, allowed, check)
            for name, value in given[model].items()
            if name in fields_of(model)
        }
        for model in every
    }
    defaults = {name: (tuple(k.default) if isinstance(k.default, list) else k.default,) for name, k in TRAINING.items()}
    run = [model for model in model_types if model in every]
    for model in (model for model in every if model in models and run and model not in run):
        check.problem(f"models.{model}", "not used: model_types does not list it", models[model], f"{' and '.join(run)} here")
    for name in top:
        if run and all(name in overrides[model] or name not in fields_of(model) for model in run):
            why = f"each model type that is run ({', '.join(run)}) has no such key, or its own value under models"
            check.problem(name, f"not used: {why}", values[name], "leaving it out")
    training = {model: {name: {**defaults, **top, **overrides[model]}[name] for name in fields_of(model)} for model in run}
    _check_all_twins(training, overrides, info.n_train if info else 2**31, check)  # 2**31: more than any value
    return training


def _check_all_twins(training: dict[str, dict[str, tuple]], overrides: dict[str, dict], n_train: int, check: Check) -> None:
    """Check that no axis lists the same training twice. For example, two values of `batch_size` may both mean all images."""
    places: dict[str, tuple[str, tuple, int]] = {}
    for model, axes in training.items():
        samples = filter(ALLOWED["max_train_samples"].holds, axes["max_train_samples"])
        fewest = min((as_trained("max_train_samples", value, n_train) for value in samples), default=n_train)
        for name, values in axes.items():
            place = f"models.{model}.{name}" if name in overrides[model] else name
            n_used = fewest if name == "batch_size" else n_train
            places[place] = name, values, min(n_used, places.get(place, (name, values, n_used))[2])
    for place, (name, values, n_used) in places.items():
        _check_twins(place, name, values, n_used, check)


def _check_twins(where: str, name: str, values: tuple, n_train: int, check: Check) -> None:
    """Check that no two values of an axis are the same training; see `as_trained`. (Equal values are found earlier.)"""
    if not all(map(ALLOWED[name].holds, values)):
        return
    first: dict[Any, int] = {}
    for i, value in enumerate(values):
        twin = first.setdefault(as_trained(name, value, n_train), i)
        if values[twin] != value and value not in values[:i]:
            allowed = _TOLD_APART.get(name, _FLOAT_TOLD_APART).format(n_train=n_train)
            check.problem(f"{where}[{i}]", f"the same training as {where}[{twin}], {values[twin]!r}", value, allowed)


def _training_axis(where: str, name: str, value: Any, samples: Allowed, check: Check) -> tuple:
    """The values of an axis: one value, or a list of them. `hidden_sizes` is a list itself, so its axis is a list of lists."""
    allowed = samples if name == "max_train_samples" else ALLOWED[name]
    is_axis = isinstance(value, list) and (name != "hidden_sizes" or any(isinstance(item, list) for item in value))
    return check.axis(where, value, allowed) if is_axis else (check.value(where, value, allowed),)


def _section(name: str, value: Any, problem_of: Callable[[Any, Any], Problem | None], check: Check) -> dict:
    options = check.mapping(name, value, None)
    for key, option in options.items():
        if problem := problem_of(key, option):
            check.problem(name if problem[1] is key else f"{name}.{key}", *problem)
    return options
