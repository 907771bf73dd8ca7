"""python -m jobs.tryout < REQUEST > ANSWER: execute a user's own files, and try what a grid names of them.

REQUEST is JSON: `files`, pairs of a path and a content (bytes as latin-1 text); `dataset`, `model`, `activation`, lists of the
names in the grid; `lengths`, for each of these models the values of `batch_size` and of `max_train_samples`; `data_dir`, the
folder of the data sets; `is_kept`, whether to write an own data set there; `limit_s` and `data_limit_s`, the most seconds for
executing a file or trying a network, and for making a data set.

ANSWER has a line of JSON for each of these steps as it begins: the number of the file, what is tried of it, and the limit. The
last line is the answer: `registered`, kind -> name -> the number of its file; `own_data`, of an own data set; `problems`, pairs
of the number of a file and what is wrong with it. After a step that takes too long or crashes, it is the stack of this process.
"""

import faulthandler
import itertools
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from noisy.loading import loading

with loading():
    import torch
    from torch import nn
    from torch.nn import functional

    import noisy.models  # registers what is built in
    from noisy.batches import last_batch
    from noisy.data import DataError
    from noisy.extend import Activation, Dataset, ExtensionError, find, load, own_random_numbers, registered, where
    from noisy.owndata import keep, kept, own_data, own_folder
    from noisy.spec import BUILT_IN, RunSpec, as_trained

_CPU = torch.device("cpu")
_N_IMAGES = 2


@dataclass
class Tried:
    """What was found so far. registered: kind -> name -> the number of its file; digests: of the files."""

    paths: Sequence[str]
    registered: dict[str, dict[str, int]] = field(default_factory=lambda: {"model": {}, "activation": {}, "dataset": {}})
    digests: dict[int, str] = field(default_factory=dict)
    own_data: str = ""
    problems: list[tuple[int, str]] = field(default_factory=list)


