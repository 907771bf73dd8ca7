"""What status calls cells, and what it says of code."""

import subprocess
import sys
from pathlib import Path

import pytest

from hpc.execution.cells import cell_names
from hpc.execution.summary import rate_of
from hpc.planning.tasks import plan
from hpc.state.submissions import Submission, claim
from jobs.campaign import Campaign
from jobs.manifest import write_manifest
from jobs.taskfile import Task
from noisy.spec import Execution
from tests import commands
from tests.processes import wait_for
from tests.specs import runs, spec


@pytest.mark.slow
def test_a_watch_without_a_terminal_appends_lines_and_never_advises_itself(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path)
    header = write_manifest(campaign.manifest, runs(spec()), "abc")
    campaign.submissions.mkdir()
    planned = plan(runs(spec()), 1, Execution())
    submission = Submission.by_this_process(1, header.campaign, "local", planned)  # this process is at work
    claim(campaign, submission, [Task(0, header.campaign, "abc", "data", Execution(), runs(spec()))])
    command = [sys.executable, "-m", "hpc.status", "--watch", "--output-dir", tmp_path]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=commands.ROOT, stdout=log)
    appended = wait_for(lambda: "at work" in (text := (tmp_path / "log").read_text()) and text)
    process.kill()
    process.wait()
    assert "\x1b" not in appended
    assert "Next:" not in appended


def test_a_cell_is_named_by_what_it_is() -> None:
    assert cell_names([spec()]) == ["mlp 32 relu p=0.3 epochs=2 learning_rate=0.001"]
    assert cell_names([spec(model_type="cnn", epochs=7)]) == ["cnn relu p=0.3 epochs=7 learning_rate=0.001"]


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("activation", ["relu", "tanh"]),
        ("model_type", ["mlp", "cnn"]),
        ("p", [0.0, 0.25]),
        ("epochs", [1, 2]),
        ("learning_rate", [0.001, 0.0001]),
        ("hidden_sizes", [(8,), (8, 8)]),
        ("batch_size", [16, 32, 64]),
        ("weight_decay", [0.0, 1e-5]),
        ("max_train_samples", [None, 100]),
        ("precision", ["float32", "bfloat16"]),
        ("seed", [1, 2]),
        ("dataset", ["digits", "mnist"]),
    ],
)
def test_cells_that_differ_in_anything_have_different_names(field: str, values: list) -> None:
    names = cell_names([spec(**{field: value}) for value in values])
    assert len(set(names)) == len(values)


def test_a_rate_needs_some_runs_and_a_clock_that_goes_forward() -> None:
    assert rate_of(100, 50) == pytest.approx((1.8, 2.0, 2.2))
    assert rate_of(3, 50) is None
    assert rate_of(100, 0) is rate_of(100, -3600) is None
