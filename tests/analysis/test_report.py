"""analysis.report on a real campaign: files, figures, exit status; and the notebook with the same functions."""

import os
import subprocess
import sys
from pathlib import Path

import h5py
import nbformat
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from nbclient import NotebookClient

from analysis.figures import accuracy_figure, plot_accuracy
from jobs.campaign import Campaign
from jobs.manifest import ManifestError, newest_campaign, read_header, write_manifest
from noisy.runs import Runs
from tests import commands
from tests.records import failure, record, write_shard
from tests.specs import spec

GRID = """
dataset: digits
activations: [tanh, relu]
model_types: [mlp, cnn]
ps: [0.9, 0.0]
repeats: 2
epochs: 2
max_train_samples: 600
"""


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory, digits_dir: Path) -> Path:
    """A finished campaign of 16 real trainings, reported."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "grid.yaml").write_text(GRID)
    submitted = commands.submit(folder / "grid.yaml", folder / "campaign", digits_dir)
    assert submitted.returncode == 0, submitted.stderr
    reported = commands.run("analysis.report", "--output-dir", folder / "campaign")
    assert reported.returncode == 0, reported.stderr
    assert "16 of 16 runs done, 0 missing, 0 failed" in reported.stdout
    for line in reported.stdout.splitlines()[1:]:
        if not line.startswith("of the runs done"):
            assert Path(line.split(maxsplit=2)[-1]).exists(), line
    return folder / "campaign"


def test_the_per_run_csv_has_a_row_a_run(campaign: Path) -> None:
    runs = pd.read_csv(campaign / "results_per_run.csv", converters={"test_accuracy": float})  # to the last bit
    assert len(runs) == runs["run_id"].nunique() == 16
    wanted = {"run_id", "dataset", "activation", "model_type", "p", "repeat", "seed", "epochs", "batch_size", "learning_rate"}
    wanted |= {
        "weight_decay",
        "hidden_sizes",
        "max_train_samples",
        "precision",
        "product_route",
        "test_accuracy",
        "test_loss",
        "n_correct",
        "status",
    }
    wanted |= {"wall_s", "cpu_s", "peak_mem_mb", "host", "versions"}
    assert wanted <= set(runs.columns)
    np.testing.assert_array_equal(runs["test_accuracy"], runs["n_correct"] / 355)
    assert set(runs.loc[runs["model_type"] == "mlp", "n_parameters"]) == {235_146}


def test_the_summary_agrees_with_the_runs(campaign: Path) -> None:
    runs, summary = (pd.read_csv(campaign / f"results_{name}.csv") for name in ("per_run", "summary"))
    means = runs.groupby(["model_type", "activation", "p"])["test_accuracy"].mean()
    np.testing.assert_allclose(summary["mean_test_accuracy"], means, rtol=1e-12)
    assert list(means.index) == list(summary[["model_type", "activation", "p"]].itertuples(index=False, name=None))
    assert set(summary["repeats"]) == {2}


def test_the_merged_file_has_units_and_dimensions(campaign: Path) -> None:
    runs = pd.read_csv(campaign / "results_per_run.csv", converters={"test_accuracy": float})  # to the last bit
    with h5py.File(campaign / "results.h5") as file:
        assert [run_id.decode() for run_id in file["run_id"]] == list(runs["run_id"])
        np.testing.assert_array_equal(file["test_accuracy"], runs["test_accuracy"])
        history = file["history_test_accuracy"]
        assert history.shape == (16, 2)
        np.testing.assert_array_equal(history[:, -1], runs["test_accuracy"])
        assert [dimension.label or dimension[0].name for dimension in history.dims] == ["/run", "/epoch"]
        assert file["cpu_s"].attrs["units"] == "s"
        np.testing.assert_array_equal(np.unpackbits(file["correct"][()], axis=1).sum(axis=1), runs["n_correct"])
        assert file.attrs["campaign"] == read_header(campaign / "manifest.jsonl").campaign


def test_a_second_report_is_the_same_in_every_byte(campaign: Path, tmp_path: Path) -> None:
    assert commands.run("analysis.report", "--output-dir", campaign, "--to", tmp_path).returncode == 0
    for name in ("results_per_run.csv", "results_summary.csv", "figures/accuracy_mlp.pdf", "figures/accuracy_cnn.png"):
        assert (tmp_path / name).read_bytes() == (campaign / name).read_bytes(), name


def test_the_figure_shows_what_the_summary_says(campaign: Path) -> None:
    runs, summary = (pd.read_csv(campaign / f"results_{name}.csv") for name in ("per_run", "summary"))
    figure = accuracy_figure(summary, runs, "mlp", n_classes=10)
    assert [ax.get_title() for ax in figure.axes] == ["relu", "tanh"]
    cells = summary[(summary["model_type"] == "mlp") & (summary["activation"] == "tanh")]
    ax = plot_accuracy(Figure().subplots(), cells, runs[(runs["model_type"] == "mlp") & (runs["activation"] == "tanh")], 10)
    line, low, high = ax.containers[0][0], *ax.containers[0][1]
    np.testing.assert_array_equal(line.get_xdata(), [0.0, 0.9])
    np.testing.assert_array_equal(line.get_ydata(), cells["mean_test_accuracy"])
    np.testing.assert_allclose(np.asarray(low.get_ydata(), float), cells["ci95_low"])
    np.testing.assert_allclose(np.asarray(high.get_ydata(), float), cells["ci95_high"])
    assert figure.get_supxlabel().startswith("Mean of n = 2 runs a point with its 95 % t interval")


def test_another_axis_is_another_line() -> None:
    runs = pd.DataFrame(
        {"p": [0.0, 0.0], "status": "ok", "test_accuracy": [0.9, 0.8], "learning_rate": [0.1, 0.01], "model_type": "mlp"}
    )
    fixed = {"repeats": 1, "ci95_low": np.nan, "dataset": "digits", "seed": 1, "epochs": 1, "batch_size": 1}
    cells = runs.assign(mean_test_accuracy=runs["test_accuracy"], activation="relu", weight_decay=0, **fixed)
    cells = cells.assign(hidden_sizes="8", max_train_samples=pd.NA, precision="float32")
    ax = plot_accuracy(Figure().subplots(), cells, runs, 10)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["learning_rate 0.01", "learning_rate 0.1"]
    dots = [line.get_ydata().tolist() for line in ax.lines if line.get_marker() == "."]
    assert dots == [[0.8], [0.9]]  # each line has its own runs


@pytest.fixture
def partial(tmp_path: Path) -> Campaign:
    """A campaign of 4 runs: one done, one at chance, one failed, one missing."""
    runs = [spec(repeat=repeat) for repeat in range(4)]
    made = Campaign(tmp_path / "partial")
    made.folder.mkdir()
    header = write_manifest(made.manifest, Runs.of(runs), "abc")
    records = [record(runs[0]), record(runs[1], 36, status="chance"), failure(runs[2], "ValueError: no such thing")]
    write_shard(made.shards, 1, records, campaign=header.campaign)
    return made


def test_what_is_missing_and_failed_is_said(partial: Campaign) -> None:
    reported = commands.run("analysis.report", "--output-dir", partial.folder)
    assert reported.returncode == 1  # a run failed
    assert "2 of 4 runs done, 1 missing, 1 failed" in reported.stdout
    assert "1 never left chance" in reported.stdout
    assert f"failed     {spec(repeat=2).run_id} mlp relu p=0.3 repeat 2: ValueError: no such thing" in reported.stdout
    summary = pd.read_csv(partial.folder / "results_summary.csv").iloc[0]
    assert list(summary[["repeats", "missing", "failed", "chance"]]) == [2, 1, 1, 1]


def test_a_damaged_shard_is_named_in_the_exit_status(partial: Campaign) -> None:
    (partial.shards / "0001-00009-0-aaaaaa-p00.h5").write_bytes(b"damaged")
    reported = commands.run("analysis.report", "--output-dir", partial.folder)
    assert reported.returncode == 1
    assert "problem: " in reported.stderr and "0001-00009-0-aaaaaa-p00.h5" in reported.stderr


def test_a_campaign_with_no_results_yet_is_reported(tmp_path: Path) -> None:
    write_manifest(tmp_path / "manifest.jsonl", Runs.of([spec()]), "abc")
    reported = commands.run("analysis.report", "--output-dir", tmp_path)
    assert reported.returncode == 0, reported.stderr
    assert "0 of 1 runs done, 1 missing" in reported.stdout


def test_the_newest_campaign_is_that_made_last_not_that_touched_last(tmp_path: Path) -> None:
    for name in ("b", "a", "deep/er"):
        (tmp_path / name).mkdir(parents=True)
        write_manifest(tmp_path / name / "manifest.jsonl", Runs.of([spec()]), "abc")
    os.utime(tmp_path / "b" / "manifest.jsonl", (2e9, 2e9))
    assert newest_campaign(tmp_path) == tmp_path / "deep/er"
    with pytest.raises(ManifestError, match="no campaign here; name its folder with --output-dir"):
        newest_campaign(tmp_path / "a" / "nothing")


def test_no_campaign_is_a_clear_answer(tmp_path: Path) -> None:
    reported = commands.run("analysis.report", "--output-dir", tmp_path / "nowhere")
    assert reported.returncode == 2
    assert reported.stderr.startswith(f"error: {tmp_path}/nowhere/manifest.jsonl: cannot be read")


def test_the_notebook_runs(campaign: Path) -> None:
    path = commands.ROOT / "analysis" / "analysis.ipynb"
    subprocess.run([sys.executable, "-m", "json.tool", path], check=True, stdout=subprocess.DEVNULL)
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "committed with outputs"
    os.environ["CAMPAIGN_DIR"] = str(campaign)
    try:
        NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(commands.ROOT)}}).execute()
    finally:
        del os.environ["CAMPAIGN_DIR"]
    images = [o for cell in notebook.cells for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(images) == 2
