"""A campaign begins once, keeps its id whatever is damaged, and takes a share that is down for what it is."""

import errno
import threading
from pathlib import Path

import pytest

from hpc.request.prepare import begin, campaign_id
from jobs.campaign import Campaign
from jobs.files import publish
from jobs.manifest import read_header, read_manifest
from jobs.taskfile import Task
from noisy.spec import Execution
from tests.records import record, write_shard
from tests.specs import runs, spec

RUNS = runs(*(spec(repeat=repeat) for repeat in range(3)))


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    """Two folders below one that is there."""
    return Campaign(tmp_path / "results" / "new")


def test_many_submits_that_begin_one_campaign_agree_on_its_id(campaign: Campaign) -> None:
    ids = []
    threads = [threading.Thread(target=lambda: ids.append(begin(campaign, "", RUNS).campaign)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ids == [campaign_id(campaign)] * 8
    assert read_manifest(campaign.manifest).runs == RUNS
    assert sorted(path.name for path in campaign.folder.iterdir()) == ["grid.yaml", "manifest.jsonl", "shards", "submissions"]
    assert [path.name for path in campaign.submissions.iterdir()] == [".campaign"]


@pytest.mark.parametrize("left", ["identity", "task file", "shard", "nothing"])
@pytest.mark.parametrize("damage", [b"", b"{}\n", b"\xff\0", None])
def test_the_id_outlives_the_first_line_of_the_manifest(campaign: Campaign, left: str, damage: bytes | None) -> None:
    its_id = begin(campaign, "", RUNS).campaign
    if damage is None:
        campaign.manifest.unlink()
    else:
        campaign.manifest.write_bytes(damage + b"".join(campaign.manifest.read_bytes().splitlines(keepends=True)[1:]))
    if left != "identity":
        campaign.identity.write_bytes(b"\xff")
    if left == "task file":
        campaign.submission(1).mkdir()
        (campaign.submissions / "0000-notes").mkdir()
        (campaign.submissions / "0000-notes" / "tasks.jsonl").write_text("what I did")
        publish(campaign.tasks(1), [Task(0, its_id, "abc", "/data", Execution(), RUNS).line()])
    if left == "shard":
        write_shard(campaign.shards, 0, [record(spec(repeat=0))], campaign=its_id)
    assert campaign_id(campaign) == ("" if left == "nothing" else its_id)
    new = begin(campaign, "", RUNS)
    assert (new.campaign == its_id) == (left != "nothing")
    assert new == read_header(campaign.manifest) == begin(campaign, "", RUNS)
    assert campaign_id(campaign) == new.campaign.strip() != ""


def unreadable(path: Path, error: int) -> None:
    """Put something in the place of a file that the system cannot read."""
    path.unlink()
    path.symlink_to({errno.ELOOP: path, errno.EIO: "/proc/self/mem"}[error])


@pytest.mark.parametrize("error", [errno.ELOOP, errno.EIO])
@pytest.mark.parametrize("what", ["manifest", "identity"])
def test_what_cannot_be_read_is_not_taken_for_damage(campaign: Campaign, error: int, what: str) -> None:
    begin(campaign, "", RUNS)
    path = getattr(campaign, what)
    if what == "identity":
        campaign.manifest.unlink()
    unreadable(path, error)
    before = sorted(campaign.folder.rglob("*"))
    for command in (lambda: begin(campaign, "other", RUNS), lambda: campaign_id(campaign)):
        with pytest.raises(OSError, match=path.name) as raised:
            command()
        assert (raised.value.errno, raised.value.filename) == (error, str(path))
    assert sorted(campaign.folder.rglob("*")) == before
    assert campaign.grid.read_text() == ""
