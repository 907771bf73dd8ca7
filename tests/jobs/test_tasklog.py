"""A task's log: each line has its time, and the part about a run is found, also in logs without times."""

import re
import subprocess
import sys
from datetime import datetime, timezone

import pytest

from jobs.tasklog import end_of_run, part_about, say, without_time
from tests.commands import ROOT
from tests.specs import spec

IDS = [spec(repeat=repeat).run_id for repeat in range(3)]


def test_each_line_begins_with_the_time(capfd: pytest.CaptureFixture[str]) -> None:
    say("one\n  two \udcff")
    lines = capfd.readouterr().out.splitlines()
    times = [re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)Z .*", line)[1] for line in lines]
    now = datetime.now(timezone.utc).replace(tzinfo=None)
    assert all(0 <= (now - datetime.fromisoformat(time)).total_seconds() < 10 for time in times)
    assert list(map(without_time, lines)) == ["one", "  two \\udcff"]
    assert without_time("1/3 without") == "1/3 without"


@pytest.mark.parametrize("time", ["", "2026-11-25T10:31:04Z "], ids=["of earlier versions", "with times"])
def test_the_part_about_a_run_goes_from_the_end_of_the_run_before_to_its_own(time: str) -> None:
    said = [
        "task 0 attempt 0: 3 of 3 runs to do",
        end_of_run(1, 3, IDS[0], "mlp relu p=0.3 repeat 0: ok"),
        "Traceback",
        f"3/4 of it is lost; 1/2 {IDS[2]}",
        end_of_run(2, 3, IDS[1], "mlp: failed, a\nb"),
        "task 0 attempt 1: 1 of 3 runs to do",
        end_of_run(1, 1, IDS[0], "mlp: ok"),
        "the last words",
    ]
    lines = [time + line for line in said]
    assert part_about(lines, IDS[0]) == [lines[:2], lines[5:7]]
    assert part_about(lines, IDS[1]) == [lines[2:5]]
    assert lines[4].endswith("mlp: failed, a b")
    assert part_about(lines, IDS[2]) == []
    assert part_about([], IDS[0]) == []


def test_a_log_that_cannot_be_written_does_not_change_the_exit_status() -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-c", "from jobs.tasklog import say; say('a line')"]
        assert subprocess.run(command, cwd=ROOT, stdout=full, check=False).returncode == 0
