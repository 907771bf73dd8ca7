"""Models, activations and data sets by their names, and the decorators that register them.

The built-in ones (noisy/models.py) and those in a user's own files are registered in the same way:

    from noisy.extend import activation, dataset, model

An own file is executed once in a process (`load`). What it registers is kept under the digest of the file.
"""

import functools
import sys
import traceback
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from noisy.spec import BUILT_IN, OWN_NAME, RunSpec, Stream, digest_of, shown

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
Made = TypeVar("Made", bound=Callable)


class ExtensionError(RuntimeError):
    """An own file cannot be used; the message says where and why."""


@dataclass(frozen=True)
class Activation:
    """An activation function: each call makes a layer.

    never_decreases: such a function commutes with a maximum, so a model may pool before it.
    """

    make: Callable[[], nn.Module]
    never_decreases: bool = False

    def __call__(self) -> nn.Module:
        return self.make()


@dataclass(frozen=True)
class Dataset:
    """read: the folder of the data sets -> training images and labels, test images and labels."""

    read: Callable[[Path], Arrays]
    n_classes: int


@dataclass
class Registry:
    """What one file registers. model: a function (activation, image_shape, n_classes) -> network."""

    model: dict[str, Callable[..., nn.Module]] = field(default_factory=dict)
    activation: dict[str, Activation] = field(default_factory=dict)
    dataset: dict[str, Dataset] = field(default_factory=dict)


_files = {"": Registry()}  # by the digest of the own file; the empty one is that of the built-in names
_open = [_files[""]]  # the last one is that of the file that is executed now


class Elementwise(nn.Module):
    """A layer that applies a function to a tensor."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self._function = function

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Any shape to the same shape."""
        return self._function(values)


def activation(name: str, *, never_decreases: bool = False) -> Callable[[Made], Made]:
    """Register a function of a tensor, or a class of layers that needs no arguments, as the activation `name`."""

    def register(made: Made) -> Made:
        is_layer = isinstance(made, type) and issubclass(made, nn.Module)
        _add("activation", name, Activation(made if is_layer else functools.partial(Elementwise, made), never_decreases))
        return made

    return register


def model(name: str) -> Callable[[Made], Made]:
    """Register a function (activation, image_shape, n_classes) -> torch.nn.Module as the model type `name`.

    `activation()` makes an activation layer; image_shape: (channels, height, width). The network takes float32 (n, channels,
    height, width) in [0, 1], and returns logits, float32 (n, n_classes).
    """

    def register(made: Made) -> Made:
        _add("model", name, made)
        return made

    return register


def dataset(name: str, *, n_classes: int) -> Callable[[Made], Made]:
    """Register a function data_dir -> (training images, training labels, test images, test labels) as the data set `name`.

    Images: uint8 (n, height, width) or (n, channels, height, width); labels: integers (n,) in 0..n_classes-1.
    """

    def register(made: Made) -> Made:
        if not (isinstance(n_classes, int) and n_classes >= 2):
            raise ValueError(f"dataset {name!r}: n_classes: {n_classes!r}; allowed: an integer of at least 2")
        _add("dataset", name, Dataset(made, n_classes))
        return made

    return register


def load(content: bytes, path: str) -> str:
    """Execute an own file, if this process did not do so before; returns its digest. path: as errors show it.

    Raises:
        ExtensionError: it names the line and the exception.
    """
    digest = digest_of(content)
    if digest not in _files:
        module = types.ModuleType(f"extension_{digest}")
        module.__file__ = path
        sys.modules[module.__name__] = module  # where dataclasses, pickle and others look up the module of a class
        _open.append(Registry())
        try:
            exec(compile(content, path, "exec", dont_inherit=True), module.__dict__)
            _files[digest] = _open[-1]
        except (Exception, SystemExit) as error:
            del sys.modules[module.__name__]
            raise ExtensionError(where(error, [path])) from error
        finally:
            _open.pop()
    return digest


def registered(digest: str) -> Registry:
    """What a file has registered; what is built in if `digest` is empty."""
    return _files[digest]


def find(kind: str, name: str, extensions: str = "") -> Any:
    """What is registered under a name. kind: a field of Registry; extensions: as in RunSpec.

    Raises:
        ExtensionError: it is neither built in, nor in the files with these digests that were loaded.
    """
    for digest in ("", *extensions.split("+")):
        if digest in _files and name in getattr(_files[digest], kind):
            return getattr(_files[digest], kind)[name]
    raise ExtensionError(f"{kind} {name!r}: not built in, and no file with the digest {extensions or '(none)'} was loaded")


@contextmanager
def own_random_numbers(run: RunSpec, device: torch.device) -> Iterator[None]:
    """In the block, torch's random numbers are those of a run that uses an own file: for initial weights and for dropout.

    They follow from the run's WEIGHTS stream. Behind the block, torch's generators are as they were.
    """
    if not run.extensions:
        yield
        return
    with torch.random.fork_rng([torch.cuda.current_device()] if device.type == "cuda" else []):
        torch.manual_seed(int(run.generator(Stream.WEIGHTS).integers(2**32)))
        yield


def where(error: BaseException, paths: Sequence[str]) -> str:
    """An exception with its place in own files, as `my_nets.py, line 12: NameError: name 'nn' is not defined`."""
    places = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__) if frame.filename in paths]
    if isinstance(error, SyntaxError) and error.filename in paths:
        places, text = [(str(error.filename), error.lineno)], error.msg
    else:
        text = (str(error).strip().splitlines() or [""])[0]
    place = f"{Path(places[-1][0]).name}, line {places[-1][1]}: " if places else ""
    return f"{place}{type(error).__name__}" + (f": {text}" if text else "")


def _add(kind: str, name: str, made: Any) -> None:
    is_built_in = _open[-1] is _files[""]
    if not OWN_NAME.holds(name):
        raise ValueError(f"{kind} {shown(name)}; allowed: {OWN_NAME.text}")
    taken = BUILT_IN["model_type" if kind == "model" else kind]
    if name in getattr(_open[-1], kind) or (name in taken and not is_built_in):
        raise ValueError(f"{kind} {name!r}: this name is taken; allowed: a name that is not registered yet")
    getattr(_open[-1], kind)[name] = made
