"""The user's own models, activations and data sets: the files that a grid names under `extensions`.

They need torch, which commands do not load. So another process executes them and tries what the grid names (trying.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpc.request.paths import FOLDER
from hpc.request.trying import tried
from hpc.request.yaml_file import Check
from jobs.reading import brief, read_regular
from noisy.data import DataError, is_staged, stage
from noisy.datasets import DatasetInfo, info_of
from noisy.owndata import kept, own_folder
from noisy.spec import ALLOWED, BUILT_IN, Allowed, digest_of

_MOST_BYTES = 1_000_000
_KINDS = {"model_type": "model", "activation": "activation", "dataset": "dataset"}  # field of RunSpec -> what is registered
_USED = {"model": "model_types", "activation": "activations", "dataset": "dataset"}  # what is registered -> key of the grid
_LENGTHS = ("batch_size", "max_train_samples")
OWN_FILE = Allowed(
    "the path of a Python file, from the grid's folder",
    lambda v: isinstance(v, str) and v.endswith(".py") and v.isprintable(),
    {"type": "string", "pattern": r"\.py$"},
)


@dataclass(frozen=True)
class OwnFile:
    """A user's own file as it was read. path: absolute."""

    path: Path
    content: bytes

    @property
    def digest(self) -> str:
        """The digest that names it in runs."""
        return digest_of(self.content)


@dataclass(frozen=True)
class Own:
    """What a grid's own files register.

    registered: what (a value of _KINDS) -> name -> the number of its file; own_data: as in RunSpec.
    """

    files: tuple[OwnFile, ...] = ()
    registered: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    own_data: str = ""

    def names(self, name: str, built_in: tuple[str, ...]) -> tuple[str, ...]:
        """The values that a field may have."""
        return *built_in, *self.registered.get(_KINDS[name], ())

    def allowed(self, name: str, allowed: Allowed) -> Allowed:
        """What a field or a key of the grid may hold, with what is registered."""
        if name not in _KINDS:
            return allowed
        names = self.names(name, BUILT_IN[name])
        return Allowed("one of " + ", ".join(names), lambda value: isinstance(value, str) and value in names)

    def samples(self, dataset: Any) -> Allowed:
        """What `max_train_samples` may hold."""
        allowed, info = ALLOWED["max_train_samples"], self.info(dataset)
        if info is None:
            return allowed
        text = f"null or an integer from 1 to {info.n_train} (the size of {dataset})"
        return Allowed(text, lambda v: allowed.holds(v) and (v is None or v <= info.n_train))

    def info(self, dataset: Any) -> DatasetInfo | None:
        """The sizes of a data set; None if there is none of this name."""
        if dataset in BUILT_IN["dataset"]:
            return info_of(dataset)
        return info_of(dataset, self.own_data) if self.own_data else None

    def of(self, dataset: str, activation: str, model_type: str) -> dict[str, Any]:
        """The fields of a run with these names: `extensions` and `own_data`."""
        named = {"dataset": dataset, "activation": activation, "model": model_type}
        numbers = (self.registered.get(kind, {}).get(name) for kind, name in named.items())
        digests = {self.files[number].digest for number in numbers if number is not None}
        return {"extensions": "+".join(sorted(digests)), "own_data": "" if dataset in BUILT_IN["dataset"] else self.own_data}

    def is_staged(self, dataset: str, data_dir: Path) -> bool:
        """Whether the data set of the grid is in its folder. It raises what noisy.data.is_staged raises."""
        return self._folder(dataset, data_dir).is_dir() if self.own_data else is_staged(dataset, data_dir)

    def stage(self, dataset: str, data_dir: Path) -> None:
        """Put the data set of the grid into its folder, if it is not there.

        Raises:
            DataError: it cannot be had, or is another than when the grid was read.
        """
        if not self.own_data:
            stage(dataset, data_dir)
            return
        info = info_of(dataset, self.own_data)
        there = kept(dataset, self._folder(dataset, data_dir), info.n_classes)
        if there and there.own == info:  # no process has to load torch
            return
        nothing: dict[str, Any] = {"model": [], "activation": [], "lengths": {}}
        request = {**nothing, "dataset": [dataset], "data_dir": str(data_dir), "is_kept": True}
        answer = _tried(self.files, request)
        said = [f"{self.files[number].path}: {text}" for number, text in answer["problems"]]
        if answer["own_data"] != self.own_data:
            said.append(f"read again, it is {answer['own_data'] or 'nothing'}, and it was {self.own_data}")
        if said:
            raise DataError(f"dataset {dataset}: not to be had", said)

    def _folder(self, dataset: str, data_dir: Path) -> Path:
        return own_folder(dataset, self.files[self.registered["dataset"][dataset]].digest, data_dir)


