"""The Python interface. docs/python.md is executed line by line; its numbers are those of the commands and the CSV files."""

import contextlib
import io
import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import hpc
from analysis.asked import NoSuchThing, figure
from hpc.state import submissions
from jobs.campaign import Campaign
from jobs.manifest import read_manifest
from tests import commands
from tests.records import failure, write_shard
from tests.test_readme import GRID

PAGE = (commands.ROOT / "docs/python.md").read_text()
CODE = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, digits_dir: Path) -> Iterator[tuple[Path, dict[str, Any], str]]:
    """A folder in which all lines of the page were executed; the names that they made; what they printed."""
    folder = tmp_path_factory.mktemp("python")
    (folder / "grid.yaml").write_text(f"{GRID}data_dir: {digits_dir}\n")
    found: dict[str, Any] = {}
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with contextlib.redirect_stdout(out):
            for code in CODE:
                exec(code.replace("campaign.submit()", 'campaign.submit(executor="local", no_calibrate=True)'), found)
        yield folder, found, out.getvalue()


@pytest.fixture
def campaign(told: tuple[Path, dict[str, Any], str]) -> Any:
    """The campaign that the page made."""
    return told[1]["campaign"]


@pytest.mark.slow
def test_the_page_is_true(told: tuple[Path, dict[str, Any], str]) -> None:
    folder, found, printed = told
    assert (found["planned"].n_runs, found["planned"].n_tasks) == (0, 0)
    assert found["status"].counts == {"done": 8} and found["status"].is_done
    assert f"# {found['status'].counts}" in PAGE and "# 0, 0" in PAGE
    *_, last = printed.splitlines()
    assert last == "'p=0.7': no run has p=0.7; allowed: 0.0, 0.3"
    assert f"# {last}\n" in PAGE
    assert (folder / "accuracy.pdf").read_bytes().startswith(b"%PDF")
    assert submissions.numbers(Campaign(folder / "results/quickstart")) == [1]


@pytest.mark.slow
def test_results_are_those_of_the_report(campaign: Any) -> None:
    commands.call("analysis.report", "--no-figures", "--output-dir", campaign.folder)
    csv = pd.read_csv(campaign.folder / "results_per_run.csv", converters={"test_accuracy": float})  # to the last bit
    summary = pd.read_csv(campaign.folder / "results_summary.csv", converters={"mean_test_accuracy": float})
    runs = campaign.runs()
    assert list(runs.columns) == list(csv.columns)
    assert runs["run_id"].tolist() == csv["run_id"].tolist()
    assert runs["test_accuracy"].tolist() == csv["test_accuracy"].tolist()
    assert set(campaign.summary().columns) == set(summary.columns)
    assert sorted(campaign.summary()["mean_test_accuracy"]) == sorted(summary["mean_test_accuracy"])


@pytest.mark.slow
def test_bits_are_in_the_order_of_the_runs(campaign: Any) -> None:
    for chosen, n_runs in (((), 8), (("p=0.3",), 4), (("p=0.2..0.4", "repeat>0 activation=tanh"), 1)):
        right, runs = campaign.correct(*chosen), campaign.runs(*chosen)
        assert len(runs) == n_runs
        assert right.dtype == bool and right.shape == (len(runs), 355)
        assert right.sum(axis=1).tolist() == runs["n_correct"].tolist()
    rows = campaign.runs().index.get_indexer(campaign.runs("p=0.3").index)
    assert np.array_equal(campaign.correct("p=0.3"), campaign.correct()[rows])


@pytest.mark.slow
def test_nothing_is_written_by_questions(campaign: Any) -> None:
    files = {path: path.stat().st_mtime_ns for path in campaign.folder.rglob("*")}
    campaign.plan()
    campaign.status()
    campaign.runs(all=True)
    campaign.correct()
    assert isinstance(campaign.figure("error"), Figure)
    assert {path: path.stat().st_mtime_ns for path in campaign.folder.rglob("*")} == files


