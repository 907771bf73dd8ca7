"""Every crash point of a new campaign leaves what it acknowledged; and the laboratory that says so can say otherwise."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpc.request.prepare import begin, campaign_id
from hpc.state import submissions
from jobs.manifest import read_manifest
from noisy.runs import Runs
from tests.crash.history import (
    Acknowledge,
    Create,
    Event,
    MakeFolder,
    NotUnderstoodError,
    Rename,
    SyncFile,
    SyncFolder,
    Truncate,
    Write,
    record_history,
)
from tests.crash.laboratory import IS_STRUCK_OUT, Row, examine, histories
from tests.crash.reading import Read, put, readers
from tests.crash.states import FAULT_MODELS, State
from tests.crash.writers import records, specs

APPENDS, RECORDS_PER_PART = 4, 3  # a second part begins


@pytest.fixture(scope="module")
def read() -> Iterator[Read]:
    with readers(records(APPENDS)) as made:
        yield made


@pytest.fixture(scope="module")
def recorded() -> dict[str, list[Event]]:
    return histories(APPENDS, RECORDS_PER_PART)


def row(recorded: dict[str, list[Event]], read: Read, writer: str, model: str) -> Row:
    made = examine(writer, recorded[writer], model, read, {})
    assert made.crash_points == len(recorded[writer]) + 1
    return made


def test_the_history_is_that_of_the_writer(recorded: dict[str, list[Event]]) -> None:
    project = recorded["project"]
    said = [event.what for event in project if isinstance(event, Acknowledge)]
    assert said == ["manifest", "submission", *(r.run_id for r in records(APPENDS))]
    assert project[0] == MakeFolder("results")
    parts = [event.new[-7:] for event in project if isinstance(event, Rename) and "shards" in event.new]
    assert parts == ["-p00.h5"] * (1 + RECORDS_PER_PART) + ["-p01.h5"] * (APPENDS - RECORDS_PER_PART)


@pytest.mark.parametrize("model", FAULT_MODELS)
def test_the_shard_writer_loses_nothing(recorded: dict[str, list[Event]], read: Read, model: str) -> None:
    made = row(recorded, read, "project", model)
    assert made.states > (100 if model != "power loss, reordered" else 5 * APPENDS), made
    assert (made.lost, made.doubled, made.unreadable) == (0, 0, 0), made


@pytest.mark.parametrize(
    ("writer", "model"),
    [
        *(("naive", model) for model in FAULT_MODELS),
        ("project, files not synced", "power loss, reordered"),
        ("project, folders not synced", "power loss, in order"),
        ("project, folders not synced", "power loss, reordered"),
        ("project, new folders not synced", "power loss, reordered"),
    ],
)
def test_the_laboratory_finds_losses(recorded: dict[str, list[Event]], read: Read, writer: str, model: str) -> None:
    made = row(recorded, read, writer, model)
    assert made.lost > 0, made


@pytest.mark.parametrize("model", FAULT_MODELS)
def test_a_beginning_that_was_cut_short_is_carried_on(recorded: dict[str, list[Event]], model: str, tmp_path: Path) -> None:
    """The next submit begins the campaign from every state, and keeps the id that was acknowledged."""
    history = recorded["project"][: recorded["project"].index(Acknowledge("submission")) + 1]
    its_id = campaign_id(put(tmp_path / "whole", list(FAULT_MODELS["killed"](history))[-1][1]))
    last_points: dict[tuple, int] = {}
    for point, state in FAULT_MODELS[model](history):
        key = tuple(sorted(state.items()))
        last_points[key] = max(point, last_points.get(key, 0))
    for number, (state, point) in enumerate(last_points.items()):
        campaign = put(tmp_path / str(number), dict(state))
        header = begin(campaign, "", Runs.of(specs(APPENDS)))
        assert header.campaign == its_id or Acknowledge("manifest") not in history[:point]
        assert header == read_manifest(campaign.manifest).header == begin(campaign, "", Runs.of(specs(APPENDS)))
        assert [submission.campaign for submission in submissions.read_all(campaign)] in ([], [its_id])
    assert len(last_points) > 10


@pytest.mark.parametrize("writer", [name for name in IS_STRUCK_OUT if name != "project"])
def test_a_killed_process_needs_no_sync(recorded: dict[str, list[Event]], read: Read, writer: str) -> None:
    made = row(recorded, read, writer, "killed")
    assert (made.lost, made.doubled, made.unreadable) == (0, 0, 0), made


def states(model: str, history: list[Event], point: int) -> list[State]:
    """The different states at one crash point."""
    found = [state for at, state in FAULT_MODELS[model](history) if at == point]
    return [state for index, state in enumerate(found) if state not in found[:index]]


RENAMED = [Create("old"), Write("old", 0, b"1" * 1000), SyncFile("old"), Rename("old", "new"), SyncFolder(".")]


def test_an_unsynced_rename_may_leave_either_name_both_or_none() -> None:
    content = b"1" * 1000
    for point, names in ((3, [[], ["old"]]), (4, [[], ["new"], ["old"], ["old", "new"]]), (5, [["new"]])):
        found = states("power loss, reordered", RENAMED, point)
        assert sorted(map(sorted, found)) == sorted(map(sorted, names))
        assert all(state == dict.fromkeys(state, content) for state in found)


def test_an_unsynced_write_may_be_there_in_part_or_not_at_all() -> None:
    torn = [{"old": b"1" * n} for n in (0, 512, 1000)]
    assert states("killed", RENAMED, 1) == torn[:2]
    assert states("power loss, in order", RENAMED, 2) == [{}, *torn]
    holes = [bytes(1000), bytes(512) + b"1" * 488, b"1" * 512 + bytes(488)]
    assert sorted(s["old"] for s in states("power loss, torn", RENAMED, 2)) == sorted([*(s["old"] for s in torn), *holes])


IN_A_FOLDER = [MakeFolder("a"), MakeFolder("a/b"), Create("a/b/file"), SyncFile("a/b/file"), SyncFolder("a/b")]


def test_a_folder_is_a_name_in_its_parent() -> None:
    """Neither its own sync nor that of a file in it keeps its name."""
    for synced, is_kept in (([], [0, 1]), ([SyncFolder("a")], [0, 1]), ([SyncFolder("."), SyncFolder("a")], [1])):
        history = [*IN_A_FOLDER, *synced]
        assert sorted(map(len, states("power loss, reordered", history, len(history)))) == is_kept
    history = [*IN_A_FOLDER, SyncFolder("."), SyncFolder("a"), Rename("a", "c")]
    found = states("power loss, reordered", history, len(history))
    assert sorted(map(sorted, found)) == [[], ["a/b/file"], ["a/b/file", "c/b/file"], ["c/b/file"]]


def test_a_truncation_is_replayed() -> None:
    history = [*RENAMED, Truncate("new", 2), Truncate("new", 4), Write("new", 3, b"2")]
    assert states("killed", history, len(history)) == [{"new": b"11\0002"}]


@pytest.mark.parametrize(
    ("call", "named"),
    [
        ("os.mkdir(path); os.rmdir(path)", "rmdir"),
        ("os.symlink('x', path)", "symlink"),
        ("open(path, 'a')", "O_APPEND"),
        ("os.truncate(open(path, 'w').name, 5)", "truncate"),
        ("os.dup(os.open(path, os.O_RDWR | os.O_CREAT))", "fcntl"),
        ("file = open(path, 'w+b'); file.write(b'x'); file.flush(); mmap.mmap(file.fileno(), 1)", "fcntl|mmap"),
        ("open(path, 'w'); subprocess.run(['rm', path])", "2 threads or processes"),
    ],
)
def test_a_call_that_is_not_understood_is_refused(tmp_path: Path, call: str, named: str) -> None:
    program = f"import mmap, os, subprocess, sys; path = sys.argv[1]; {call}"
    with pytest.raises(NotUnderstoodError, match=named):
        record_history([sys.executable, "-c", program, str(tmp_path / "file")], tmp_path)
