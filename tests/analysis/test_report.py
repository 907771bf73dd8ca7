"""analysis.report: files, figures, exit status; and the notebook with the same functions."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from analysis import making, report
from analysis.figures.style import STYLES
from jobs.campaign import Campaign
from jobs.manifest import read_header, write_manifest
from noisy.runs import Runs
from tests import commands
from tests.campaigns import made_once
from tests.records import failure, record, write_shard
from tests.specs import spec

SIXTEEN = [  # in another order than tables are
    spec(repeat=repeat, activation=activation, model_type=model_type, p=p, **sizes)
    for model_type, sizes in (("mlp", {}), ("cnn", {"hidden_sizes": None}))
    for activation in ("tanh", "relu")
    for p in (0.9, 0.0)
    for repeat in range(2)
]


def test_the_styles_that_are_offered_exist() -> None:
    assert tuple(STYLES) == report.STYLES  # named twice, since the figures are slow to import


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A campaign of 16 runs with invented results, reported without figures."""
    folder = tmp_path_factory.mktemp("reported")
    header = write_manifest(folder / "manifest.jsonl", Runs.of(SIXTEEN), "abc")
    records = [record(run, 200 + i**2 % 97) for i, run in enumerate(SIXTEEN)]
    write_shard(folder / "shards", 1, records, campaign=header.campaign)
    reported = commands.call("analysis.report", "--no-figures", "--output-dir", folder)
    assert reported.returncode == 0, reported.stderr
    assert "16 of 16 runs done, 0 missing, 0 failed" in reported.stdout
    return folder


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_summary_agrees_with_the_runs(campaign: Path) -> None:
    runs, summary = (pd.read_csv(campaign / f"results_{name}.csv") for name in ("per_run", "summary"))
    means = runs.groupby(["model_type", "activation", "p"])["test_accuracy"].mean()
    np.testing.assert_allclose(summary["mean_test_accuracy"], means, rtol=1e-12)
    assert list(means.index) == list(summary[["model_type", "activation", "p"]].itertuples(index=False, name=None))
    assert set(summary["repeats"]) == {2}


@pytest.mark.slow
def test_the_merged_file_of_real_trainings_has_units_and_dimensions(finished: Campaign, tmp_path: Path) -> None:
    reported = commands.call("analysis.report", "--no-figures", "--output-dir", finished.folder, "--to", tmp_path)
    assert (reported.returncode, "8 of 12 runs done, 4 missing, 0 failed" in reported.stdout) == (0, True)
    runs = pd.read_csv(tmp_path / "results_per_run.csv", converters={"test_accuracy": float})  # to the last bit
    with h5py.File(tmp_path / "results.h5") as file:
        is_there = np.isin(file["run_id"].asstr()[()], runs["run_id"])
        assert list(file["run_id"].asstr()[is_there]) == list(runs["run_id"]) and (~is_there).sum() == 4
        np.testing.assert_array_equal(file["test_accuracy"][is_there], runs["test_accuracy"])
        history = file["history_test_accuracy"]
        assert history.shape == (12, 1)
        np.testing.assert_array_equal(history[is_there, -1], runs["test_accuracy"])
        assert [dimension.label or dimension[0].name for dimension in history.dims] == ["/run", "/epoch"]
        assert file["cpu_s"].attrs["units"] == "s"
        np.testing.assert_array_equal(np.unpackbits(file["correct"][is_there], axis=1).sum(axis=1), runs["n_correct"])
        assert file.attrs["campaign"] == read_header(finished.manifest).campaign
    assert set(runs["n_parameters"]) == {12_730}  # of real networks


