"""`hpc.init`: the file that it writes is a campaign as it is, and nothing is ever replaced by it."""

import json
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import pytest

from hpc.execution.choice import SECTIONS
from hpc.request.grid import load_grid
from noisy.spec import DATASETS
from tests import commands


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "my grid.yaml"
    done = commands.call("hpc.init", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{path}: a grid of 36 runs of digits.\nNext: noisy submit --grid '{path}'\n"
    return path


def test_the_file_is_a_grid_as_it_is_and_with_each_value_that_it_suggests(written: Path) -> None:
    grid = load_grid(written, SECTIONS)
    assert (grid.n_runs, str(grid.output_dir)) == (36, "results/mygrid")
    for dataset in DATASETS:
        assert (
            load_grid(written, SECTIONS, settings=[f"dataset={dataset}", "batch_size=128", "max_train_samples=100"]).n_runs
            == 36
        )
    for setting, n_runs in {"activations=[leaky_relu, gelu]": 24, "model_types=[mlp, cnn]": 72, "epochs=[5, 6]": 72}.items():
        assert load_grid(written, SECTIONS, settings=[setting]).n_runs == n_runs
    assert (
        load_grid(written, SECTIONS, settings=["slurm={partition: cpu, account: my-lab}"]).options["slurm"]["partition"]
        == "cpu"
    )


def test_its_first_line_names_the_schema(written: Path) -> None:
    first = written.read_text().splitlines()[0]
    before, _, url = first.partition("$schema=")
    assert before == "# yaml-language-server: "
    schema = json.loads(Path(url2pathname(urlparse(url).path)).read_text())
    assert {"ps", "models", "slurm"} <= set(schema["properties"])


@pytest.mark.parametrize("what", ["file", "folder", "link to nothing"])
def test_it_replaces_nothing(tmp_path: Path, what: str) -> None:
    path = tmp_path / "grid.yaml"
    {"file": lambda: path.write_text("mine"), "folder": path.mkdir, "link to nothing": lambda: path.symlink_to("no")}[what]()
    done = commands.call("hpc.init", path)
    assert done.returncode == 2
    assert done.stderr == f"error: {path}: is there already, and is not replaced; allowed: the name of a new file\n"
    assert what != "file" or path.read_text() == "mine"
    assert [found.name for found in tmp_path.iterdir()] == ["grid.yaml"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = commands.call("hpc.init", tmp_path / "no" / "grid.yaml")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {tmp_path / 'no' / 'grid.yaml'}: No such file or directory; ")
