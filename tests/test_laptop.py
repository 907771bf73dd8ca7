"""Reports and checks of archives run where there is no torch, no Slurm and no Linux.

No such machine is at hand. A fresh process, and all that it starts, does without what macOS or Windows lacks. Not tried in this
way: paths with a drive or a backslash, files that Windows locks while they are open, and fonts.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from analysis.asked import report_of
from analysis.figures.saving import save_all
from analysis.tables import csv_of
from jobs.campaign import Campaign
from tests import commands
from tests.synthetic import campaign, reliable

HIDDEN = """
import os, sys

class Hidden:
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] in ("resource", "fcntl", "pwd", "grp", "termios", "torch", "torchvision", "submitit", "sklearn"):
            raise ModuleNotFoundError(f"hidden: {name}", name=name)

sys.meta_path.insert(0, Hidden)
lacking = "fork fchdir getuid geteuid setsid mkfifo pathconf posix_fallocate sched_getaffinity O_NONBLOCK O_PATH"
for name in lacking.split():
    delattr(os, name)
os.linesep = "\\r\\n"
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    """12 runs; a shard with 2 of them is damaged."""
    some = [run for run in reliable(repeats=2, epochs=2, model_types=["mlp"]) if run.p in (0.0, 0.5)]
    made = campaign(tmp_path_factory.mktemp("made") / "nets", some, a_shard=2)
    path = made.shard_paths()[0]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # of the seal: the file is read in a process of its own
    path.write_bytes(content)
    return made


@pytest.fixture
def without(tmp_path: Path) -> dict[str, str]:
    """The environment of a process that lacks all this."""
    (tmp_path / "sitecustomize.py").write_text(HIDDEN)
    settings = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{commands.ROOT}", "PYTHONIOENCODING": "cp1252"}
    return {**os.environ, **settings, "PYTHONWARNDEFAULTENCODING": "1", "PYTHONWARNINGS": "default::EncodingWarning"}


ONE_AFTER_ANOTHER = """
import importlib, json, sys
for module, *words in json.loads(sys.argv[1]):
    try:
        importlib.import_module(module).main(words)
    except SystemExit as ended:
        print(f"status {ended.code}: {module}", flush=True)
"""


def run(environment: dict[str, str], *calls: tuple[object, ...]) -> subprocess.CompletedProcess:
    """Call commands in one process, since a start costs as much as most of them."""
    command = [sys.executable, "-c", ONE_AFTER_ANOTHER, json.dumps([[*map(str, call)] for call in calls])]
    return subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False)


def test_the_modules_are_really_hidden(without: dict[str, str]) -> None:
    program = "import os, sys; print(os.linesep == '\\r\\n', hasattr(os, 'fork'), hasattr(os, 'O_NONBLOCK')); import resource"
    found = subprocess.run([sys.executable, "-c", program], env=without, capture_output=True, text=True, check=False)
    assert found.stdout == "True False False\n"
    assert "ModuleNotFoundError: hidden: resource" in found.stderr


@pytest.mark.slow
def test_a_report_an_archive_and_its_check_need_none_of_them(made: Campaign, tmp_path: Path, without: dict[str, str]) -> None:
    shutil.copytree(made.folder, tmp_path / "nets")
    here = commands.call("analysis.report", "--no-figures", "--output-dir", made.folder)
    save_all(made.folder / "figures", [report_of(made).sheets["accuracy_mlp"]], "paper")
    nets, packed = tmp_path / "nets", tmp_path / "nets.tar.gz"
    there = run(
        without,
        ("analysis.report", "--output-dir", nets),
        ("analysis.archive", "--output-dir", nets, "--shards"),
        ("analysis.archive", "--check", packed),
        ("analysis.compare", made.folder, nets, "--to", tmp_path / "compared"),
        ("analysis.merged", made.folder, packed, "--into", tmp_path / "both"),
    )
    assert (there.stdout.count("\nstatus 0: "), here.returncode, there.returncode) == (5, 0, 0), there.stdout + there.stderr
    tables = ("results_per_run.csv", "results_summary.csv", "comparisons.csv")
    for name in (*tables, "figures/accuracy_mlp.csv", "figures/accuracy_mlp.png"):
        assert (nets / name).read_bytes() == (made.folder / name).read_bytes(), name
    assert there.stdout.count("made again, equal in every byte") == 3
    warned = [line for line in there.stderr.splitlines() if "EncodingWarning" in line and "site-packages" not in line]
    assert not [line for line in warned if line.startswith(str(commands.ROOT))]


def test_tables_end_their_lines_in_the_same_way_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "linesep", "\r\n")
    assert b"".join(csv_of(pd.DataFrame({"a": [1, 2]}))) == b"a\n1\n2\n"
