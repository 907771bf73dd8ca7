"""Data sets as plain uint8 arrays. They are staged once, then each worker maps them read-only and checks every byte."""

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from noisy.datafiles import FILES, DataError, downloaded, folder, incomplete, put, search
from noisy.datasets import DATASETS, IMAGE_SIZE_PX, DatasetInfo

__all__ = ["Data", "DataError", "folder", "is_staged", "load", "stage"]

_IDX_UINT8 = 0x0800  # first bytes of an idx file of unsigned bytes; the lowest byte is the number of dimensions


@dataclass(frozen=True)
class Data:
    """A data set in read-only arrays: memory-mapped, or in memory if its files are packed.

    train_images: uint8 (n_train, 28, 28); train_labels: uint8 (n_train,), in 0..n_classes-1; test_*: in the same form.
    Images of an own data set (noisy/owndata.py) may have other sizes, and channels: uint8 (n_train, channels, height, width).
    own: its sizes and digest.
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    own: DatasetInfo | None = None

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return (self.own or DATASETS[self.name]).n_classes

    def digest(self) -> str:
        """16 hexadecimal digits of the SHA-256 of all images and labels."""
        sha256 = hashlib.sha256()
        for array in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            sha256.update(np.ascontiguousarray(array).data)
        return sha256.hexdigest()[:16]


def load(name: str, data_dir: str | Path) -> Data:
    """Find and map the data set `name`, one of `noisy.spec.DATASETS`. Writes nothing.

    Raises:
        DataError: a file is missing or differs from the published one.
    """
    found, said = search(name, data_dir)
    if len(found) < len(FILES):
        raise incomplete(name, data_dir, said)
    return _data(name, found)


def stage(name: str, data_dir: str | Path) -> Data:
    """Download missing files (`digits` comes from scikit-learn), then load the data set. Existing files are not replaced.

    Raises:
        DataError: a file is missing and cannot be downloaded, or a file differs from the published one.
    """
    found, said = search(name, data_dir)
    missing = [file for file in FILES if file not in found]
    if not missing:
        return _data(name, found)
    try:
        contents = _digits_files() if name == "digits" else downloaded(name, missing)
        put(folder(name, data_dir), {file: contents[file] for file in missing})
    except Exception as error:  # errors of the network, the disk or a library are all reported in the same way
        raise incomplete(name, data_dir, [*said, *str(error).splitlines()]) from error
    return load(name, data_dir)


def is_staged(name: str, data_dir: str | Path) -> bool:
    """Whether all four files exist.

    Raises:
        DataError: another file is in the place of a missing one.
    """
    return len(search(name, data_dir)[0]) == len(FILES)


def _data(name: str, found: Mapping[str, np.ndarray]) -> Data:
    train_images, train_labels, test_images, test_labels = (found[file] for file in FILES)
    return Data(name, train_images, train_labels, test_images, test_labels)


def _digits_files() -> dict[str, bytes]:
    images, labels = _digits()
    test = _every_fifth_of_each_class(labels)
    arrays = zip(FILES, (images[~test], labels[~test], images[test], labels[test]), strict=True)
    return {
        file: struct.pack(f">{1 + array.ndim}I", _IDX_UINT8 | array.ndim, *array.shape) + array.tobytes()
        for file, array in arrays
    }


def _digits() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's digits (8x8, values 0..16) as images uint8 (1797, 28, 28), values 0..255, and labels uint8 (1797,).

    The interpolation is bilinear, with pixel centres aligned and edges repeated. Target pixel i lies at (4 i - 5) / 14 of the
    source grid. So all weights are multiples of 1/14, and integer arithmetic gives the same bytes on every machine.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    weights = np.zeros((IMAGE_SIZE_PX, 8), dtype=np.int64)
    for i in range(IMAGE_SIZE_PX):
        below, fraction = divmod(4 * i - 5, 14)
        weights[i, max(below, 0)] += 14 - fraction
        weights[i, min(below + 1, 7)] += fraction
    scaled = weights @ bunch.images.astype(np.int64) @ weights.T  # in units of 1/196 of a grey level in 0..16
    whole = 14 * 14 * 16
    return ((scaled * 255 + whole // 2) // whole).astype(np.uint8), bunch.target.astype(np.uint8)


def _every_fifth_of_each_class(labels: np.ndarray) -> np.ndarray:
    test = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        test[np.flatnonzero(labels == label)[4::5]] = True
    return test
