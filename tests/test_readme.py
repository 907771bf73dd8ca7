"""What the README says to type exists, and does what the README says."""

import functools
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests import commands

README = (commands.ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)  # language, code
PYTHON = [code for language, code in BLOCKS if language == "python"]
GRID = """
output_dir: results/quickstart
dataset: digits
activations: [relu, tanh]
ps: [0, 0.3]
repeats: 2
epochs: 2
hidden_sizes: [16]
max_train_samples: 300
max_workers: 2
"""  # 8 runs
PAGES = README + (commands.ROOT / "docs/commands.md").read_text()
COMMANDS = sorted(set(re.findall(r"^noisy [^#\n]*[^#\s]", PAGES, re.MULTILINE)))


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 8


@functools.cache
def usage_of(command: str) -> subprocess.CompletedProcess:
    return commands.call("hpc.cli", command, "--help")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_and_its_options_exist(command: str) -> None:
    name, *arguments = shlex.split(command)[1:]
    usage = usage_of(name)
    assert usage.returncode == 0, usage.stderr
    for option in (argument for argument in arguments if argument.startswith("--")):
        assert re.search(rf"{option}\b", usage.stdout), f"{name} has no {option}"


def test_make_targets_exist() -> None:
    makefile = (commands.ROOT / "Makefile").read_text()
    for target in set(re.findall(r"`?make ([a-z-]+)", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_files_exist() -> None:
    for name in re.findall(r"`((?:grids|benchmarks|analysis|docs)/[\w.]+)`|\((docs/[\w.]+)\)", README):
        assert (commands.ROOT / Path("".join(name))).exists(), name


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, digits_dir: Path) -> Path:
    """A folder in which the commands of "The campaign" have made results/quickstart."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "grid.yaml").write_text(GRID)
    (block,) = [code for language, code in BLOCKS if language == "sh" and "--dry-run" in code and "noisy report" in code]
    more = {"submit": ["--executor", "local"], "report": ["--no-figures"]}  # tests/docs/test_session.py draws them
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("NOISY_DATA_DIR", str(digits_dir))
        for line in block.splitlines():
            program, name, *options = shlex.split(line, comments=True)
            done = commands.call("hpc.cli", name, *more.get(name, []), *options)
            assert (program, done.returncode) == ("noisy", 0), done.stderr
    return folder


def test_there_is_python_code() -> None:
    assert len(PYTHON) == README.count("```python") >= 1


@pytest.mark.slow
@pytest.mark.parametrize("code", PYTHON)
def test_python_code_finds_the_numbers_of_the_csv(code: str, done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(done)
    found: dict[str, Any] = {}
    exec(code, found)
    csv = pd.read_csv("results/quickstart/results_per_run.csv", converters={"test_accuracy": float})  # to the last bit
    assert len(csv) == 8 and (csv["n_test"] % 8).all()  # so that the last byte of each row has bits to spare
    assert found["accuracy"].tolist() == csv["test_accuracy"].tolist()
    assert found["right"].sum(axis=1).tolist() == csv["n_correct"].tolist()
    assert found["table"]["test_accuracy"].tolist() == csv["test_accuracy"].tolist()
    at_p = (csv["p"] == 0.3).to_numpy()
    assert at_p.sum() == 4
    assert found["curve"].sizes == {"epoch": 2}
    assert np.isclose(found["curve"].values[-1], csv["test_accuracy"][at_p].mean(), rtol=1e-12)
    found["runs"].close()