@pytest.mark.slow
def test_a_plan_and_a_state_are_shown_as_the_commands_show_them(campaign: Any, told: tuple[Path, dict[str, Any], str]) -> None:
    printed = commands.call("hpc.status", "--output-dir", campaign.folder).stdout
    assert repr(campaign.status()) == printed.rstrip()
    figures = json.loads(commands.call("hpc.status", "--json", "--output-dir", campaign.folder).stdout)
    assert {name: campaign.status().figures[name] for name in figures} == figures
    assert 0 < figures["efficiency"]["cpu"] <= 1.5
    grid = told[0] / "grid.yaml"
    fresh = hpc.Campaign(campaign.folder.with_name("fresh"))
    dry = ("hpc.submit", "--grid", grid, "--output-dir", fresh.folder, "--executor", "local", "--dry-run")
    planned = fresh.plan(grid, executor="local")
    assert repr(planned) in commands.call(*dry).stdout
    assert planned.n_runs == 8 and planned.decision
    assert not fresh.folder.exists()
    assert "8 of 8 runs done" in campaign.status()._repr_html_()
    assert planned._repr_html_() == f"<pre>{planned}</pre>".replace("'", "&#x27;")


@pytest.mark.slow
def test_failed_and_missing_runs_are_shown_if_asked_for(campaign: Any, tmp_path: Path) -> None:
    made = Campaign(tmp_path / "copy")
    made.folder.mkdir()
    made.manifest.write_bytes((campaign.folder / "manifest.jsonl").read_bytes())
    copy = hpc.Campaign(made.folder)
    assert copy.runs(all=True)["status"].tolist() == ["missing"] * 8
    assert len(copy.runs()) == 0
    runs = copy.runs(all=True)
    planned = read_manifest(made.manifest)
    write_shard(made.shards, 0, [failure(planned.runs.at(0))], campaign=planned.header.campaign)
    assert copy.runs("status=failed", all=True)["run_id"].tolist() == [runs["run_id"][0]]
    with pytest.raises(hpc.Refused, match="no run has status=failed; the values of the finished runs:\n  status: "):
        copy.runs("status=failed")
    with pytest.raises(hpc.Refused, match=r"no run has p=0\.3; the values of the finished runs:\n  p: "):
        copy.runs("p=0.3")  # no mistake: runs of the campaign have it, but none is finished


@pytest.mark.slow
def test_what_cannot_be_trusted_is_a_warning(campaign: Any, tmp_path: Path) -> None:
    made = Campaign(tmp_path / "damaged")
    made.shards.mkdir(parents=True)
    made.manifest.write_bytes((campaign.folder / "manifest.jsonl").read_bytes())
    (made.shards / "0001-00000-0-abc-p00.h5").write_bytes(b"no shard")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert len(hpc.Campaign(made.folder).runs()) == 0
    assert any("0001-00000-0-abc-p00.h5" in str(one.message) for one in said)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda it: it.plan("nowhere.yaml"), r"--grid nowhere.yaml: 1 problem\n  cannot be read"),
        (lambda it: it.plan("grid.yaml", limt=3), "--limt"),
        (lambda it: it.plan("grid.yaml", limit=0), "--limit: '0': allowed: an integer of at least 1"),
        (lambda it: it.runs("pp=0.3"), r"'pp=0.3': no column 'pp' \(meant: p\?\)"),
        (lambda it: it.runs("p='0.3"), "not possible: No closing quotation"),
        (
            lambda it: it.runs("hidden_sizes=[8, 9]", "p=0.3"),
            r"'hidden_sizes=\[8,9\]': no run has hidden_sizes=\[8,9\]; allowed: ",
        ),
        (lambda it: it.runs("tanh"), "'tanh': neither a filter nor a folder; allowed: COLUMN=VALUE"),
        (lambda it: it.figure("nothing"), "figure 'nothing': there is none; allowed: accuracy_mlp, "),
        (lambda it: it.figure("accuracy", style="wide"), "style 'wide': there is none; allowed: paper, slides"),
    ],
)
@pytest.mark.slow
def test_what_is_wrong_is_said(ask: Any, message: str, campaign: Any) -> None:
    with pytest.raises(hpc.Refused, match=message):
        ask(campaign)


def test_a_folder_without_a_campaign_is_named(tmp_path: Path) -> None:
    for ask in (lambda it: it.status(), lambda it: it.runs(), lambda it: it.plan()):
        with pytest.raises(hpc.ManifestError, match=f"{tmp_path}/manifest.jsonl: cannot be read"):
            ask(hpc.Campaign(tmp_path))


def test_the_beginning_of_a_name_must_mean_one_figure() -> None:
    there = {"accuracy_mlp": None, "accuracy_cnn": None, "error_mlp": None}
    with pytest.raises(NoSuchThing, match=r"several begin like this; allowed: accuracy_mlp, accuracy_cnn$"):
        figure(there, "accuracy", "paper")


def test_a_name_that_is_not_there_is_not_there() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Champagne'"):
        hpc.Champagne  # noqa: B018
