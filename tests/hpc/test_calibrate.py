"""hpc.calibrate, and what submit measures by itself: real short runs, of which later plans know."""

from pathlib import Path

import pytest

from hpc.console import INTERRUPTED
from hpc.state.measured import CALIBRATION, observed
from jobs.campaign import Campaign
from tests import commands

GRID = "{dataset: digits, activations: [relu], ps: [0.3], repeats: 2, hidden_sizes: [32], epochs: 2, max_workers: 2}"
LONG = GRID.replace("repeats: 2", "repeats: 9000").replace("max_workers: 2", "max_workers: 1, max_train_samples: 128")
pytestmark = pytest.mark.slow


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    path = tmp_path / "grid.yaml"
    path.write_text(GRID)
    return path


def arguments(grid: Path, digits_dir: Path) -> tuple[object, ...]:
    return "--grid", grid, "--output-dir", grid.parent / "results" / "it", "--data-dir", digits_dir


def test_submit_measures_what_it_does_not_know_and_only_then_and_plans_know_it(grid: Path, digits_dir: Path) -> None:
    grid.write_text(LONG)
    places = arguments(grid, digits_dir)
    submit = ("hpc.submit", *places, "--executor", "local", "--limit", 4000)
    calibrations = grid.parent / "results" / CALIBRATION
    before = commands.call("hpc.calibrate", *places, "--show")
    assert before.returncode == 0, before.stderr
    assert "mlp 32 float32, batch 128, 2 epochs" in before.stdout and "never" in before.stdout
    for without in ("--dry-run", "--no-calibrate"):
        said = commands.call(*submit, without, "--dry-run").stdout
        assert "costs      mlp float32 unknown: published costs" in said and not calibrations.exists()
    assert not calibrations.parent.exists(), "it wrote"

    process = commands.start(*submit, "--yes")
    assert process.stdout
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("costs"):
            break
    process.terminate()
    process.communicate()
    assert process.returncode == INTERRUPTED
    assert said[0].startswith("measuring  mlp float32: not yet measured here")
    assert "mlp float32 measured" in said[-1]
    (campaign,) = calibrations.iterdir()
    assert len(Campaign(campaign).shard_paths()) >= 1
    known = commands.call(*submit, "--dry-run").stdout
    measured = observed(grid.parent / "results")
    assert f"mlp float32 measured ({len(measured)} runs on 1 host)" in known and "measuring" not in known
    assert len(measured) >= 4 and {one.run.hidden_sizes for one in measured} == {(32,)}
    assert {one.host for one in measured} and all(one.start_mb > 50 for one in measured)
    again = commands.call("hpc.calibrate", *places, "--missing")
    assert "Nothing to measure: all kinds of runs in this grid have been measured." in again.stdout
    assert "never" not in again.stdout.splitlines()[-1]
    elsewhere = commands.submit(grid, grid.parent / "others" / "it", digits_dir, "--dry-run")
    assert "costs      mlp float32 unknown: published costs" in elsewhere.stdout


def test_what_cannot_be_measured_is_published(grid: Path, digits_dir: Path, tmp_path: Path) -> None:
    """A folder of results in which nothing can be written stops no submit."""
    grid.write_text(LONG)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / CALIBRATION).write_text("in the way")
    process = commands.start("hpc.submit", *arguments(grid, digits_dir), "--executor", "local")
    assert process.stdout and process.stderr
    for line in process.stdout:
        if line.startswith("costs"):
            break
    process.terminate()
    _, errors = process.communicate()
    assert line == "costs      mlp float32 unknown: published costs\n"
    assert "note: measuring failed: error: " in errors


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (("--seconds", "0"), 2, "--seconds: '0': allowed: an integer of at least 1"),
        (("--executor", "none"), 2, "invalid choice: 'none'"),
    ],
)
def test_wrong_options(grid: Path, digits_dir: Path, options: tuple[str, ...], status: int, said: str) -> None:
    done = commands.call("hpc.calibrate", *arguments(grid, digits_dir), *options)
    assert done.returncode == status and said in done.stderr


def test_a_grid_for_gpus_is_refused(grid: Path, digits_dir: Path) -> None:
    grid.write_text(GRID.replace("max_workers: 2", "use_cuda: true"))
    done = commands.call("hpc.calibrate", *arguments(grid, digits_dir))
    assert done.returncode == 2 and "only CPUs are measured" in done.stderr
