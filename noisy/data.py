"""Data sets as plain uint8 arrays: staged once, then mapped read-only by every worker.

The staged form is the one in which MNIST is published (idx: a short header, then raw bytes). So a downloaded set needs
no second copy, and a worker maps it without torchvision. `digits` is written in the same form.
"""

import contextlib
import hashlib
import io
import os
import secrets
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from noisy.spec import DATASETS, IMAGE_SIZE_PX

_FOLDERS = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "kmnist": "KMNIST", "digits": "Digits"}
_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_IDX_UINT8 = 0x0800  # magic number of an idx file of unsigned bytes; the lowest byte is the number of dimensions


class DataError(Exception):
    """A data set is missing, incomplete or not what its name says; the message says what to put where."""


@dataclass(frozen=True)
class Data:
    """A data set in memory-mapped arrays.

    train_images: uint8 (n_train, 28, 28); train_labels: uint8 (n_train,), in 0..n_classes-1; likewise test_*.
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return DATASETS[self.name].n_classes

    def digest(self) -> str:
        """16 hexadecimal digits of the SHA-256 of all images and labels: equal data, equal digest."""
        sha256 = hashlib.sha256()
        for array in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            sha256.update(np.ascontiguousarray(array).data)
        return sha256.hexdigest()[:16]


def folder(name: str, data_dir: str | Path) -> Path:
    """Where the four files of data set `name` lie: the folder that torchvision uses under `data_dir`."""
    return Path(data_dir) / _FOLDERS[name] / "raw"


def load(name: str, data_dir: str | Path) -> Data:
    """Map the staged data set `name`, one of `noisy.spec.DATASETS`.

    Raises:
        DataError: a file is missing or is not the one expected.
    """
    info = DATASETS[name]
    square = (IMAGE_SIZE_PX, IMAGE_SIZE_PX)
    shapes = ((info.n_train, *square), (info.n_train,), (info.n_test, *square), (info.n_test,))
    return Data(name, *(_map_idx(folder(name, data_dir) / file, shape) for file, shape in zip(_FILES, shapes, strict=True)))


def stage(name: str, data_dir: str | Path) -> Data:
    """Make sure that the data set is there and whole: download it, or write it if it is `digits`; then map it.

    Raises:
        DataError: it is missing and cannot be had from here, or what is there is damaged.
    """
    if is_staged(name, data_dir):
        return load(name, data_dir)
    try:
        if name == "digits":
            _write_digits(folder(name, data_dir))
        else:
            _download(name, data_dir)
    except Exception as error:  # torchvision raises RuntimeError, URLError, OSError, ...: the answer is one
        raise DataError(
            f"dataset {name}: not in {str(folder(name, data_dir))!r} and could not be put there ({error}); "
            f"place {', '.join(_FILES)} in that folder, or name the folder that holds {_FOLDERS[name]}/raw with --data-dir"
        ) from error
    return load(name, data_dir)


def is_staged(name: str, data_dir: str | Path) -> bool:
    """Whether all four files are there (not whether they are whole: `load` tells)."""
    return all((folder(name, data_dir) / file).is_file() for file in _FILES)


def _map_idx(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    header = struct.pack(f">{1 + len(shape)}I", _IDX_UINT8 | len(shape), *shape)
    try:
        with path.open("rb") as file:
            found = file.read(len(header))
            size_bytes = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); name the folder of the data with --data-dir") from error
    expected_bytes = len(header) + int(np.prod(shape))
    if found != header or size_bytes != expected_bytes:
        raise DataError(
            f"{path}: not the idx file of shape {shape} and {expected_bytes} bytes (it has {size_bytes}); "
            "delete it and run again"
        )
    return np.memmap(path, dtype=np.uint8, mode="r", offset=len(header), shape=shape)


def _download(name: str, data_dir: str | Path) -> None:
    from torchvision import datasets  # here, not above: a worker that finds its data staged must not pay for it

    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):  # torchvision before 0.21 prints why an address fails
            getattr(datasets, _FOLDERS[name])(root=str(data_dir), train=True, download=True)  # fetches both sets, checks MD5
    except RuntimeError as error:
        raise RuntimeError(" ".join(f"{error} {said.getvalue()}".split())) from error


def _write_digits(target: Path) -> None:
    images, labels = _digits()
    test = _every_fifth_of_each_class(labels)
    target.mkdir(parents=True, exist_ok=True)
    for file, array in zip(_FILES, (images[~test], labels[~test], images[test], labels[test]), strict=True):
        temporary = target / f".{file}.{secrets.token_hex(4)}"
        temporary.write_bytes(struct.pack(f">{1 + array.ndim}I", _IDX_UINT8 | array.ndim, *array.shape) + array.tobytes())
        temporary.replace(target / file)


def _digits() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's digits, 8x8 of 0..16, as uint8 (1797, 28, 28) of 0..255 and labels uint8 (1797,).

    Bilinear with pixel centres aligned, edges repeated. Target pixel i lies at (4 i - 5) / 14 of the source grid, so
    all weights are multiples of 1/14 and integers give the same bytes on every machine.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    weights = np.zeros((IMAGE_SIZE_PX, 8), dtype=np.int64)
    for i in range(IMAGE_SIZE_PX):
        below, fraction = divmod(4 * i - 5, 14)
        weights[i, max(below, 0)] += 14 - fraction
        weights[i, min(below + 1, 7)] += fraction
    scaled = weights @ bunch.images.astype(np.int64) @ weights.T  # in units of 1/196 of a grey level of 0..16
    whole = 14 * 14 * 16
    return ((scaled * 255 + whole // 2) // whole).astype(np.uint8), bunch.target.astype(np.uint8)


def _every_fifth_of_each_class(labels: np.ndarray) -> np.ndarray:
    test = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        test[np.flatnonzero(labels == label)[4::5]] = True
    return test
