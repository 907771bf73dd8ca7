"""Own models, activations and data sets on nodes: they execute the campaign's copy, whatever becomes of the user's file."""

from pathlib import Path

from jobs.campaign import Campaign
from tests import commands
from tests.extensions import GRID, write
from tests.slurm.cluster import drain, submit, table

SMALL = GRID.replace("repeats: 2", "repeats: 1")


def test_nodes_execute_the_campaigns_copy(campaign: Path, tmp_path: Path) -> None:
    """The example of docs/extensions.md. The file is broken after the submit. The results equal local ones in every bit."""
    (tmp_path / "here").mkdir()
    here = write(tmp_path / "here", grid=SMALL)
    trained = commands.submit(here, tmp_path / "here/campaign", tmp_path / "here/data")
    assert trained.returncode == 0, trained.stderr

    submit(write(tmp_path, grid=SMALL), campaign, tmp_path / "data")
    (tmp_path / "my_nets.py").write_text("raise RuntimeError('an edit')\n")
    drain()
    assert table(campaign) == table(tmp_path / "here/campaign")
    again = submit(Campaign(campaign).grid, campaign, tmp_path / "data")
    assert again.stdout.startswith("Nothing to submit: 8 of 8 runs done")
