"""Own models, activations and data sets: what broken files get, and the names of runs. tests/docs has whole campaigns."""

from pathlib import Path

import pytest

from hpc.execution.choice import SECTIONS
from hpc.request.grid import load_grid
from tests import commands
from tests.extensions import DIGEST, write
from tests.jobs.test_tryout import HEAD, NORMALISED

TAKEN = "from noisy.extend import activation\nactivation('relu')(abs)\n"


@pytest.mark.slow
def test_all_broken_files_are_named_at_once_before_anything_is_written(tmp_path: Path) -> None:
    files = ["syntax.py", "missing.py", "taken.py"]
    for name, text in zip(files, ["def broken(:", "import missing_package", TAKEN], strict=True):
        (tmp_path / name).write_text(text)
    grid = tmp_path / "grid.yaml"
    grid.write_text(f"extensions: [{', '.join(files)}]\nactivations: [swish]\nmodels: {{mlp: {{epoch: 1}}}}\n")
    before = sorted(tmp_path.iterdir())
    refused = commands.submit(grid, tmp_path / "campaign", tmp_path / "data")
    assert refused.returncode == 2 and "4 problems" in refused.stderr, "and none that follow from others"
    for place, answer in enumerate(
        ["syntax.py, line 1: SyntaxError", "missing.py, line 1: ModuleNotFoundError", "taken.py, line 2: ValueError"]
    ):
        assert f"line 1: extensions[{place}]: {answer}" in refused.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_what_is_wrong_with_the_names_of_files_is_said_without_executing_any(tmp_path: Path) -> None:
    for value, answer in {
        "my_nets.py": "extensions: not a list of values",
        "[1]": "extensions[0]: not possible: 1",
        "[none.py]": "extensions[0]: cannot be read from {} (No such file or directory): 'none.py'; allowed: ",
        "[my_nets]": "extensions[0]: not possible: 'my_nets'; allowed: the path of a Python file",
        "[my_nets.py, my_nets.py]": "extensions[1]: listed twice",
    }.items():
        grid = write(tmp_path, "raise SystemExit", f"extensions: {value}\n")
        refused = commands.submit(grid, tmp_path / "campaign", tmp_path / "data")
        assert refused.returncode == 2 and answer.format(tmp_path) in refused.stderr


@pytest.mark.slow
def test_a_model_that_would_fail_at_the_last_batch_of_some_runs_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    sizes = "{wrong: {batch_size: [64, 131]}}"  # of 1,442 images
    grid = (
        f"extensions: [my_nets.py]\ndataset: digits\nmodel_types: [mlp, wrong]\nmodels: {sizes}\noutput_dir: {tmp_path}/out\n"
    )
    before = sorted([*tmp_path.iterdir(), write(tmp_path, HEAD + NORMALISED, grid), tmp_path / "my_nets.py"])
    refused = commands.call("hpc.submit", "--grid", tmp_path / "grid.yaml", "--executor", "local")
    first, problem = refused.stderr.splitlines()
    assert refused.returncode == 2 and first.endswith("grid.yaml: 1 problem")
    run = "with batch_size 131 and 1,442 training images, the last batch of an epoch has one image"
    what = f"model 'wrong' with activation 'relu': {run}"
    assert problem.startswith(f"  line 1: extensions[0]: {what}: ValueError: Expected more than 1 value per channel")
    assert "; allowed: another number of images, such as batch_size 132 or max_train_samples 1441, or a model" in problem
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.slow
def test_runs_without_own_files_keep_their_names_beside_those_with(tmp_path: Path, digits_dir: Path) -> None:
    plain = "dataset: digits\nactivations: [relu{}]\nps: [0]\nrepeats: 1\n"
    before = load_grid(write(tmp_path, grid=plain.format("")), SECTIONS).runs()
    grid = write(tmp_path, grid=plain.format(", swish") + "extensions: [my_nets.py]\n")
    after = load_grid(grid, SECTIONS, digits_dir).runs()
    assert len(after) == 2 and set(before.ids()) < set(after.ids())
    assert [run.extensions for run in after] == ["", DIGEST]
