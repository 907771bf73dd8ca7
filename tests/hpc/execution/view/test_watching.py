"""The live view on a real pseudo-terminal: it draws in place, and leaves the terminal as it was."""

import os
import signal
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

from hpc.execution.choice import EXECUTORS
from hpc.execution.view.watching import Watcher, pause_s
from hpc.planning.tasks import plan
from hpc.state.submissions import Submission, claim
from jobs.campaign import Campaign
from jobs.manifest import read_manifest, write_manifest
from jobs.taskfile import Task
from noisy.runs import Runs
from noisy.spec import Execution
from tests import commands, synthetic
from tests.campaigns import GRID
from tests.terminal import ENTERS, LEAVES, OnTerminal

RUNS = synthetic.reliable(2)  # 120 runs


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    """60 of 120 runs are done, and this process is at work on the others."""
    made = synthetic.campaign(tmp_path / "campaign", RUNS, lambda i: i % 2 == 0, a_shard=20)
    at_work(made)
    return made


def at_work(made: Campaign) -> None:
    manifest = read_manifest(made.manifest)
    made.submissions.mkdir()
    planned = plan(manifest.runs, 3, Execution())
    submission = Submission.by_this_process(1, manifest.header.campaign, "local", planned)
    claim(
        made,
        submission,
        [Task(i, manifest.header.campaign, "abc", "data", Execution(), task.runs) for i, task in enumerate(planned.tasks)],
    )


def watching(campaign: Campaign, **options: object) -> OnTerminal:
    return OnTerminal("hpc.status", "--watch", "--output-dir", campaign.folder, **options)


def is_whole(terminal: OnTerminal) -> bool:
    """Whether a whole screen is drawn."""
    return any("stop nothing" in line for screen in terminal.screens for line in screen)


def mode(attributes: list) -> int:
    """Whether lines or keys are read, and whether they are echoed."""
    return attributes[3] & (termios.ICANON | termios.ECHO | termios.ISIG)


@pytest.mark.slow
def test_q_leaves_it_and_stops_nothing(campaign: Campaign) -> None:
    files = {path: path.stat().st_mtime_ns for path in campaign.folder.rglob("*")}
    terminal = watching(campaign, columns=120, rows=40).until(is_whole)
    first = terminal.screens[0]
    assert len(first) == 40 and all(len(line) <= 120 for line in first)  # the other tests have 80 columns
    assert first[0].rstrip().endswith("60 of 120 runs done, 50 %")
    assert sum("accuracy 0." in line for line in first) >= 3
    assert "\x1b[2J" not in terminal.shown  # nothing is erased first: it would flicker
    terminal.type("q")
    assert terminal.end() == 0
    assert mode(terminal.mode_at_end) == mode(terminal.mode)
    after = terminal.shown.partition(LEAVES)[2]
    assert "60   50.0 %" in after and "submission 0001" in after  # the last state stays to be read
    assert {path: path.stat().st_mtime_ns for path in campaign.folder.rglob("*")} == files


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stop", "status"),
    [
        (lambda terminal: terminal.type("\x03"), 130),
        (lambda terminal: os.kill(terminal.pid, signal.SIGTERM), 128 + signal.SIGTERM),
    ],
)
def test_however_it_ends_the_terminal_is_as_it_was(stop: Callable[[OnTerminal], None], status: int, campaign: Campaign) -> None:
    terminal = watching(campaign).until(is_whole)
    stop(terminal)
    assert terminal.end() == status
    assert mode(terminal.mode_at_end) == mode(terminal.mode)
    assert LEAVES in terminal.shown
    assert "Traceback" not in terminal.shown


@pytest.mark.slow
def test_a_terminal_that_changes_its_size_is_drawn_anew_and_new_runs_are_seen(campaign: Campaign) -> None:
    terminal = watching(campaign).until(is_whole)
    terminal.resize(60, 20)
    terminal.until(lambda it: len(it.screens[-1]) == 20)
    assert all(len(line) <= 60 for line in terminal.screens[-1])
    synthetic.add(
        campaign,
        read_manifest(campaign.manifest).header.campaign,
        [(i, run) for i, run in enumerate(RUNS) if i % 2],
        a_shard=60,
    )
    assert terminal.end() == 0  # all is done: it ends by itself
    assert "120  100.0 %" in terminal.shown.partition(LEAVES)[2]


