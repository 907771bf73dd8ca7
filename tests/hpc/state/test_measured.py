"""What runs cost, read from real shards: of all campaigns beside each other, a bounded number, damage left out."""

import os
from pathlib import Path

import pytest

from hpc.planning.model import Setting, learn
from hpc.state.measured import CALIBRATION, assumed_import_mb, observed, of_campaign, results_of, torch_of
from jobs.campaign import Campaign
from jobs.manifest import newest_campaign, write_manifest
from jobs.provenance import machine
from jobs.recorded import Recorded
from noisy.runs import Runs
from tests.records import failure, record, write_shard
from tests.specs import runs, spec

VERSIONS = {"versions": "python 3.11 torch 2.9.1+cpu numpy 2.0", "product_route": "blas"}


def test_finished_runs_of_all_campaigns_and_calibrations_are_read(tmp_path: Path) -> None:
    places = {"a": "n1", "b": "n2", f"{CALIBRATION}/c": "n3"}
    for number, (name, host) in enumerate(places.items()):
        records = [record(spec(repeat=number), cpu_s=1.0 + number, wall_s=2.0), failure(spec(repeat=9))]
        attributes = {**VERSIONS, "host": host, "job": "17_3", "import_mb": 240, "start_mb": 300}
        write_shard(tmp_path / name / "shards", 0, records, **attributes)
    found = {one.host: one for one in observed(results_of(Campaign(tmp_path / "new")))}
    assert set(found) == {"n1", "n2", "n3"}
    assert (found["n2"].run, found["n2"].cpu_s, found["n2"].wall_s) == (spec(repeat=1), 2.0, 2.0)
    assert (found["n2"].torch, found["n2"].cpu, found["n2"].product_route) == ("2.9.1+cpu", "A Processor", "blas")
    assert (found["n2"].import_mb, found["n2"].start_mb, found["n2"].worker) == (240, 300, "n2 17_3")
    assert learn(found.values(), Setting("2.9.1+cpu")).n_hosts_of([spec()]) == 3


def test_what_cannot_count_is_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "shards"
    write_shard(folder, 0, [record(spec())], device="cuda H200")
    write_shard(folder, 1, [record(spec())], runs_together=8)
    write_shard(folder, 2, [record(spec())])
    (damaged,) = folder.glob("0001-00002-*")
    damaged.write_bytes(damaged.read_bytes()[:-40])
    (tmp_path / "a" / "shards" / "0001-00003-0-abcdef-p00.h5").symlink_to(tmp_path / "nowhere")
    (tmp_path / "file").write_text("no campaign")
    assert observed(tmp_path) == observed(tmp_path / "missing") == []


@pytest.mark.slow
def test_of_many_shards_some_of_the_whole_campaign_are_read(tmp_path: Path) -> None:
    for task in range(100):
        write_shard(tmp_path / "a" / "shards", task, [record(spec(repeat=task))])
    tasks = sorted(one.run.repeat for one in observed(tmp_path))
    assert (tasks[0], tasks[-1]) == (0, 99)
    assert 50 <= len(tasks) < 100


def test_a_newer_campaign_comes_first(tmp_path: Path) -> None:
    for number, name in enumerate(("a", "b", "c")):
        write_shard(tmp_path / name / "shards", 0, [record(spec(repeat=number))])
        os.utime(tmp_path / name / "shards", (10 - number, 10 - number))
    assert [one.run.repeat for one in observed(tmp_path)] == [0, 1, 2]


def test_a_campaign_from_what_was_read_of_it(tmp_path: Path) -> None:
    planned = [spec(repeat=number) for number in range(3)]
    write_shard(tmp_path / "shards", 0, [record(run, finished_at_s=i) for i, run in enumerate(planned)], **VERSIONS)
    write_shard(tmp_path / "shards", 1, [failure(spec(repeat=7)), record(spec(repeat=8))])
    recorded = Recorded("").updated(Campaign(tmp_path).shard_paths())
    found = of_campaign(recorded, runs(*planned))  # repeat 8 is no longer part of the grid
    assert [one.run.repeat for one in found] == [2, 1, 0]
    assert found == [one for one in reversed(observed_of(tmp_path)) if one.run in planned]


def observed_of(campaign: Path) -> list:
    (campaign / "results").mkdir()
    (campaign / "results" / "it").symlink_to(campaign)
    return [one for one in observed(campaign / "results")]


def test_this_torch() -> None:
    assert torch_of(machine()["versions"])
    assert torch_of("") == ""
    assert assumed_import_mb() > 200


def test_a_calibration_is_not_the_newest_campaign(tmp_path: Path) -> None:
    for name in ("a", f"{CALIBRATION}/b"):
        (tmp_path / name).mkdir(parents=True)
        write_manifest(tmp_path / name / "manifest.jsonl", Runs.of([spec()]), "abc")
    assert newest_campaign(tmp_path) == tmp_path / "a"


def test_copies_of_a_record_count_once(tmp_path: Path) -> None:
    """A campaign that was copied, merged or taken over is no further evidence of what its runs cost."""
    for name in ("a", "b"):
        write_shard(tmp_path / name / "shards", 0, [record(spec(repeat=repeat), cpu_s=1.0) for repeat in range(3)])
    write_shard(tmp_path / "b" / "shards", 1, [record(spec(repeat=2), cpu_s=1.5)])  # another training of a run
    assert sorted((one.run.repeat, one.cpu_s) for one in observed(tmp_path)) == [(0, 1.0), (1, 1.0), (2, 1.0), (2, 1.5)]
