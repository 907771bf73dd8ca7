"""How commands speak: which runs a filter means, which status an error has, what is asked for again."""

import csv
import errno
import io
import os
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import pytest

from analysis.counted import Counted
from analysis.planned import SPEC_FIELDS, Planned, cells_of
from hpc.cancel import filter_option, matching
from hpc.console import Refused, exit_with
from hpc.state.scheduler import SchedulerError
from jobs.manifest import Header, ManifestError
from jobs.recorded import Recorded
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
        "p=0.25",
        "repeat=[1, 2]",
        "repeat=true",
        "repeat=x",
        "p=true",
        "activation=[1]",
        "dataset=null",
        "p=",
        "p=" + "[" * 10**5,
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


def test_every_column_of_the_csv_is_a_filter() -> None:
    """Values are as the CSV writes them."""
    several = runs(
        spec(learning_rate=1e-05, weight_decay=0.1, max_train_samples=100),
        spec(repeat=3, hidden_sizes=(256, 128), p=0.0, activation="leaky_relu", seed=2**63 - 1),
        spec(model_type="cnn", batch_size=7, precision="bfloat16", dataset="mnist", epochs=3),
    )
    planned = Planned(Header("c0ffee", "", "", 3, ""), several, cells_of(several))
    text = Counted.of(Recorded(""), several).table(planned).to_csv(index=False)
    columns = set(csv.DictReader(io.StringIO(text)).fieldnames or ()) & set(SPEC_FIELDS)
    assert columns == set(SPEC_FIELDS)
    rows = list(csv.DictReader(io.StringIO(text)))
    for name in SPEC_FIELDS:
        for row in rows:
            expected = [place for place, other in enumerate(rows) if other[name] == row[name]]
            assert matching(several, [filter_option(f"{name}={row[name]}")]).tolist() == expected, (name, row[name])
    for place, row in enumerate(rows):
        assert matching(several, [filter_option(f"{name}={row[name]}") for name in SPEC_FIELDS]).tolist() == [place]


@pytest.mark.slow
def test_a_closed_stdout_ends_quietly() -> None:
    program = "from hpc.console import exit_with\nexit_with(lambda: [print(i, flush=True) for i in range(10**6)])"
    shown = subprocess.run(f"{sys.executable} -c '{program}' | head -1", shell=True, capture_output=True, text=True)
    assert (shown.stdout, shown.stderr) == ("0\n", "")