@pytest.mark.slow
def test_a_second_report_is_the_same_in_every_byte(campaign: Path, tmp_path: Path) -> None:
    """Two of its figures are drawn again; test_archive.py and test_figures.py do so with the other kinds."""
    first, second = tmp_path / "first", tmp_path / "second"
    asked = ("analysis.report", "model_type=cnn", "activation=relu", "p=0.9", "--output-dir", campaign, "--to")
    reported = commands.call(*asked, first)
    assert reported.returncode == 0, reported.stderr
    for line in reported.stdout.splitlines()[1:]:
        if not line.startswith(("of the done runs, ", "note: ")):
            assert Path(line.split(maxsplit=2)[-1]).exists(), line
    shutil.copytree(first / "figures", second / "figures")
    for drawn_again in ("accuracy_cnn", "curves_cnn"):
        for path in (second / "figures").glob(f"{drawn_again}.*"):
            path.unlink()
    assert commands.call(*asked, second).returncode == 0
    names = ["results_per_run.csv", "results_summary.csv", "methods.md", "report.html"]
    names += [f"figures/{path.name}" for path in (first / "figures").iterdir()]
    assert {"figures/accuracy_cnn.pdf", "figures/curves_cnn.png"} <= set(names)
    for name in names:
        assert (second / name).read_bytes() == (first / name).read_bytes(), name


FOUR = [spec(repeat=repeat, epochs=1) for repeat in range(4)]


@pytest.fixture
def partial(tmp_path: Path) -> Campaign:
    """A campaign of 4 runs: one done, one at chance, one failed, one missing."""
    made = Campaign(tmp_path / "partial")
    made.folder.mkdir()
    header = write_manifest(made.manifest, Runs.of(FOUR), "abc")
    records = [record(FOUR[0]), record(FOUR[1], 36, status="chance"), failure(FOUR[2], "ValueError: no such thing")]
    write_shard(made.shards, 1, records, campaign=header.campaign)
    return made


def test_what_is_missing_and_failed_is_said(partial: Campaign) -> None:
    reported = commands.call("analysis.report", "--no-figures", "--output-dir", partial.folder)
    assert reported.returncode == 1  # a run failed
    assert "2 of 4 runs done, 1 missing, 1 failed" in reported.stdout
    assert "\nof the done runs, 1 never left chance; all of them count in the means\n" in reported.stdout
    assert f"failed     {FOUR[2].run_id} mlp relu p=0.3 repeat 2: ValueError: no such thing" in reported.stdout
    summary = pd.read_csv(partial.folder / "results_summary.csv").iloc[0]
    assert list(summary[["repeats", "missing", "failed", "chance"]]) == [2, 1, 1, 1]


def test_a_damaged_shard_is_named_in_the_exit_status(partial: Campaign) -> None:
    (partial.shards / "0001-00009-0-aaaaaa-p00.h5").write_bytes(b"damaged")
    reported = commands.call("analysis.report", "--no-figures", "--output-dir", partial.folder)
    assert reported.returncode == 1
    assert "problem: " in reported.stderr and "0001-00009-0-aaaaaa-p00.h5" in reported.stderr


def test_a_campaign_with_no_results_yet_is_reported(tmp_path: Path) -> None:
    write_manifest(tmp_path / "manifest.jsonl", Runs.of([spec()]), "abc")
    reported = commands.call("analysis.report", "--output-dir", tmp_path)
    assert reported.returncode == 0, reported.stderr
    assert "0 of 1 run done, 1 missing" in reported.stdout


def refused(capsys: pytest.CaptureFixture, *arguments: object) -> tuple[int, str]:
    """The exit status and the message of a report in this process, which must print nothing else."""
    with pytest.raises(SystemExit) as stop:
        report.main([*map(str, arguments)])
    printed = capsys.readouterr()
    assert printed.out == ""
    return int(stop.value.code), printed.err


def names(folder: Path) -> list[tuple[str, float]]:
    return sorted((str(path), path.lstat().st_mtime) for path in folder.rglob("*"))


