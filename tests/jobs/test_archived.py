"""An archive from anyone is unpacked only if nothing in it can do harm, and each of its files is compared with its digest."""

import gzip
import io
import lzma
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.archived import SUMS, ArchiveError, files_of, is_plain, refusal, sums, unpacked, wrong_files

LINK, HARD_LINK, PIPE, CHARACTERS, BLOCKS = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE


def packed(path: Path, members: list[tuple[str, bytes, bytes]]) -> Path:
    """A tar.gz of members: name, kind, and content (of a link: where it leads)."""
    with tarfile.open(path, "w:gz") as tar:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            if kind == tarfile.REGTYPE:
                member.size = len(content)
            else:
                member.linkname = content.decode()
            tar.addfile(member, io.BytesIO(content))
    return path


def file(name: str, content: bytes = b"x") -> tuple[str, bytes, bytes]:
    return name, tarfile.REGTYPE, content


def honest() -> list[tuple[str, bytes, bytes]]:
    digest = b"2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"  # of x
    return [file(f"a/{SUMS}", digest + b"  b/c.txt\n"), file("a/b/c.txt")]


HOSTILE = {
    "a path upwards": file("a/../../evil"),
    "an absolute path": file("/tmp/evil"),
    "a path of Windows": file("a\\..\\evil"),
    "a drive of Windows": file("C:/evil"),
    "a device of Windows": file("a/nul.txt"),
    "a dot at the end": file("a/evil."),
    "a line end in a name": file("a/b\nc"),
    "a symbolic link": ("a/evil", LINK, b"/etc/passwd"),
    "a symbolic link upwards": ("a/evil", LINK, b"../.."),
    "a hard link": ("a/evil", HARD_LINK, b"a/b/c.txt"),
    "a pipe": ("a/evil", PIPE, b""),
    "a character device": ("a/evil", CHARACTERS, b""),
    "a block device": ("a/evil", BLOCKS, b""),
    "a file twice": file("a/b/c.txt", b"y"),
    "a file twice, on systems without capitals": file("a/B/C.TXT", b"y"),
    "a second folder": file("b/c.txt"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_and_nothing_of_it_is_left(name: str, tmp_path: Path) -> None:
    path = packed(tmp_path / "x.tar.gz", [*honest(), HOSTILE[name]])
    with pytest.raises(ArchiveError, match=r"x\.tar\.gz: cannot be used as an archive"), unpacked(path):
        raise AssertionError("it was used")
    assert [each.name for each in tmp_path.iterdir()] == ["x.tar.gz"]


def test_an_honest_archive_is_unpacked_and_then_removed(tmp_path: Path) -> None:
    with unpacked(packed(tmp_path / "x.tar.gz", honest())) as folder:
        assert files_of(folder) == [SUMS, "b/c.txt"]
        assert wrong_files(folder) == []
        there = folder
    assert not there.exists()


def test_a_file_that_is_too_large_is_refused_before_it_is_written(tmp_path: Path) -> None:
    member = tarfile.TarInfo("a/large")
    member.size = 2**60
    (tmp_path / "x.tar").write_bytes(member.tobuf() + bytes(1024))
    with pytest.raises(ArchiveError, match="larger than the free space"), unpacked(tmp_path / "x.tar"):
        pass


def test_a_file_with_holes_is_refused(tmp_path: Path) -> None:
    os.truncate(packed(tmp_path / "holes", honest()), 2**20)
    subprocess.run(["tar", "--sparse", "-cf", tmp_path / "x.tar", "-C", tmp_path, "holes"], check=True)
    with tarfile.open(tmp_path / "x.tar") as tar:
        (member,) = tar.getmembers()
    assert "allowed: files and folders" in refusal(member)


NOT_ARCHIVES: dict[str, Callable[[Path], object]] = {
    "nothing": lambda path: None,
    "text": lambda path: path.write_text("no"),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(packed(path, honest()).read_bytes()[:-30]),
    "without its end": lambda path: path.write_bytes(packed(path, honest()).read_bytes()[:-8]),
    "with another checksum": lambda path: path.write_bytes(packed(path, honest()).read_bytes()[:-8] + bytes(8)),
    "with something behind it": lambda path: path.write_bytes(packed(path, honest()).read_bytes() + b"more"),
    "packed by another program": lambda path: path.write_bytes(
        lzma.compress(gzip.decompress(packed(path, honest()).read_bytes()))
    ),
    "a pipe": os.mkfifo,
    "another tar": lambda path: packed(path, [file("a/b")]),
}


@pytest.mark.parametrize("name", NOT_ARCHIVES)
def test_what_is_no_archive_is_refused(name: str, tmp_path: Path) -> None:
    NOT_ARCHIVES[name](tmp_path / "x.tar.gz")
    with pytest.raises(ArchiveError, match=r"x\.tar\.gz: cannot be used as an archive \("), unpacked(tmp_path / "x.tar.gz"):
        pass


CHANGES: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "changed": (lambda folder: (folder / "b/c.txt").write_text("y"), ["b/c.txt: differs from its SHA-256"]),
    "gone": (lambda folder: (folder / "b/c.txt").unlink(), ["b/c.txt: is missing"]),
    "more": (lambda folder: (folder / "d").write_text("y"), [f"d: is not listed in {SUMS}"]),
    "hidden": (lambda folder: (folder / ".DS_Store").write_text("y"), []),
}


@pytest.mark.parametrize("name", CHANGES)
def test_files_that_are_not_as_packed_are_named(name: str, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b/c.txt").write_text("x")
    (tmp_path / SUMS).write_bytes(sums(tmp_path))
    assert wrong_files(tmp_path) == []
    change, problems = CHANGES[name]
    change(tmp_path)
    assert wrong_files(tmp_path) == problems


@pytest.mark.parametrize("text", ["", "no\n", f"{'a' * 64}  ../evil\n", f"{'a' * 64}  /etc/passwd\n"])
def test_digests_that_make_no_sense_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / SUMS).write_text(text)
    with pytest.raises(ArchiveError, match=f"{SUMS}: not lines of"):
        wrong_files(tmp_path)


def test_the_digests_are_those_of_sha256sum(tmp_path: Path) -> None:
    with unpacked(packed(tmp_path / "x.tar.gz", honest())) as folder:
        assert sums(folder) == (folder / SUMS).read_bytes()  # which has the digest that sha256sum printed


def test_plain_names_are_plain() -> None:
    assert is_plain("figures/accuracy_mlp.csv")
    assert is_plain("results/x+y-1.tar.gz")
    assert not any(map(is_plain, ("", "/", "a//b", "a/", ".", "..", "a/..", "COM1", "a ", "a?", "a*b")))