@pytest.mark.slow
def test_it_can_be_stopped_and_taken_back(campaign: Campaign) -> None:
    shell = OnTerminal(PS1="$ ")
    shell.type(f"{sys.executable} -m hpc.status --watch --output-dir {campaign.folder}\n")
    shell.until(is_whole).type("\x1a")
    shell.until(lambda it: "Stopped" in it.shown.rpartition(LEAVES)[2]).type("fg\n")
    shell.until(lambda it: it.shown.count(ENTERS) == 2 and is_whole(it)).type("q")
    shell.until(lambda it: "submission 0001" in it.shown.rpartition(LEAVES)[2]).type("exit\n")
    assert shell.end() == 0


@pytest.mark.slow
def test_a_terminal_that_cannot_be_drawn_on_gets_lines(campaign: Campaign) -> None:
    terminal = watching(campaign, TERM="dumb").until(lambda it: "at work" in it.shown)
    terminal.type("\x03")
    assert terminal.end() == 130
    assert ENTERS not in terminal.shown and "\x1b" not in terminal.shown


@pytest.mark.slow
def test_a_local_submit_draws_the_same_and_q_leaves_a_bar(tmp_path: Path, digits_dir: Path) -> None:
    grid = tmp_path / "grid.yaml"
    grid.write_text(GRID.replace("repeats: 2", "repeats: 3"))  # 12 runs
    terminal = OnTerminal(*commands.submit_command(grid, tmp_path / "campaign", digits_dir), PYTHONIOENCODING="ascii")
    terminal.until(lambda it: any("a bar instead" in line for screen in it.screens for line in screen))
    terminal.type("q")
    terminal.until(lambda it: LEAVES in it.shown)
    assert terminal.end() == 0
    before, _, after = terminal.shown.partition(LEAVES)
    assert all(screen[1].isascii() for screen in terminal.screens)
    assert "campaign   " in before.partition(ENTERS)[0]
    assert "12 of 12 runs done, 0 failed" in after
    assert mode(terminal.mode_at_end) == mode(terminal.mode)


def test_a_look_reads_new_shards_only(campaign: Campaign) -> None:
    watcher = Watcher(campaign, EXECUTORS)
    watcher.look()
    first = watcher.found.recorded
    watcher.look()
    assert watcher.found.recorded is first
    header = read_manifest(campaign.manifest).header.campaign
    synthetic.add(campaign, header, [(1, RUNS[1])])
    assert watcher.look().shown["done"] == 61
    kept = {id(source.attributes) for source in first.sources}
    assert sum(id(source.attributes) not in kept for source in watcher.found.recorded.sources) == 1


def test_a_grid_that_grew_is_seen(campaign: Campaign) -> None:
    watcher = Watcher(campaign, EXECUTORS)
    assert watcher.look().shown["runs"] == 120
    header = read_manifest(campaign.manifest).header
    write_manifest(campaign.manifest, Runs.of(synthetic.reliable(3)), "abc", header)
    assert watcher.look().shown["runs"] == 180


def test_the_newest_runs_come_first(campaign: Campaign) -> None:
    shown = Watcher(campaign, EXECUTORS)
    last = shown.look().last
    ended = [one.ended_at_s for one in last]
    assert ended == sorted(ended, reverse=True) and ended[0] == shown.found.recorded.records["finished_at_s"].max()


@pytest.mark.parametrize(
    ("cpu_s", "is_asked", "seconds"), [(0.001, False, 2), (0.05, False, 5), (0.001, True, 10), (0.4, True, 30), (5, False, 50)]
)
def test_looking_takes_a_hundredth_of_a_core_and_a_scheduler_is_asked_seldom(
    cpu_s: float, is_asked: bool, seconds: float
) -> None:
    assert pause_s(cpu_s, is_asked) == pytest.approx(seconds)
