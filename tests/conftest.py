"""What several rooms' tests share: a staged data set that needs no network."""

from pathlib import Path

import pytest

from noisy import data


@pytest.fixture(scope="session")
def digits_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `digits` is staged."""
    data_dir = tmp_path_factory.mktemp("data")
    data.stage("digits", data_dir)
    return data_dir


@pytest.fixture(scope="session")
def digits(digits_dir: Path) -> data.Data:
    """The staged digits, mapped."""
    return data.load("digits", digits_dir)