NOTHING_OWN = Own()


def read_own(values: Mapping[str, Any], folder: Path, data_dir: Path | None, check: Check) -> Own:
    """Read the own files of a grid, execute them, and try what the grid names. Problems are noted.

    Args:
        values: of all keys, not yet checked.
        folder: of the grid; data_dir: instead of the grid's.
    """
    paths = values["extensions"]
    if paths == []:
        return NOTHING_OWN
    n_before = len(check.problems)
    files = tuple(_read(place, path, folder, check) for place, path in enumerate(check.axis("extensions", paths, OWN_FILE)))
    used = {kind: [name for name in _listed(values[key]) if isinstance(name, str)] for kind, key in _USED.items()}
    assumed = {  # a file with a problem may register them
        kind: {name: 0 for name in used[kind] if name not in BUILT_IN[field]} for field, kind in _KINDS.items()
    }
    if len(check.problems) > n_before:
        return Own(registered=assumed)
    own_dir = data_dir or Path(values["data_dir"] if FOLDER.holds(values["data_dir"]) else ".").expanduser()
    lengths = {model: _lengths(values, model) for model in used["model"]}
    answer = _tried(files, {**used, "lengths": lengths, "data_dir": str(own_dir.resolve()), "is_kept": False})
    registered = answer["registered"]
    for number, text in answer["problems"]:
        what, _, allowed = text.partition("; allowed: ")
        check.problem(f"extensions[{number}]", what, paths[number], allowed or "see docs/extensions.md")
    if answer["problems"]:
        return Own(files, assumed | {kind: {**assumed[kind], **own} for kind, own in registered.items()}, answer["own_data"])
    for number in range(len(files)):
        names = [(kind, name) for kind, own in registered.items() for name, its in own.items() if its == number]
        if not any(name in used[kind] for kind, name in names):
            what = f"not used: the grid names nothing that it registers ({', '.join(name for _, name in names) or 'nothing'})"
            check.problem(f"extensions[{number}]", what, paths[number], "leaving it out")
    return Own(files, registered, answer["own_data"])


def _read(place: int, name: Any, folder: Path, check: Check) -> OwnFile:
    path = folder / str(name)
    try:
        content = read_regular(path)
        if len(content) > _MOST_BYTES:
            check.problem(f"extensions[{place}]", f"more than {_MOST_BYTES:,} bytes", name, OWN_FILE.text)
        return OwnFile(path.absolute(), content)
    except (OSError, ValueError) as error:
        if isinstance(name, str):
            check.problem(f"extensions[{place}]", f"cannot be read from {folder} ({brief(error)})", name, OWN_FILE.text)
        return OwnFile(path, b"")


def _listed(value: Any) -> list:
    return value if isinstance(value, list) else [value]


def _lengths(values: Mapping[str, Any], model: str) -> dict[str, list]:
    """The values of what decides how many images the last batch has; without those that are not allowed."""
    models = values.get("models")
    its = models.get(model) if isinstance(models, dict) else None
    given = {**values, **(its if isinstance(its, dict) else {})}
    return {name: [value for value in _listed(given[name]) if ALLOWED[name].holds(value)] for name in _LENGTHS}


def _tried(files: Sequence[OwnFile], request: dict[str, Any]) -> dict[str, Any]:
    return tried([file.path for file in files], [file.content for file in files], request)