def main() -> None:
    """The command line above. What own files print goes to standard error."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C: the command that asks says so
    request = json.load(sys.stdin)
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    faulthandler.enable(answer)

    def begin(number: int, what: str, limit_s: float) -> None:
        print(json.dumps([number, what, limit_s]), file=answer, flush=True)
        faulthandler.dump_traceback_later(limit_s, exit=True, file=answer)

    tried = tried_out(request, begin)
    faulthandler.cancel_dump_traceback_later()
    content = {"registered": tried.registered, "own_data": tried.own_data, "problems": tried.problems}
    print(json.dumps(content), file=answer, flush=True)
    sys.stdout.flush()
    os._exit(0)  # own files may have left threads


def tried_out(request: dict[str, Any], begin: Callable[[int, str, float], None] = lambda *_: None) -> Tried:
    """Execute the files, then get the data set, then try each model with each activation until it fails.

    Args:
        begin: called before each step with the number of the file, what is tried of it, and the most seconds.
    """
    tried, limit_s = Tried([path for path, _ in request["files"]]), request["limit_s"]
    for number, (path, text) in enumerate(request["files"]):
        begin(number, "", limit_s)
        _execute(tried, number, path, text.encode("latin-1"))
    for name in request["dataset"]:
        if name in tried.registered["dataset"]:
            begin(tried.registered["dataset"][name], f"dataset {name!r}: ", request["data_limit_s"])
            _get_data(tried, name, Path(request["data_dir"]), request["is_kept"])
    if tried.problems:
        return tried
    wrong = set[str]()
    for model, activation, dataset in itertools.product(*(request[kind] for kind in ("model", "activation", "dataset"))):
        names = {"model": model, "activation": activation, "dataset": dataset}
        numbers = [tried.registered[kind][name] for kind, name in names.items() if name in tried.registered[kind]]
        are_known = all(name in tried.registered[kind] or name in _built_in(kind) for kind, name in names.items())
        if numbers and are_known and model not in wrong:
            what = f"model {model!r} with activation {activation!r}: "
            begin(numbers[0], what, limit_s)
            if problem := _problem(tried, names, numbers, request["lengths"][model]):
                tried.problems.append((numbers[0], what + problem))
                wrong.add(model)
    return tried


def _execute(tried: Tried, number: int, path: str, content: bytes) -> None:
    try:
        tried.digests[number] = load(content, path)
    except ExtensionError as error:
        tried.problems.append((number, str(error)))
        return
    except BaseException as error:  # such as KeyboardInterrupt, which only the file can raise here
        tried.problems.append((number, where(error, tried.paths)))
        return
    for kind, names in tried.registered.items():
        for name in getattr(registered(tried.digests[number]), kind):
            if name in names:
                tried.problems.append((number, f"{kind} {name!r}: {Path(tried.paths[names[name]]).name} registers it too"))
            names.setdefault(name, number)


def _get_data(tried: Tried, name: str, data_dir: Path, is_kept: bool) -> None:
    """An own data set: what was kept of it, or else what its function returns."""
    number = tried.registered["dataset"][name]
    made: Dataset = find("dataset", name, tried.digests[number])
    folder = own_folder(name, tried.digests[number], data_dir)
    try:
        data = kept(name, folder, made.n_classes)
        if data is None:
            data = own_data(name, made.read(data_dir), made.n_classes)
            if is_kept:
                keep(data, folder)
        assert data.own
        tried.own_data = data.own.text
    except DataError as error:
        tried.problems.append((number, str(error)))
    except BaseException as error:
        tried.problems.append((number, f"dataset {name!r}: {where(error, tried.paths)}"))


def _problem(tried: Tried, names: dict[str, str], numbers: Sequence[int], lengths: dict[str, list]) -> str:
    """What is wrong with a network; empty if nothing is. lengths: the values of `batch_size` and `max_train_samples`."""
    digests = "+".join(sorted({tried.digests[number] for number in numbers}))
    run = RunSpec(
        names["dataset"],
        names["activation"],
        names["model"],
        p=0,
        repeat=0,
        seed=0,
        epochs=1,
        batch_size=_N_IMAGES,
        learning_rate=0.001,
        weight_decay=0,
        extensions=digests,
        own_data=tried.own_data,
    )
    problem = _first(_problems(run, _N_IMAGES), tried)
    if problem or not (alone := one_image_left(run.data.n_train, lengths["batch_size"], lengths["max_train_samples"])):
        return problem
    problem = _first(_problems(run, 1), tried).partition("; allowed: ")[0]
    return problem and f"{one_image_text(*alone)[0]}: {problem}; allowed: {one_image_text(*alone)[1]}"


def _first(problems: Iterator[str], tried: Tried) -> str:
    try:
        return next(problems, "")
    except BaseException as error:
        return where(error, tried.paths)


def one_image_left(n_train: int, batch_sizes: Sequence[int], max_samples: Sequence[int | None]) -> tuple[int, int] | None:
    """Batch size and number of training images of a run whose epochs end with a batch of one image; None if there is none.

    Args:
        n_train: of the data set.
    """
    for batch_size, samples in itertools.product(batch_sizes, max_samples):
        n_images = as_trained("max_train_samples", samples, n_train)
        if last_batch(n_images, batch_size) == 1:
            return batch_size, n_images
    return None


def one_image_text(batch_size: int, n_images: int) -> tuple[str, str]:
    """What such a run is, and what would do instead."""
    others = [f"batch_size {size}" for size in range(batch_size + 1, n_images + 1) if last_batch(n_images, size) > 1][:1]
    others += [f"max_train_samples {n}" for n in (n_images - 1, n_images + 1) if n and last_batch(n, batch_size) > 1][:1]
    is_each = "each batch" if batch_size == 1 else "the last batch of an epoch"
    return (
        f"with batch_size {batch_size} and {n_images:,} training images, {is_each} has one image",
        f"another number of images, such as {' or '.join(others) or 'two'}, or a model that can be trained with one",
    )


def _problems(run: RunSpec, n_images: int) -> Iterator[str]:
    """What is wrong with the network of a run, found by a forward and a backward pass of so many images."""
    info = run.data
    with own_random_numbers(run, _CPU):
        network = noisy.models.build_model(run, info.n_classes)
        if not isinstance(network, nn.Module):
            yield f"it is {type(network).__name__}; allowed: a torch.nn.Module"
        kinds = {str(parameter.dtype) for parameter in network.parameters()}
        if kinds != {"torch.float32"}:
            yield f"its parameters are {', '.join(sorted(kinds)) or 'none'}; allowed: float32"
        images = torch.rand((n_images, *info.shape))
        logits = network.train()(images)
        yield from _not_logits(logits, n_images, info.n_classes)
        functional.cross_entropy(logits, torch.zeros(n_images, dtype=torch.int64)).backward()
        with torch.no_grad():
            yield from (
                f"in evaluation, {problem}" for problem in _not_logits(network.eval()(images), n_images, info.n_classes)
            )
    if run.has_own_model and n_images == _N_IMAGES:
        yield from _unlike(run, network)


def _not_logits(output: Any, n_images: int, n_classes: int) -> Iterator[str]:
    """What is wrong with the output of a network."""
    if not isinstance(output, torch.Tensor) or tuple(output.shape) != (n_images, n_classes):
        found = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        given = f"{n_images} images give" if n_images > 1 else "one image gives"
        yield f"{given} {found}; allowed: {(n_images, n_classes)}, (images, classes)"
    if output.dtype != torch.float32:
        yield f"its output is {output.dtype}; allowed: torch.float32"


def _unlike(run: RunSpec, network: nn.Module) -> Iterator[str]:
    """Whether the same network can be built again, and whether it uses its activation."""
    activation: Activation = find("activation", run.activation, run.extensions)
    made = list[nn.Module]()

    def make() -> nn.Module:
        made.append(activation())
        return made[-1]

    with own_random_numbers(run, _CPU):
        build = find("model", run.model_type, run.extensions)
        again = build(Activation(make, activation.never_decreases), run.data.shape, run.data.n_classes)
        pairs = zip(network.parameters(), again.parameters(), strict=True)
        if not all(torch.equal(*pair) for pair in pairs):
            yield "built again, it has other weights; allowed: random numbers of torch only, which are those of the run"
        again(torch.rand((_N_IMAGES, *run.data.shape)))
    if not made:
        yield "it does not use its activation; allowed: layers made by activation()"


def _built_in(kind: str) -> tuple[str, ...]:
    return BUILT_IN["model_type" if kind == "model" else kind]


if __name__ == "__main__":
    main()