@pytest.mark.slow
def test_purged_shards_are_a_refusal_until_it_is_accepted(partial: Campaign, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        report.main(["--output-dir", str(partial.folder), "--no-figures"])
    for path in partial.shard_paths():
        path.unlink()
    before = names(partial.folder)
    capsys.readouterr()
    status, said = refused(capsys, "--output-dir", partial.folder)
    assert status == 1 and names(partial.folder) == before
    assert said.startswith(f"error: {partial.folder}/results.h5: 3 of its 3 runs can no longer be read from the shards;")
    with pytest.raises(SystemExit) as stop:
        report.main(["--output-dir", str(partial.folder), "--accept-fewer"])
    assert stop.value.code == 0
    assert len(pd.read_csv(partial.folder / "results_per_run.csv")) == 0


FILES = ("results.h5", "results_per_run.csv", "results_summary.csv", "comparisons.csv", "methods.md", "report.html")
IN_THE_WAY = [(name, make) for name in FILES for make in (Path.mkdir, os.mkfifo, lambda path: path.symlink_to("nowhere"))]


@pytest.mark.parametrize(("name", "make"), [*IN_THE_WAY, ("figures", Path.touch), ("figures", os.mkfifo)])
def test_what_is_in_the_way_is_named_before_anything_is_written(
    partial: Campaign, capsys: pytest.CaptureFixture, name: str, make: Callable[[Path], object]
) -> None:
    make(partial.folder / name)
    before = names(partial.folder)
    status, said = refused(capsys, "--output-dir", partial.folder)
    kind = "folder" if name == "figures" else "file"
    assert said.startswith(f"error: {partial.folder / name}: is not a {kind}; move away what is there")
    assert said.endswith("; or write elsewhere with --to DIR\n")
    assert status == 2 and names(partial.folder) == before


@pytest.mark.parametrize("damage", ["no folder", "an empty folder", "an edited manifest"])
def test_a_folder_without_a_campaign_stays_as_it_is(
    partial: Campaign, capsys: pytest.CaptureFixture, tmp_path: Path, damage: str
) -> None:
    folder = tmp_path / "typo" if damage == "no folder" else partial.folder
    if damage == "an empty folder":
        folder = tmp_path / "empty"
        folder.mkdir()
    elif damage == "an edited manifest":
        partial.manifest.write_text(partial.manifest.read_text().replace('"p":0.3', '"p":0.4'))
    before = names(tmp_path)
    status, said = refused(capsys, "--output-dir", folder, "--to", tmp_path / "to" / "there")
    assert status == 2 and said.startswith(f"error: {folder}/manifest.jsonl: ")
    assert names(tmp_path) == before


@pytest.mark.slow
def test_figures_that_are_gone_go_and_the_users_stay(partial: Campaign) -> None:
    (partial.folder / "figures").mkdir()
    for name in ("accuracy_cnn.pdf", "accuracy_cnn.png", "accuracy_mine.pdf"):  # as reports made them that kept no list
        (partial.folder / "figures" / name).touch()
    making.report(partial)
    left = {path.name for path in (partial.folder / "figures").iterdir()}
    made = {f"accuracy_mlp.{suffix}" for suffix in ("pdf", "png", "svg", "csv")}
    assert made < left and "accuracy_mine.pdf" in left and not {"accuracy_cnn.pdf", "accuracy_cnn.png"} & left
    table = (partial.folder / "results_summary.csv").read_bytes()
    making.report(partial, is_drawn=False)
    assert (partial.folder / "results_summary.csv").read_bytes() == table
    assert {path.name for path in (partial.folder / "figures").iterdir()} == {"accuracy_mine.pdf", ".made.json"}
    assert not {"report.html", "methods.md"} & {path.name for path in partial.folder.iterdir()}


def test_a_wrong_reference_is_refused_before_anything_is_written(partial: Campaign, capsys: pytest.CaptureFixture) -> None:
    before = names(partial.folder)
    status, said = refused(capsys, "--output-dir", partial.folder, "--reference", "gelu")
    assert status == 2 and "gelu" in said and "relu" in said and names(partial.folder) == before


@pytest.fixture(scope="module")
def one_of_four(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A campaign of four runs of which one is done, reported."""

    def make(folder: Path) -> None:
        header = write_manifest(folder / "manifest.jsonl", Runs.of(FOUR), "abc")
        write_shard(folder / "shards", 1, [record(FOUR[0])], campaign=header.campaign)
        assert commands.call("analysis.report", "--output-dir", folder).returncode == 0

    return made_once(tmp_path_factory, "one of four", make)


@pytest.mark.slow
def test_watching_renews_the_report_until_no_run_is_missing(one_of_four: Path, tmp_path: Path) -> None:
    made = Campaign(tmp_path / "live")
    shutil.copytree(one_of_four, made.folder)
    (made.folder / "report.html").unlink()
    watching = commands.start("analysis.report", "--output-dir", made.folder, "--watch", 1)
    assert watching.stdout
    assert "1 of 4 runs done, 3 missing" in watching.stdout.readline()
    while "figures" not in watching.stdout.readline():
        pass
    assert "1 of 4 runs" in (made.folder / "report.html").read_text()
    write_shard(made.shards, 2, [record(run) for run in FOUR[1:]], campaign=read_header(made.manifest).campaign)
    out, err = watching.communicate(timeout=300)
    assert watching.returncode == 0, err
    assert "4 of 4 runs done, 0 missing" in out
    assert "4 of 4 runs" in (made.folder / "report.html").read_text()


@pytest.fixture
def unwritten(one_of_four: Path, tmp_path: Path) -> Path:
    """The same campaign in a folder with another name, without what a report writes, but for all figures except one."""
    folder = tmp_path / "Rauschen äöü"
    shutil.copytree(one_of_four, folder)
    for path in (*folder.glob("results*"), *(folder / "figures").glob("accuracy_mlp.*")):
        path.unlink()
    return folder


def assert_all_is_written(folder: Path) -> None:
    for name in ("results.h5", "results_per_run.csv", "results_summary.csv", "figures/accuracy_mlp.png"):
        assert (folder / name).stat().st_size


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stdout", "status", "said"),
    [
        ("/dev/full", 2, "error: standard output: No space left on device; not everything was printed"),
        ("a closed pipe", 1, ""),
    ],
)
def test_all_files_are_written_if_stdout_takes_nothing(unwritten: Path, stdout: str, status: int, said: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "analysis.report", "--output-dir", unwritten],
            cwd=commands.ROOT,
            env=os.environ | {"MPLBACKEND": "unknown"},  # which matplotlib refuses
            stdout=writer if stdout == "a closed pipe" else full,
            stderr=subprocess.PIPE,
            text=True,
        )
    os.close(writer)
    assert (done.returncode, done.stderr.strip()) == (status, said)
    assert_all_is_written(unwritten)


@pytest.mark.slow
def test_all_files_are_written_if_stdout_cannot_hold_a_name(
    unwritten: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = (tmp_path / "out").open("w", encoding="ascii")
    with out, contextlib.redirect_stdout(out), pytest.raises(SystemExit) as stop:
        report.main(["--output-dir", str(unwritten)])
    assert (stop.value.code, capsys.readouterr().err) == (0, "")
    assert_all_is_written(unwritten)
    assert r"Rauschen \xe4\xf6\xfc: 1 of 4 runs done" in (tmp_path / "out").read_text()


def test_no_campaign_is_a_clear_answer(tmp_path: Path) -> None:
    reported = commands.call("analysis.report", "--output-dir", tmp_path / "nowhere")
    assert reported.returncode == 2
    assert reported.stderr.startswith(f"error: {tmp_path}/nowhere/manifest.jsonl: cannot be read")


@pytest.mark.slow
def test_the_notebook_runs(campaign: Path, tmp_path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    path = commands.ROOT / "analysis" / "analysis.ipynb"
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "committed with outputs"
    some = ("--no-figures", "--output-dir", campaign, "--to", tmp_path)
    assert commands.call("analysis.report", "model_type=mlp", *some).returncode == 0
    os.environ["CAMPAIGN_DIR"] = str(tmp_path)
    try:
        NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(commands.ROOT)}}).execute()
    finally:
        del os.environ["CAMPAIGN_DIR"]
    images = [o for cell in notebook.cells for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(images) >= 6
