"""Campaigns and archives of them become one: every record is kept, each run counts once, and what disagrees is named."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.merge import look_at
from jobs.archived import SUMS, sums
from jobs.campaign import Campaign
from jobs.extensions import copy_name
from jobs.files import publish
from jobs.image import Record
from jobs.manifest import read_header, read_manifest, write_manifest
from jobs.recorded import Recorded
from noisy.spec import RunSpec, digest_of
from tests import commands
from tests.records import failure, record, write_shard
from tests.specs import runs, spec

RUNS = [spec(repeat=repeat, epochs=1) for repeat in range(6)]  # fewer figures in archives than with two epochs


def campaign(folder: Path, planned: list[RunSpec], records: list[Record], grid: str = "dataset: digits\n") -> Campaign:
    made = Campaign(folder)
    folder.mkdir()
    publish(made.grid, grid.encode())
    write_manifest(made.manifest, runs(*planned), "abc", campaign=f"c0ffee{len(planned)}{folder.name}")
    write_shard(made.shards, 0, records, campaign=read_header(made.manifest).campaign)
    return made


def merged(into: Path, *parts: Path) -> tuple[int, str]:
    """Exit status, and all that was said."""
    answer = commands.call("analysis.merged", *parts, "--into", into)
    return answer.returncode, answer.stdout + answer.stderr


def accuracies(folder: Path) -> dict[str, float]:
    found = look_at(Campaign(folder)).runs
    return dict(zip(found["run_id"], found["test_accuracy"], strict=True))


def test_disjoint_campaigns_become_one_with_all_runs_and_records(tmp_path: Path) -> None:
    a = campaign(tmp_path / "a", RUNS[:3], [record(run, 300 + run.repeat) for run in RUNS[:3]])
    b = campaign(tmp_path / "b", RUNS[3:], [record(RUNS[3], 310), failure(RUNS[4])], "dataset: digits\nepochs: 2\n")
    status, said = merged(tmp_path / "c", a.folder, b.folder)
    assert (status, "c: 6 runs, 4 done" in said) == (0, True)
    assert read_manifest(tmp_path / "c/manifest.jsonl").runs == runs(*RUNS)
    assert accuracies(tmp_path / "c") == pytest.approx(accuracies(a.folder) | accuracies(b.folder), nan_ok=True)
    found = look_at(Campaign(tmp_path / "c")).runs
    assert list(found["status"]) == ["ok"] * 4 + ["failed", "missing"]
    assert list(found["message"].dropna()) == ["ValueError: no"]
    text = (tmp_path / "c/grid.yaml").read_text()
    assert text.startswith(f"# Merged from {a.folder}, {b.folder}.")
    assert "\ndataset: digits\n" in text
    assert "\n# epochs: 2\n" in text
    assert read_header(tmp_path / "c/manifest.jsonl").campaign not in (read_header(a.manifest).campaign, "")


def test_what_a_record_says_of_where_it_was_made_stays(tmp_path: Path) -> None:
    a = campaign(tmp_path / "a", RUNS[:2], [record(run) for run in RUNS[:2]])
    merged(tmp_path / "c", a.folder)
    whole = [look_at(Campaign(folder)).runs.drop(columns="shard") for folder in (a.folder, tmp_path / "c")]
    pd.testing.assert_frame_equal(*whole)
    found = Recorded("").updated(Campaign(tmp_path / "c").shard_paths())
    assert {(source.task, source.attributes["adopted_from"]) for source in found.sources} == {((0, 0), "c0ffee2a")}


def test_equal_records_count_once_and_others_are_named(tmp_path: Path) -> None:
    a = campaign(tmp_path / "a", RUNS[:3], [record(run) for run in RUNS[:3]])
    b = campaign(tmp_path / "b", RUNS[1:5], [replace(record(RUNS[1]), finished_at_s=1.0), record(RUNS[2], 299)])
    status, said = merged(tmp_path / "c", a.folder, b.folder)
    assert status == 1
    assert "records of runs that were executed again: 2" in said
    assert f"run {RUNS[2].run_id}: records from equal machines differ: {300 / 355!r}" in said
    assert RUNS[1].run_id not in said
    assert accuracies(tmp_path / "c")[RUNS[2].run_id] == 300 / 355  # of the campaign that was named first


def test_a_failure_elsewhere_does_not_replace_what_is_done(tmp_path: Path) -> None:
    a = campaign(tmp_path / "a", RUNS[:1], [failure(RUNS[0])])
    b = campaign(tmp_path / "b", RUNS[:1], [record(RUNS[0])])
    assert merged(tmp_path / "c", a.folder, b.folder)[0] == 0
    assert accuracies(tmp_path / "c") == {RUNS[0].run_id: 300 / 355}


def test_damaged_shards_are_named_and_the_rest_is_merged(tmp_path: Path) -> None:
    a = campaign(tmp_path / "a", RUNS[:2], [record(RUNS[0])])
    (a.shards / "0001-00009-0-aaaaaa-p00.h5").write_text("no")
    status, said = merged(tmp_path / "c", a.folder)
    assert (status, "0001-00009-0-aaaaaa-p00.h5: not readable as a shard" in said) == (1, True)
    assert accuracies(tmp_path / "c")[RUNS[0].run_id] == 300 / 355


@pytest.mark.slow
def test_an_archive_is_merged_as_its_campaign_is(tmp_path: Path) -> None:
    a = campaign(tmp_path / "a", RUNS[:3], [record(RUNS[0]), record(RUNS[1], 299), failure(RUNS[2])])
    a.extensions.mkdir()
    name = copy_name("nets.py", b"# own")
    (a.extensions / name).write_text("# own")
    assert commands.call("analysis.archive", "--output-dir", a.folder).returncode == 1  # since a run failed
    assert merged(tmp_path / "folder", a.folder)[0] == 0
    assert merged(tmp_path / "packed", tmp_path / "a.tar.gz")[0] == 0
    assert [(tmp_path / each / "extensions" / name).read_text() for each in ("folder", "packed")] == ["# own"] * 2
    pd.testing.assert_frame_equal(
        *(look_at(Campaign(tmp_path / name)).runs.drop(columns="shard") for name in ("folder", "packed"))
    )
    status, said = merged(tmp_path / "both", a.folder, tmp_path / "a.tar.gz", a.folder)
    assert (status, "executed again" in said) == (0, False), "copies of a record are one training"
    assert len(Recorded("").updated(Campaign(tmp_path / "both").shard_paths()).records) == 3
    (one,), (other,) = (Recorded("").updated(Campaign(tmp_path / name).shard_paths()).sources for name in ("folder", "packed"))
    assert one.attributes == other.attributes | {"campaign": one.attributes["campaign"]}


def own_run(content: bytes, **changes: Any) -> RunSpec:
    """A run with an own activation of a file with this content."""
    return spec(activation="swish", extensions=digest_of(content), **{"epochs": 1} | changes)


def test_a_copy_of_an_own_file_that_was_changed_is_named_and_not_taken(tmp_path: Path) -> None:
    run, name = own_run(b"# own"), copy_name("nets.py", b"# own")
    for folder, text in (("a", "# own"), ("b", "# changed")):
        made = campaign(tmp_path / folder, [run], [record(run)])
        made.extensions.mkdir()
        (made.extensions / name).write_text(text)
    status, said = merged(tmp_path / "c", tmp_path / "a", tmp_path / "b")
    assert (status, f"b/extensions/{name}: was changed" in said) == (1, True)
    assert (tmp_path / "c/extensions" / name).read_text() == "# own"


@pytest.mark.slow
def test_an_archive_names_an_own_file_that_is_not_as_it_was_executed(tmp_path: Path) -> None:
    run = own_run(b"# own")
    a = campaign(tmp_path / "a", [run], [record(run)])
    made = commands.call("analysis.archive", "--output-dir", a.folder)
    assert (made.returncode, f"a/extensions: no file {run.extensions}_*" in made.stderr) == (1, True)
    checked = commands.call("analysis.archive", "--check", tmp_path / "a.tar.gz")
    assert (checked.returncode, f"problem: extensions: no file {run.extensions}_*" in checked.stderr) == (1, True)


def test_two_versions_of_an_own_file_would_be_one_cell_and_are_refused(tmp_path: Path) -> None:
    for folder, text in (("a", b"1"), ("b", b"2")):
        campaign(tmp_path / folder, [own_run(text)], [record(own_run(text))])
    status, said = merged(tmp_path / "c", tmp_path / "a", tmp_path / "b")
    assert (status, "allowed: campaigns with the same version of an own file" in said) == (2, True)
    other = campaign(tmp_path / "other", [own_run(b"2", p=0.9)], [])
    assert merged(tmp_path / "c", tmp_path / "a", other.folder)[0] == 1, "no cell in common; but the copies are missing"


def test_two_own_data_sets_of_one_name_are_two_data_sets(tmp_path: Path) -> None:
    for folder, digest in (("a", "1" * 16), ("b", "2" * 16)):
        run = own_run(b"", dataset="bars", own_data=f"train=100,test=40,classes=2,shape=1x6x6,digest={digest}")
        campaign(tmp_path / folder, [run], [])
    status, said = merged(tmp_path / "c", tmp_path / "a", tmp_path / "b")
    assert (status, "a campaign has one data set" in said) == (2, True)
    assert not (tmp_path / "c").exists()


def test_what_cannot_be_merged_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    a = campaign(tmp_path / "a", RUNS[:1], [record(RUNS[0])])
    b = campaign(tmp_path / "b", [replace(RUNS[0], dataset="mnist")], [])
    (tmp_path / "text").write_text("no")
    (tmp_path / "forged").mkdir()
    (tmp_path / "forged/archive.json").write_text("{}")
    (tmp_path / "forged" / SUMS).write_bytes(sums(tmp_path / "forged"))
    (tmp_path / "forged/archive.json").write_text("{ }")
    for parts, said in (
        ([a.folder, b.folder], "a campaign has one data set"),
        ([tmp_path / "text"], "text: cannot be used as an archive"),
        ([tmp_path], "manifest.jsonl: cannot be read"),
        ([tmp_path / "forged"], "1 file is not as packed"),
    ):
        status, answer = merged(tmp_path / "c", *parts)
        assert (status, said in answer) == (2, True), answer
        assert not (tmp_path / "c").exists()
    status, answer = merged(a.folder, a.folder)
    assert (status, "is there already" in answer) == (2, True)
    status, answer = merged(tmp_path / "c", tmp_path / "text", tmp_path / "nowhere")
    assert answer.count("cannot be used as an archive") == 2
