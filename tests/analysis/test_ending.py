"""How the commands of analysis begin."""

import os
import subprocess
import sys
from pathlib import Path

from tests.commands import ROOT


def test_wrong_settings_of_libraries_are_hidden_from_them(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_bytes(b"\xff\xfe")
    wrong = {"MPLBACKEND": "unknown", "MATPLOTLIBRC": str(tmp_path), "SOURCE_DATE_EPOCH": "then"}
    begin = "from analysis.ending import without_settings; without_settings()"
    code = f"{begin}; import os, numpy.f2py, matplotlib.pyplot; print(os.getcwd())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | wrong | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{tmp_path}\n", "")
