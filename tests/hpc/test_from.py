"""`hpc.submit --from`: a campaign elsewhere starts with the records of an archive, and trains only what is missing."""

from pathlib import Path

import pandas as pd
import pytest

from jobs.campaign import Campaign
from tests import commands
from tests.campaigns import GRID, VOLATILE, done

pytestmark = pytest.mark.slow
LARGER = GRID.replace("repeats: 2", "repeats: 4").replace("[0.0, 0.5]", "[0.0, 0.5, 1.0]")  # 24 runs


@pytest.fixture(scope="module")
def packed(finished: Campaign, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8 runs of a grid of 12 are done in it."""
    path = tmp_path_factory.mktemp("packed") / "x.tar.gz"
    answer = commands.call("analysis.archive", "--output-dir", finished.folder, "--to", path)
    assert answer.returncode == 0, answer.stderr
    return path


def test_only_what_the_grid_adds_is_trained(packed: Path, finished: Campaign, tmp_path: Path, digits_dir: Path) -> None:
    grid, folder = tmp_path / "grid.yaml", tmp_path / "campaign"
    grid.write_text(LARGER)
    answer = commands.submit(grid, folder, digits_dir, "--from", packed, "--dry-run")
    assert "8 of its 8 finished runs are in this grid" in answer.stdout
    assert "16 to run; 8 of the grid's 24 are done" in answer.stdout
    assert not folder.exists()
    answer = commands.submit(grid, folder, digits_dir, "--from", packed)
    assert answer.returncode == 0, answer.stderr
    assert "16 of 16 runs done" in answer.stdout
    assert len(done(folder)) == 24
    before = sorted(path.name for path in Campaign(folder).shard_paths())
    answer = commands.submit(grid, folder, digits_dir, "--from", packed)
    assert (answer.returncode, "Nothing to submit: 24 of 24" in answer.stdout) == (0, True)
    assert sorted(path.name for path in Campaign(folder).shard_paths()) == before
    assert commands.call("hpc.status", "--output-dir", folder).returncode == 0

    runs = []
    for each in (finished.folder, folder):
        assert commands.call("analysis.report", "--no-figures", "--output-dir", each, "--to", tmp_path / "to").returncode == 0
        runs.append(pd.read_csv(tmp_path / "to/results_per_run.csv").set_index("run_id"))
        (tmp_path / "to").rename(tmp_path / f"to{len(runs)}")
    pd.testing.assert_frame_equal(runs[0].drop(columns="shard"), runs[1].loc[runs[0].index].drop(columns="shard"))
    assert len(runs[1].drop(columns=VOLATILE)) == 24


def test_a_smaller_grid_takes_only_its_own_runs_and_a_later_one_the_rest(
    packed: Path, tmp_path: Path, digits_dir: Path
) -> None:
    grid, folder = tmp_path / "grid.yaml", tmp_path / "campaign"
    grid.write_text(GRID.replace("[relu, tanh]", "[relu]").replace("repeats: 2", "repeats: 1"))
    answer = commands.submit(grid, folder, digits_dir, "--from", packed, "--dry-run")
    assert answer.stdout.endswith("Nothing to submit: 2 of 2 runs done. Dry run: nothing was written.\n")
    assert not folder.exists()
    answer = commands.submit(grid, folder, digits_dir, "--from", packed)
    assert "Nothing to submit: 2 of 2 runs done" in answer.stdout
    assert len(done(folder)) == 2
    grid.write_text(GRID)
    answer = commands.submit(grid, folder, digits_dir, "--from", packed)
    assert "Nothing to submit: 8 of 8 runs done" in answer.stdout
    assert len(done(folder)) == 8


def test_what_cannot_be_used_is_refused_before_anything_is_written(packed: Path, tmp_path: Path, digits_dir: Path) -> None:
    grid, folder = tmp_path / "grid.yaml", tmp_path / "campaign"
    grid.write_text(GRID)
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(packed.read_bytes()[:-100])
    for options, said in (
        (["--from", tmp_path / "nowhere"], "nowhere: cannot be used as an archive"),
        (["--from", cut], "cut.tar.gz: cannot be used as an archive"),
        (["--from", tmp_path], "neither an archive nor the folder of a campaign"),
        (["--from", packed, "--join", 1], "--from: not possible together with --join"),
    ):
        answer = commands.submit(grid, folder, digits_dir, *options)
        assert (answer.returncode, said in answer.stderr) == (2, True), answer.stderr
        assert not folder.exists()
