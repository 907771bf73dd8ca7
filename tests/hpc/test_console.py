"""How commands speak: which runs a filter means, which status an error has, what is asked for again."""

import errno
import subprocess
import sys

import pytest

from hpc.console import Refused, exit_with, filter_option, matching
from hpc.state.scheduler import SchedulerError
from jobs.manifest import ManifestError
from tests.specs import runs, spec

RUNS = runs(*(spec(p=p, hidden_sizes=sizes, repeat=i) for p in (0.0, 0.5) for sizes in ((16,), (16, 8)) for i in range(3)))


@pytest.mark.parametrize(
    ("filters", "places"),
    [
        ([], list(range(12))),
        (["p=0.5"], [6, 7, 8, 9, 10, 11]),
        (["p=0.5", "repeat=1"], [7, 10]),
        (["hidden_sizes=[16, 8]"], [3, 4, 5, 9, 10, 11]),
        (["hidden_sizes=16-8", "p=0"], [3, 4, 5]),  # as the CSV writes it
        (["hidden_sizes=16", "repeat=0"], [0, 6]),
        (["activation=relu", "repeat=2", "p=0"], [2, 5]),
    ],
)
def test_a_filter_means_these_runs(filters: list[str], places: list[int]) -> None:
    assert matching(RUNS, [filter_option(text) for text in filters]).tolist() == places


@pytest.mark.parametrize(
    "text",
    [
        *("p=0.25", "repeat=[1, 2]", "repeat=true", "repeat=x", "p=true", "activation=[1]", "dataset=null"),
        pytest.param("p=" + "[" * 100_000, id="nested too deeply"),
    ],
)
def test_a_filter_that_fits_nothing_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="no run of the campaign has "):
        matching(RUNS, [filter_option(text)])


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (Refused("no", ["this", "that"]), 2, "error: no\n  this\n  that\n"),
        (ManifestError("changed"), 2, "error: changed\n"),
        (SchedulerError("silent"), 3, "error: silent; again\n"),
        (OSError(errno.ENOSPC, "No space left on device", "x"), 2, "error: x: No space left on device; make room\n"),
        (OSError(errno.EACCES, "Permission denied", "x"), 2, "error: x: Permission denied; see that you may write there\n"),
        (OSError(errno.ENOENT, "No such file or directory", "x"), 2, "error: x: No such file or directory\n"),
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


def test_a_closed_stdout_ends_quietly() -> None:
    program = "from hpc.console import exit_with\nexit_with(lambda: [print(i, flush=True) for i in range(10**6)])"
    shown = subprocess.run(f"{sys.executable} -c '{program}' | head -1", shell=True, capture_output=True, text=True)
    assert (shown.stdout, shown.stderr) == ("0\n", "")
