"""How the commands of analysis begin and end."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.ending import exit_with
from tests.commands import ROOT


def test_wrong_settings_of_libraries_are_hidden_from_them(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_bytes(b"\xff\xfe")
    wrong = {"MPLBACKEND": "unknown", "MATPLOTLIBRC": str(tmp_path), "SOURCE_DATE_EPOCH": "then"}
    code = (
        "from analysis.ending import without_settings\nwith without_settings():\n import os, numpy.f2py, matplotlib.pyplot\n"
        "print(os.getcwd())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | wrong | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{tmp_path}\n", "")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file", "/there/report.html"), "; or elsewhere"),
        (PermissionError(errno.EACCES, "Permission denied", "/there/manifest.jsonl"), ""),  # which is only read
        (OSError(0, "not a regular file", "/there/manifest.jsonl"), ""),
    ],
)
def test_the_advice_to_write_elsewhere_is_given_on_what_is_written(
    error: OSError, said: str, capsys: pytest.CaptureFixture
) -> None:
    def command() -> int:
        raise error

    with pytest.raises(SystemExit) as ended:
        exit_with(command, (), advice="elsewhere")
    err = capsys.readouterr().err
    assert ended.value.code == 2
    assert err.startswith(f"error: {error.filename}: {error.strerror}")
    assert err.endswith(f"{said}\n") and ("elsewhere" in err) == bool(said)
