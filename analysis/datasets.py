"""Data sets by name: the sizes of the built-in ones, and of own ones in the manifests that this process has read; own files."""

from collections.abc import Iterator

from noisy.datasets import DATASETS, DatasetInfo
from noisy.runs import Runs

_own: dict[str, set[DatasetInfo]] = {}


def remember(runs: Runs) -> None:
    """Take note of the own data sets of these runs."""
    for cell in runs.cells:
        if cell.spec.own_data:
            _own.setdefault(cell.spec.dataset, set()).add(cell.spec.data)


def own_files(runs: Runs) -> Iterator[str]:
    """A line that names the own files of these runs, if there are any."""
    digests = sorted({digest for cell in runs.cells for digest in cell.spec.extensions.split("+")} - {""})
    if digests:
        files = " and ".join(f"extensions/{digest}_*" for digest in digests)
        yield f"models, activations or the data set are those of own files: {files} in the campaign's folder"


def info(name: str) -> DatasetInfo | None:
    """The sizes of a data set; None if nobody knows them, or if two own data sets of this name were read."""
    if name in DATASETS:
        return DATASETS[name]
    found = _own.get(name, set())
    return next(iter(found)) if len(found) == 1 else None


def sizes(name: str) -> str:
    """The same in words; empty if it is unknown."""
    found = info(name)
    if found is None:
        return ""
    channels, height, width = found.shape
    own = f" of {channels} x {height} x {width} values" if found.digest else ""
    return f"{found.n_train:,} training and {found.n_test:,} test images{own}"
