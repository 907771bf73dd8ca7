"""How commands speak: which status an error has, what is printed, what is asked for again."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import pytest

from hpc.console import Refused, exit_with
from hpc.state.scheduler import SchedulerError
from jobs.filters import FilterError, Nothing
from jobs.manifest import ManifestError


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (Refused("no", ["this", "that"]), 2, "error: no\n  this\n  that\n"),
        (FilterError(["this", "that"]), 2, "error: 2 problems\n  this\n  that\n"),
        (Nothing("no run has p=2", ["p: 0, 1"]), 1, "error: no run has p=2; the values that there are:\n  p: 0, 1\n"),
        (ManifestError("changed"), 2, "error: changed\n"),
        (SchedulerError("silent"), 3, "error: silent; again\n"),
        (OSError(errno.ENOSPC, "No space left on device", "x"), 2, "error: x: No space left on device; make room\n"),
        (OSError(errno.EINTR, "Interrupted", "x"), 2, "error: x: Interrupted\n"),
        (KeyboardInterrupt(), 130, "stopped\n"),
    ],
)
def test_each_error_has_one_status_and_one_message(
    error: BaseException, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> int:
        raise error

    with pytest.raises(SystemExit) as ended:
        exit_with(command, on_silence="; again", on_interrupt="stopped")
    assert (ended.value.code, capsys.readouterr().err) == (status, said)


def test_a_command_ends_with_its_status() -> None:
    with pytest.raises(SystemExit) as ended:
        exit_with(lambda: 1)
    assert ended.value.code == 1


PRINTS = "from hpc.console import exit_with; exit_with(lambda: print('caf\\xe9 \\udcff') or 0)"


@pytest.mark.slow
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_stdout_is_named(unbuffered: str) -> None:
    with open("/dev/full", "w") as full:
        said = subprocess.run(
            [sys.executable, "-c", PRINTS], stdout=full, stderr=PIPE, env={**os.environ, "PYTHONUNBUFFERED": unbuffered}
        )
    full = b"error: standard output: No space left on device; not everything was printed\n"
    assert (said.returncode, said.stderr) == (2, full)


def test_another_full_file_is_not_taken_for_stdout(tmp_path: Path) -> None:
    program = "from hpc.console import exit_with; exit_with(lambda: open('/dev/full', 'w', 1).write('x\\n'))"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (said.returncode, said.stderr) == (2, "error: a file: No space left on device; make room\n")


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_what_cannot_be_shown_is_escaped(encoding: str) -> None:
    said = subprocess.run([sys.executable, "-c", PRINTS], capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding})
    shown = r"caf\xe9 \udcff" if encoding == "ascii" else "café \\udcff"
    assert (said.returncode, said.stdout.decode().strip(), said.stderr) == (0, shown, b"")


@pytest.mark.slow
def test_a_closed_stdout_is_no_error() -> None:
    for closed in (">&-", "2>&-", ">&- 2>&-"):
        said = subprocess.run(["bash", "-c", f'{sys.executable} -c "$1" {closed}', "", PRINTS], capture_output=True)
        assert (said.returncode, said.stderr) == (0, b""), closed


@pytest.mark.slow
def test_a_closed_stdout_ends_quietly() -> None:
    program = "from hpc.console import exit_with\nexit_with(lambda: [print(i, flush=True) for i in range(10**6)])"
    shown = subprocess.run(f"{sys.executable} -c '{program}' | head -1", shell=True, capture_output=True, text=True)
    assert (shown.stdout, shown.stderr) == ("0\n", "")
