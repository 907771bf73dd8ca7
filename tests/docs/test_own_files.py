"""The example of docs/extensions.md, own files with a model, an activation and a data set, as a real campaign."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from hpc.request.own import Own, OwnFile
from jobs.campaign import Campaign
from tests import commands
from tests.campaigns import each_run_once, made_once, table
from tests.extensions import CODE, DIGEST, QUICK, write


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the example, in which it was trained, for less time than on the page. Tests must not change it."""

    def make(folder: Path) -> None:
        grid, campaign, data = write(folder, grid=QUICK), folder / "campaign", folder / "data"
        places = ("--grid", grid, "--output-dir", campaign, "--data-dir", data)
        measured = commands.call("hpc.calibrate", *places, "--seconds", 1)
        assert measured.returncode == 0 and "never" not in measured.stdout, measured.stderr
        trained = commands.submit(grid, campaign, data)
        assert trained.returncode == 0, trained.stderr
        said = r"costs      mlp float32 measured \(.*\); resnet6 float32 measured"
        assert re.search(said, trained.stdout), "what an own model costs is known once it was measured"

    return made_once(tmp_path_factory, "rings", make)


def test_the_example_of_the_page_is_a_campaign_like_any_other(undisturbed: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(undisturbed, tmp_path / "rings"))
    campaign = Campaign(folder / "campaign")
    each_run_once(campaign.folder, 16)
    assert [path.read_text() for path in campaign.extensions.iterdir()] == [CODE]
    kept = campaign.grid.read_text()
    again = commands.submit(campaign.grid, campaign.folder, folder / "data")  # the campaign's own grid names its copy
    assert again.stdout.startswith("Nothing to submit: 16 of 16 runs done"), again.stderr
    assert len(list(campaign.extensions.iterdir())) == 1 and campaign.grid.read_text() == kept
    own = Own((OwnFile(folder / "my_nets.py", CODE.encode()),), {"dataset": {"rings": 0}}, "an own one")
    assert [own.is_staged("rings", place) for place in (folder / "data", folder)] == [True, False]

    reported = commands.call("analysis.report", "--no-figures", "--output-dir", campaign.folder)
    assert reported.returncode == 0 and f"own files: extensions/{DIGEST}_*" in reported.stdout
    summary = pd.read_csv(campaign.folder / "results_summary.csv")
    assert set(summary["model_type"]) == {"mlp", "resnet6"} and (summary["repeats"] == 2).all()
    assert (summary.query("model_type == 'mlp'")["mean_test_accuracy"] > 0.9).all()
    pairs = pd.read_csv(campaign.folder / "comparisons.csv").query("axis == 'activation'")
    assert (pairs["value"] == "swish").all() and (pairs["n_pairs"] == 2).all(), "compared in pairs with what is built in"

    there = tmp_path / "drawn"  # of one curve: few figures
    drawn = commands.call("analysis.report", campaign.folder, "model_type=resnet6", "activation=swish", "--to", there)
    assert drawn.returncode == 0, drawn.stderr
    assert "800 training and 200 test images of 3 x 16 x 16 values, 4 classes" in (there / "report.html").read_text()
    assert "each channel of each pixel is replaced" in (there / "methods.md").read_text()
    assert (there / "figures" / "accuracy_resnet6.pdf").exists()


def test_an_edit_under_way_changes_nothing_and_makes_new_runs_afterwards(undisturbed: Path, tmp_path: Path) -> None:
    grid, campaign = write(tmp_path, grid=QUICK), tmp_path / "campaign"
    process = commands.start(*commands.submit_command(grid, campaign, undisturbed / "data"))
    assert process.stdout and any("runs to do" in line or "campaign" in line for line in process.stdout)
    (tmp_path / "my_nets.py").write_text("raise RuntimeError('an edit')\n")
    assert process.communicate()[1] == "" and process.returncode == 0
    whole = shutil.copytree(undisturbed / "campaign", tmp_path / "undisturbed")
    assert table(campaign) == table(whole), "edited: the same bits"

    write(tmp_path, CODE.replace("torch.sigmoid(values)", "torch.sigmoid(1.7 * values)"), QUICK)
    asked = commands.submit(grid, campaign, undisturbed / "data")
    assert f"extensions: {DIGEST} -> " in asked.stdout
    assert asked.returncode == 2 and "16 done runs are no longer part of this grid" in asked.stderr, "all are new ones"
    assert "resnet6 float32 unknown: a wide guess" in asked.stdout, "of the edited one no record tells the costs"
