"""publish: a file is there whole or not at all, and an error harms nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.files import publish


def test_replaces_the_whole_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    publish(path, b"a long first content")
    publish(path, [b"sec", b"ond"])
    assert path.read_bytes() == b"second"
    assert os.listdir(tmp_path) == ["file"]


def test_content_that_fails_half_way_leaves_the_old_file(tmp_path: Path) -> None:
    def pieces():
        yield b"x" * 100_000
        raise RuntimeError("no more")

    path = tmp_path / "file"
    publish(path, b"old")
    with pytest.raises(RuntimeError, match="no more"):
        publish(path, pieces())
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_refused_write_is_an_error_and_leaves_the_old_file(tmp_path: Path) -> None:
    """A real refusal: the kernel's file-size limit, as a full disk or a quota would."""
    program = (
        "import resource, signal, sys\nfrom pathlib import Path\nfrom jobs.files import publish\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "publish(Path(sys.argv[1]), b'old')\n"
        "try:\n    publish(Path(sys.argv[1]), b'x' * 5000)\nexcept OSError as error:\n    print(error.strerror)"
    )
    path = tmp_path / "file"
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
    assert done.stdout == "File too large\n"
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_files_have_the_rights_that_the_user_gives(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        publish(tmp_path / "file", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
