"""Manifest and task files: what was written is read; what was changed is named."""

import dataclasses
import hashlib
import json
import os
from pathlib import Path

import pytest

from jobs.campaign import Campaign
from jobs.files import publish
from jobs.manifest import ManifestError, NewerError, newest_campaign, read_header, read_manifest, write_manifest
from jobs.taskfile import Task, read_task, read_task_runs, task_places
from noisy.spec import Execution, run_id_of
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
    elif damage == "lines 2 and 3 exchanged":  # their order is what numbers in other files rely on
        lines[1:3] = lines[2], lines[1]
    else:
        lines[-1] = lines[-1][:20]
    path.write_bytes(b"".join(lines))
    with pytest.raises(ManifestError, match=r"manifest\.jsonl"):
        read_manifest(path)


def test_a_newer_schema_is_refused(path: Path) -> None:
    path.write_text(path.read_text().replace('"schema":1', '"schema":2'))
    with pytest.raises(ManifestError, match="schema 2, and this version of the code reads up to 1; update the code"):
        read_manifest(path)


@pytest.mark.parametrize(
    ("known", "unknown"), [('"relu"', '"selu"'), ('"seed":', '"momentum":0.9,"seed":'), ('"batch_size":', '"batch":')]
)
def test_a_run_that_only_another_version_knows_is_refused(path: Path, known: str, unknown: str) -> None:
    texts = [run.canonical_json().replace(known, unknown) for run in SPECS]
    assert texts[0] != SPECS[0].canonical_json()
    lines = b"".join(b'{"run_id":"%b","spec":%b}\n' % (run_id_of(text).encode(), text.encode()) for text in texts)
    header = json.loads(path.read_text().splitlines()[0]) | {"digest": hashlib.sha256(lines).hexdigest()}
    path.write_bytes(json.dumps(header).encode() + b"\n" + lines)
    with pytest.raises(NewerError, match="another version of the code wrote this"):
        read_manifest(path)


def test_a_campaign_is_extended_under_its_id(path: Path) -> None:
    first = read_header(path)
    more = runs(*SPECS, spec(repeat=9))
    write_manifest(path, more, "def", previous=first)
    second = read_manifest(path)
    assert (second.header.campaign, second.header.created) == (first.campaign, first.created)
    assert second.runs == more


def test_a_missing_manifest_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"cannot be read .*is this a campaign's folder"):
        read_manifest(tmp_path / "manifest.jsonl")


def test_the_newest_campaign_is_that_made_last_not_that_touched_last(tmp_path: Path) -> None:
    for name in ("b", "a", "deep/er"):
        (tmp_path / name).mkdir(parents=True)
        write_manifest(tmp_path / name / "manifest.jsonl", RUNS, "abc")
    os.utime(tmp_path / "b" / "manifest.jsonl", (2e9, 2e9))
    (tmp_path / "folder" / "manifest.jsonl").mkdir(parents=True)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "manifest.jsonl").write_bytes(b"damaged")
    assert newest_campaign(tmp_path) == tmp_path / "deep/er"
    with pytest.raises(ManifestError, match="no campaign here; name its folder with --output-dir"):
        newest_campaign(tmp_path / "a" / "nothing")
    with pytest.raises(ManifestError, match="its first line cannot be read"):
        newest_campaign(tmp_path / "damaged")


TASKS = [Task(i, "c0ffee", "abc", "/data", Execution(2, 1, False), runs(*SPECS[2 * i : 2 * i + 2])) for i in range(2)]


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    made = Campaign(tmp_path)
    made.submission(1).mkdir(parents=True)
    publish(made.tasks(1), [task.line() for task in TASKS])
    return made


@pytest.fixture
def task_file(campaign: Campaign) -> Path:
    return campaign.tasks(1)


def test_each_task_is_read_from_its_place(campaign: Campaign) -> None:
    places = task_places(campaign, 1)
    assert [(place.index, place.submission, place.campaign.tasks(1)) for place in places] == [
        (i, 1, campaign.tasks(1)) for i in range(2)
    ]
    assert [read_task(campaign.tasks(1), place.index, place.offset_bytes) for place in places] == TASKS


def test_which_runs_are_in_which_task_is_read_without_parsing_them(task_file: Path) -> None:
    found = read_task_runs(task_file)
    assert (found.run_id.tolist(), found.task.tolist()) == ([run.run_id.encode() for run in SPECS[:4]], [0, 0, 1, 1])
    assert found.n_tasks == 2
    task_file.write_bytes(b"")
    assert (read_task_runs(task_file).n_tasks, len(read_task_runs(task_file).run_id)) == (0, 0)


@pytest.mark.parametrize("content", [b"text\n", TASKS[0].line()[:-1], TASKS[0].line() + TASKS[1].line()[:50]])
def test_what_is_no_task_file_is_named(task_file: Path, content: bytes) -> None:
    task_file.write_bytes(content)
    with pytest.raises(ManifestError, match=r"tasks\.jsonl: not a task file"):
        read_task_runs(task_file)


def test_a_task_file_of_a_newer_version_is_refused(task_file: Path) -> None:
    task_file.write_text(task_file.read_text().replace('"schema":3', '"schema":4'))
    for read in (read_task_runs, lambda path: read_task(path, 0, 0)):
        with pytest.raises(ManifestError, match=r"tasks\.jsonl: schema 4, and this version of the code reads up to 3; update"):
            read(task_file)


def test_a_task_file_of_the_first_version_is_read(task_file: Path) -> None:
    """It had no number, and named the commit of the campaign, not the one that submitted it."""
    task_file.write_text(task_file.read_text().replace('"schema":3,', ""))
    assert read_task(task_file, 0, 0) == dataclasses.replace(TASKS[0], code_commit="")
    assert read_task_runs(task_file).task.tolist() == [0, 0, 1, 1]


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
