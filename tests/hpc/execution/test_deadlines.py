"""A deadline that cannot be met is refused, and nothing is written. tests/hpc/test_hostile.py submits with one that is met."""

import re
from pathlib import Path

import pytest

from tests import commands

GRID = "{dataset: digits, activations: [relu], ps: [0.5], repeats: 6, epochs: 1, hidden_sizes: [8], max_workers: 1}"


@pytest.fixture
def submitted_with(tmp_path: Path, digits_dir: Path):
    """Runs submit with a deadline."""
    grid = tmp_path / "grid.yaml"
    grid.write_text(GRID)
    return lambda deadline: commands.submit(grid, tmp_path / "out", digits_dir, "--yes", "--deadline", deadline)


@pytest.mark.slow
def test_a_deadline_that_cannot_be_met_is_refused_with_what_would_do(submitted_with, tmp_path: Path) -> None:
    refused = submitted_with("1s")
    assert refused.returncode == 2
    assert re.search(
        r"cannot be met: with 1 worker everything ends within .* too late; what would help: --deadline \d+min", refused.stderr
    )
    assert "calibrate with the same --grid, because the costs of mlp float32 were never measured" in refused.stderr
    assert submitted_with("soon").returncode == 2
    assert not (tmp_path / "out").exists()
