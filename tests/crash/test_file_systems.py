"""A whole campaign where the file system lacks what others have: begun, killed, finished, with the numbers of any other.

`strace` lets the calls fail as those file systems do. On a real one the same is tried by hand (docs/guarantees.md).
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hpc.state import submissions
from jobs.campaign import Campaign
from tests import commands
from tests.campaigns import GRID, done, table

N_RUNS = 8
NO_LINKS = {  # exFAT, FAT, SMB, many of FUSE: calls -> the error that they get
    "link,linkat,symlink,symlinkat": "EPERM",
    "chmod,fchmod,fchmodat,chown,fchown,fchownat": "EPERM",
    "flock": "ENOLCK",
    "utime,utimes,utimensat,futimesat": "EPERM",
    "fallocate": "EOPNOTSUPP",
}
WORKS_WITHOUT = {  # what a file system lacks -> calls, the error that they get, the paths of which
    "sync of folders": ({"fsync": "EINVAL"}, ["", "campaign", "campaign/submissions", "campaign/shards"]),
    "shared mapping": ({"mmap": "ENODEV"}, ["DATA"]),
}


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("grid") / "grid.yaml"
    path.write_text(GRID.replace("epochs: 1", "epochs: 12"))
    return path


@pytest.fixture(scope="module")
def undisturbed(grid: Path, digits_dir: Path) -> str:
    assert commands.submit(grid, grid.with_name("undisturbed"), digits_dir).returncode == 0
    return table(grid.with_name("undisturbed"))


def start(errors: dict[str, str], paths: list[Path], command: tuple[object, ...]) -> subprocess.Popen:
    """Start a command of which these calls fail: with the error given, on these paths (none: on all)."""
    injected = [f"--inject={calls}:error={error}" for calls, error in errors.items()]
    only = [f"--trace-path={path}" for path in paths]
    strace = ["strace", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", f"--trace={','.join(errors)}", *injected, *only]
    return subprocess.Popen(
        [*map(str, (*strace, sys.executable, "-m", *command))],
        cwd=commands.ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen) -> None:
    out, errors = process.communicate(timeout=300)
    assert (process.returncode, errors) == (0, ""), out


def test_without_links_locks_and_rights(tmp_path: Path, grid: Path, digits_dir: Path, undisturbed: str) -> None:
    campaign = tmp_path / "campaign"
    command = commands.submit_command(grid, campaign, digits_dir)
    process = start(NO_LINKS, [], command)
    while not done(campaign):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    os.kill(submissions.read(Campaign(campaign), 1).process.pid, signal.SIGKILL)
    process.communicate()
    assert 0 < len(done(campaign)) < N_RUNS
    finished(start(NO_LINKS, [], command))
    finished(start(NO_LINKS, [], ("analysis.report", "--no-figures", "--output-dir", campaign)))
    assert table(campaign) == undisturbed


@pytest.mark.parametrize("lacking", WORKS_WITHOUT)
def test_without(lacking: str, tmp_path: Path, grid: Path, digits_dir: Path, undisturbed: str) -> None:
    errors, names = WORKS_WITHOUT[lacking]
    data = [path for path in digits_dir.rglob("*") if path.is_file()]
    paths = data if names == ["DATA"] else [tmp_path / name for name in names]
    finished(start(errors, paths, commands.submit_command(grid, tmp_path / "campaign", digits_dir)))
    assert table(tmp_path / "campaign") == undisturbed


@pytest.mark.parametrize(
    ("calls", "error", "said"),
    [
        ("rename,renameat,renameat2", "EXDEV", "its file system does not support this: choose a folder on another"),
        ("mkdir,mkdirat", "EROFS", "make sure that you may read and write there"),
        ("fsync", "EIO", "make sure that the disk or the share works"),
    ],
)
def test_what_is_needed_is_refused_in_one_line(
    calls: str, error: str, said: str, tmp_path: Path, grid: Path, digits_dir: Path
) -> None:
    campaign = tmp_path / "campaign"
    process = start({calls: error}, [], commands.submit_command(grid, campaign, digits_dir))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert errors.startswith(f"error: {tmp_path.parent}"), errors  # the campaign, or the folder that holds its name
    assert errors.endswith(f"; {said}\n"), errors
    assert errors.count("\n") == 1
    assert not [path for path in campaign.rglob("*") if path.is_file()]


HIDDEN = """
import dataclasses, os, sys
from jobs.process import Process
own = Process.current()
os.setgid(65534); os.setuid(65534)
print([dataclasses.replace(own, pid=int(pid), start_ticks=5).is_alive() for pid in sys.argv[1:]])
"""


@pytest.mark.parametrize("hidepid", [1, 2])
def test_a_process_that_the_host_hides_is_not_taken_for_dead(hidepid: int) -> None:
    hide = f'mount -t proc -o hidepid={hidepid} proc /proc && exec "$@"'
    with subprocess.Popen(["sleep", "60"]) as other:
        command = ["unshare", "--mount", "sh", "-c", hide, "sh", sys.executable, "-c", HIDDEN, str(other.pid), "99999999"]
        done = subprocess.run(command, cwd=commands.ROOT, capture_output=True, text=True)
        other.kill()
    assert (done.stdout, done.stderr) == ("[None, False]\n", "")
