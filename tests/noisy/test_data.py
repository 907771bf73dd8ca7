"""Laws of the data sets: fixed bytes, mapped read-only."""

from pathlib import Path

import numpy as np
import pytest
import torch

from noisy import data
from noisy.datafiles import FILES
from noisy.spec import DATASETS


def test_digits_have_their_shapes_and_use_the_whole_range(digits: data.Data) -> None:
    info = DATASETS["digits"]
    assert digits.train_images.shape == (info.n_train, 28, 28) and digits.train_labels.shape == (info.n_train,)
    assert digits.test_images.shape == (info.n_test, 28, 28) and digits.test_labels.shape == (info.n_test,)
    assert digits.n_classes == info.n_classes == 10
    for array in (digits.train_images, digits.train_labels, digits.test_images, digits.test_labels):
        assert array.dtype == np.uint8
    assert digits.train_images.min() == 0 and digits.train_images.max() == 255
    assert set(digits.train_labels) == set(digits.test_labels) == set(range(10))


def test_digits_are_split_stratified_every_fifth_to_the_test_set(digits: data.Data) -> None:
    from sklearn.datasets import load_digits

    in_all = np.bincount(load_digits().target)
    assert np.bincount(digits.test_labels).tolist() == (in_all // 5).tolist()
    assert np.bincount(digits.train_labels).tolist() == (in_all - in_all // 5).tolist()


def test_digits_are_the_bilinear_enlargement_that_torch_computes(digits: data.Data) -> None:
    from sklearn.datasets import load_digits

    small = torch.from_numpy(load_digits().images)[:, None]
    large = torch.nn.functional.interpolate(small, size=(28, 28), mode="bilinear", align_corners=False).numpy()[:, 0] * 255 / 16
    images = np.concatenate([digits.train_images, digits.test_images])
    labels = np.concatenate([digits.train_labels, digits.test_labels])
    for label in range(10):  # within a class the order of the source is kept, with every fifth image taken out
        source = large[load_digits().target == label]
        is_test = np.arange(len(source)) % 5 == 4
        assert np.abs(images[labels == label] - np.concatenate([source[~is_test], source[is_test]])).max() < 0.5 + 1e-6


def test_digits_are_the_same_bytes_everywhere(digits: data.Data) -> None:
    assert digits.digest() == "270629c761cdfa7e"


def test_the_digest_covers_every_array(digits: data.Data) -> None:
    arrays = {name: np.array(getattr(digits, name)) for name in ("train_images", "train_labels", "test_images", "test_labels")}
    assert data.Data("digits", **arrays).digest() == "270629c761cdfa7e"
    for array in arrays.values():
        array.flat[-1] ^= 1
        assert data.Data("digits", **arrays).digest() != "270629c761cdfa7e"
        array.flat[-1] ^= 1


def test_staging_twice_leaves_the_first_files_and_nothing_else(tmp_path: Path) -> None:
    raw = tmp_path / "Digits" / "raw"
    data.stage("digits", tmp_path)
    before = {path.name: path.stat().st_ino for path in raw.iterdir()}
    data.stage("digits", tmp_path)
    assert {path.name: path.stat().st_ino for path in raw.iterdir()} == before
    assert set(before) == set(FILES)
    assert [path.name for path in tmp_path.iterdir()] == ["Digits"]


def test_arrays_are_mapped_read_only(digits: data.Data) -> None:
    for array in (digits.train_images, digits.train_labels, digits.test_images, digits.test_labels):
        assert isinstance(array, np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
