"""Manifest and task files: what was written is read; what was changed is named."""

import json
from pathlib import Path

import pytest

from jobs.files import publish
from jobs.manifest import ManifestError, read_header, read_manifest, write_manifest
from jobs.taskfile import Task, read_task, read_task_runs
from noisy.spec import Execution
from tests.specs import runs, spec

SPECS = [spec(repeat=repeat, p=p) for repeat in range(2) for p in (0.0, 0.5)] + [spec(model_type="cnn", repeat=7)]
RUNS = runs(*SPECS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_manifest(tmp_path / "manifest.jsonl", RUNS, "abc")
    return tmp_path / "manifest.jsonl"


def test_what_was_written_is_read(path: Path) -> None:
    manifest = read_manifest(path)
    assert manifest.runs == RUNS
    assert list(manifest.runs) == SPECS
    assert manifest.header == read_header(path)
    assert manifest.header.n_runs == len(SPECS)
    assert manifest.header.code_commit == "abc"


def test_each_line_is_plain_json(path: Path) -> None:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0]["schema"] == 1
    assert lines[1] == {"run_id": SPECS[0].run_id, "spec": json.loads(SPECS[0].canonical_json())}


def test_an_edited_record_is_found_and_named(path: Path) -> None:
    path.write_text(path.read_text().replace('"repeat":7', '"repeat":8'))
    with pytest.raises(ManifestError, match=rf"manifest.jsonl: line 6: the record was changed: run {SPECS[4].run_id}"):
        read_manifest(path)


@pytest.mark.parametrize("damage", ["line 3 removed", "line 3 doubled", "lines 2 and 3 exchanged", "last line torn"])
def test_missing_and_extra_lines_are_found(path: Path, damage: str) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    if damage == "line 3 removed":
        del lines[2]
    elif damage == "line 3 doubled":
        lines.insert(2, lines[2])
    elif damage == "lines 2 and 3 exchanged":
        lines[1], lines[2] = lines[2], lines[1]
    else:
        lines[-1] = lines[-1][:20]
    path.write_bytes(b"".join(lines))
    with pytest.raises(ManifestError, match=r"manifest\.jsonl"):
        read_manifest(path)


def test_a_newer_schema_is_refused(path: Path) -> None:
    path.write_text(path.read_text().replace('"schema":1', '"schema":2'))
    with pytest.raises(ManifestError, match="schema 2, and this version reads up to 1"):
        read_manifest(path)


def test_a_campaign_is_made_once_and_extended_under_its_id(path: Path) -> None:
    with pytest.raises(FileExistsError):
        write_manifest(path, RUNS, "def")
    first = read_header(path)
    more = runs(*SPECS, spec(repeat=9))
    write_manifest(path, more, "def", previous=first)
    second = read_manifest(path)
    assert (second.header.campaign, second.header.created) == (first.campaign, first.created)
    assert second.runs == more


def test_a_missing_manifest_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"cannot be read .*is this a campaign's folder"):
        read_manifest(tmp_path / "manifest.jsonl")


TASKS = [Task(i, "c0ffee", "abc", "/data", Execution(2, 1, False), runs(*SPECS[2 * i : 2 * i + 2])) for i in range(2)]


@pytest.fixture
def task_file(tmp_path: Path) -> Path:
    publish(tmp_path / "tasks.jsonl", [task.line() for task in TASKS])
    return tmp_path / "tasks.jsonl"


def test_a_task_is_read_from_its_place(task_file: Path) -> None:
    assert read_task(task_file, 0, 0) == TASKS[0]
    assert read_task(task_file, 1, len(TASKS[0].line())) == TASKS[1]
    of_tasks = read_task_runs(task_file)
    assert of_tasks.run_id.astype(str).tolist() == RUNS.ids()[:4]
    assert (of_tasks.task.tolist(), of_tasks.n_tasks) == ([0, 0, 1, 1], 2)


def test_a_task_needs_only_its_own_line(task_file: Path) -> None:
    first = TASKS[0].line()
    task_file.write_bytes(b"#" * len(first) + TASKS[1].line())
    assert read_task(task_file, 1, len(first)) == TASKS[1]


@pytest.mark.parametrize(("index", "offset_bytes"), [(1, 0), (0, 7), (0, 10**6)])
def test_another_place_is_refused(task_file: Path, index: int, offset_bytes: int) -> None:
    with pytest.raises(ManifestError, match=rf"task {index} at byte {offset_bytes}: "):
        read_task(task_file, index, offset_bytes)


def test_an_edited_task_is_refused(task_file: Path) -> None:
    task_file.write_text(task_file.read_text().replace('"p":0.5', '"p":0.6'))
    with pytest.raises(ManifestError, match=SPECS[1].run_id):
        read_task(task_file, 0, 0)


def test_task_files_of_earlier_versions_are_read_and_of_newer_ones_refused(task_file: Path) -> None:
    text = task_file.read_text()
    task_file.write_text(text.replace('"schema":2,', ""))
    assert read_task(task_file, 0, 0).runs == TASKS[0].runs
    assert read_task_runs(task_file).n_tasks == 2
    task_file.write_text(text.replace('"schema":2,', '"schema":3,'))
    for read in (lambda: read_task(task_file, 0, 0), lambda: read_task_runs(task_file)):
        with pytest.raises(ManifestError, match="schema 3, and this version of the code reads up to 2; update the code"):
            read()
