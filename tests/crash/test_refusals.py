"""Every refusal at every moment: faults that strace injects into a real writer, a full disk, a file system turned read-only.

Needs root (mount) and strace.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.shard import read_shard
from tests import commands
from tests.campaigns import GRID, done, each_run_once

WRITER = """
import os, sys
from pathlib import Path
from jobs.shard import NotKept, ShardWriter
from tests.records import ATTRIBUTES, record
from tests.specs import spec
RUNS = [spec(repeat=repeat) for repeat in range(5)]
RECORDS = [record(run) for run in RUNS]
writer = ShardWriter(Path(sys.argv[1]), 1, 0, 0, ATTRIBUTES)
os.writev(1, [b"ready\\n"])  # not write: faults are injected into that
sys.stdin.readline()
for run_id, step in [("start", lambda: writer.begin(""))] + [(r.run_id, lambda r=r: writer.append(r)) for r in RECORDS]:
    try:
        step()
        os.writev(1, [f"kept {run_id}\\n".encode()])
    except NotKept as error:
        os.writev(1, [f"refused {run_id} {error}\\n".encode()])
"""
FAULTS = {  # system call -> errors; to publish takes two of openat, fsync, close (file, folder), one of others
    "openat": ["ENOSPC", "EDQUOT", "EROFS"],
    "write": ["ENOSPC", "EDQUOT", "EIO"],
    "fsync": ["EIO", "ENOSPC", "EDQUOT"],
    "close": ["EIO", "EDQUOT"],
    "/^rename": ["ENOSPC", "EDQUOT", "EROFS"],
}
STEPS = 6  # a writer's start and its five appends


@pytest.mark.parametrize("call", FAULTS)
def test_no_refusal_harms_what_was_kept(call: str, tmp_path: Path) -> None:
    """The writer goes on after a refusal: the next append keeps what it adds, and all that was acknowledged."""
    of_a_step = 2 if call in ("openat", "fsync", "close") else 1
    for error in FAULTS[call]:
        for when in range(1, STEPS * of_a_step + 1):
            folder = tmp_path / f"{error}-{when}"
            folder.mkdir()
            said = faulty_writer(folder, f"{call}:error={error}:when={when}")
            assert [line.split()[0] for line in said].count("refused") == 1, f"{call} {error} {when}: {said}"
            assert [path.name[:5] for path in folder.iterdir()] == ["0001-"], "left beside"
            found = [run_id.decode() for path in folder.glob("[!.]*.h5") for run_id in read_shard(path).runs["run_id"]]
            kept, refused = ([line.split()[1] for line in said if line.startswith(how)] for how in ("kept", "refused"))
            assert [run_id for run_id in found if run_id in kept] == [run_id for run_id in kept if run_id != "start"], (
                f"{call} {error} {when}"
            )
            assert set(found) <= {*kept, *refused}  # refused when its folder was synced, a record may be there


def faulty_writer(folder: Path, fault: str) -> list[str]:
    """What a writer says of each of its steps, with this fault injected once it is ready."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=commands.ROOT,
    ) as writer:
        assert writer.stdout.readline() == "ready\n"
        command = ["strace", "-p", str(writer.pid), "-o", "/dev/null", "-e", f"inject={fault}"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
            assert "attached" in strace.stderr.readline()
            said, errors = writer.communicate("\n", timeout=60)
    assert (writer.returncode, errors) == (0, "")
    return said.splitlines()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, of 96 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def submit(tmp_path: Path, disk: Path, digits_dir: Path) -> tuple[object, ...]:
    (tmp_path / "grid.yaml").write_text(GRID.replace("epochs: 1", "epochs: 40"))
    return commands.submit_command(tmp_path / "grid.yaml", disk / "campaign", digits_dir)


def fill(disk: Path, left_bytes: int) -> Path:
    """A file that leaves so much room."""
    free_bytes = int(subprocess.check_output(["stat", "-f", "-c", "%a*%S", disk], text=True).split("*")[0]) * 4096
    (disk / "filler").write_bytes(bytes(max(0, free_bytes - left_bytes)))
    return disk / "filler"


def test_a_full_disk_in_the_middle_of_a_campaign(disk: Path, submit: tuple[object, ...]) -> None:
    process = commands.start(*submit)
    while not (disk / "campaign/shards").exists() or not done(disk / "campaign"):
        assert process.poll() is None
        time.sleep(0.02)
    filler = fill(disk, 0)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "could not keep its results: " in errors
    assert "No space left on device; make room, then submit again" in errors
    assert "Traceback" not in errors
    kept = done(disk / "campaign")
    assert 0 < len(kept) < 8
    again = commands.run(*submit)  # still full: refused, and nothing is harmed
    assert again.returncode in (1, 2)
    assert "Traceback" not in again.stderr
    assert done(disk / "campaign") == kept
    filler.unlink()
    subprocess.run(["mount", "-o", "remount,size=10M", disk], check=True)
    assert commands.run(*submit).returncode == 0
    assert kept <= done(disk / "campaign")
    each_run_once(disk / "campaign", 8)


def test_shards_turned_read_only_in_the_middle_of_a_campaign(disk: Path, submit: tuple[object, ...]) -> None:
    subprocess.run(["mount", "-o", "remount,size=10M", disk], check=True)
    assert commands.run(*submit, "--limit", 2).returncode == 0
    shards = disk / "campaign/shards"
    subprocess.run(["mount", "--bind", shards, shards], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", shards], check=True)
    kept = done(disk / "campaign")
    try:
        refused = commands.run(*submit)
        assert refused.returncode == 1
        assert "could not keep its results" in refused.stderr
        assert "Read-only file system; make sure that you may read and write there, then submit again" in refused.stderr
        assert done(disk / "campaign") == kept
    finally:
        subprocess.run(["umount", shards], check=True)
    assert commands.run(*submit).returncode == 0
    each_run_once(disk / "campaign", 8)
