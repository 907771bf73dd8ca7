"""What is known of a data set without its files: numbers of images and classes, and the size of an image. Loads no torch."""

import re
from functools import lru_cache
from typing import NamedTuple

IMAGE_SIZE_PX = 28
_TEXT = re.compile(r"train=(\d+),test=(\d+),classes=(\d+),shape=(\d+)x(\d+)x(\d+),digest=([0-9a-f]{16})", re.ASCII)


class DatasetInfo(NamedTuple):
    """Numbers of images in the training and the test set, and of classes.

    shape: channels, height and width of an image; digest: of an own data set's content (`Data.digest`), else empty.
    """

    n_train: int
    n_test: int
    n_classes: int
    shape: tuple[int, int, int] = (1, IMAGE_SIZE_PX, IMAGE_SIZE_PX)
    digest: str = ""

    @property
    def n_values(self) -> int:
        """Numbers in an image."""
        channels, height, width = self.shape
        return channels * height * width

    @property
    def text(self) -> str:
        """As `RunSpec.own_data` holds it."""
        sizes = "x".join(map(str, self.shape))
        return f"train={self.n_train},test={self.n_test},classes={self.n_classes},shape={sizes},digest={self.digest}"


DATASETS = {
    "mnist": DatasetInfo(60_000, 10_000, 10),
    "fashion_mnist": DatasetInfo(60_000, 10_000, 10),
    "kmnist": DatasetInfo(60_000, 10_000, 10),
    "digits": DatasetInfo(1_442, 355, 10),
}


def info_of(name: str, own_data: str = "") -> DatasetInfo:
    """What is known of a data set. own_data: as in RunSpec; empty for a built-in one.

    Raises:
        KeyError: `own_data` is empty, and no built-in data set has this name.
        ValueError: `own_data` is not as `DatasetInfo.text` writes it.
    """
    return _parsed(own_data) if own_data else DATASETS[name]


def is_text(own_data: str) -> bool:
    """Whether `DatasetInfo.text` may have written this."""
    return _TEXT.fullmatch(own_data) is not None


@lru_cache
def _parsed(own_data: str) -> DatasetInfo:
    match = _TEXT.fullmatch(own_data)
    if not match:
        raise ValueError(f"own_data: {own_data!r}: allowed: train=N,test=N,classes=N,shape=CxHxW,digest=16 hexadecimal digits")
    *numbers, digest = match.groups()
    n_train, n_test, n_classes, *shape = map(int, numbers)
    channels, height, width = shape
    return DatasetInfo(n_train, n_test, n_classes, (channels, height, width), digest)
