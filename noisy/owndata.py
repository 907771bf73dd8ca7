"""Data sets that a user's own file gives: checked, and kept as arrays, which every worker maps.

They are in the folder of the data sets, in `own/NAME-DIGEST`, where DIGEST is that of the file. The function that gives them is
called once. What is in that folder is checked by the digest of its content, which is part of each run.
"""

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from noisy.data import Data, DataError
from noisy.datasets import DatasetInfo
from noisy.spec import RunSpec

_ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
_FORM = "images: uint8 (n, height, width) or (n, channels, height, width); labels: integers (n,)"


def own_data(name: str, arrays: Sequence[np.ndarray], n_classes: int) -> Data:
    """The data set of the arrays that a function of an own file returned, in the order of `Data`.

    Raises:
        DataError: they are not as they have to be.
    """
    if not isinstance(arrays, tuple | list) or len(arrays) != len(_ARRAYS):
        raise _wrong(name, f"it returns {type(arrays).__name__}", f"a tuple of {', '.join(_ARRAYS)}")
    found = dict(zip(_ARRAYS, map(np.asarray, arrays), strict=True))
    for part in ("train", "test"):
        _check_part(name, part, found[f"{part}_images"], found[f"{part}_labels"], n_classes)
    train, test = found["train_images"], found["test_images"]
    if train.shape[1:] != test.shape[1:]:
        raise _wrong(name, f"training images {train.shape[1:]} and test images {test.shape[1:]}", "images of one shape")
    channels, height, width = train.shape[1:] if train.ndim == 4 else (1, *train.shape[1:])
    labels = (found[f"{part}_labels"].astype(np.int64) for part in ("train", "test"))
    data = Data(name, np.ascontiguousarray(train), next(labels), np.ascontiguousarray(test), next(labels))
    return replace(data, own=DatasetInfo(len(train), len(test), n_classes, (channels, height, width), data.digest()))


def load_own(run: RunSpec, data_dir: str | Path) -> Data:
    """Map the own data set of a run. Writes nothing.

    Raises:
        DataError: it is not there, or is another than the run's.
    """
    said = []
    for digest in run.extensions.split("+"):
        folder = own_folder(run.dataset, digest, data_dir)
        if data := kept(run.dataset, folder, run.data.n_classes):
            if data.own == run.data:
                return data
            said.append(f"{folder}: holds {data.own.text if data.own else ''}; the run needs {run.own_data}")
        else:
            said.append(f"{folder}: not there, or damaged")
    what_next = "submit again with the folder of the data (--data-dir); the own file then makes the data set anew"
    raise DataError(f"dataset {run.dataset}: not found in {str(data_dir)!r}", [*said, what_next])


def own_folder(name: str, digest: str, data_dir: str | Path) -> Path:
    """Where the own data set `name` of the file with this digest is."""
    return Path(data_dir) / "own" / f"{name}-{digest}"


def kept(name: str, folder: Path, n_classes: int) -> Data | None:
    """The data set in a folder; None if it is not there or damaged."""
    try:
        return own_data(name, [open_memmap(folder / f"{array}.npy", "r") for array in _ARRAYS], n_classes)
    except (OSError, ValueError, DataError):
        return None


def keep(data: Data, folder: Path) -> None:
    """Write a data set into a new folder, which appears whole. A damaged one is replaced.

    Raises:
        OSError: it cannot be written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".staging-") as temporary:
        new = Path(temporary) / "new"
        new.mkdir(0o755)
        for array in _ARRAYS:
            np.save(new / f"{array}.npy", getattr(data, array), allow_pickle=False)
        if folder.exists():
            shutil.move(folder, Path(temporary) / "old")
        os.rename(new, folder)


def _check_part(name: str, part: str, images: np.ndarray, labels: np.ndarray, n_classes: int) -> None:
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or not images.size:
        raise _wrong(name, f"{part} images: {images.dtype} {images.shape}", _FORM)
    if images.ndim == 4 and images.shape[3] <= 4 < images.shape[1]:
        raise _wrong(name, f"{part} images: {images.shape}", "channels before height: images.transpose(0, 3, 1, 2)")
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        raise _wrong(name, f"{part} labels: {labels.dtype} {labels.shape} for {len(images)} images", _FORM)
    if labels.min() < 0 or labels.max() >= n_classes:
        raise _wrong(
            name, f"{part} labels: from {labels.min()} to {labels.max()}", f"0 to {n_classes - 1} (n_classes is {n_classes})"
        )


def _wrong(name: str, what: str, allowed: str) -> DataError:
    return DataError(f"dataset {name}: {what}", [f"allowed: {allowed}"])
