"""Archives of campaigns (analysis/archive.py makes them): unpacking one safely, and comparing it with its digests.

An archive may come from anyone. It is used only if it holds nothing but files and folders with plain names.
"""

import contextlib
import gzip
import hashlib
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from jobs.printing import count
from jobs.reading import brief, open_regular

SUMS = "SHA256SUMS"  # as the program sha256sum writes and reads it
_SUM = re.compile(r"([0-9a-f]{64})  (.+)")
_BLOCK_BYTES = 2**20
_NOT_IN_NAMES = set('\\:*?"<>|')  # some systems do not allow these, or give them a meaning
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # names that Windows gives to devices


class ArchiveError(Exception):
    """A file cannot be used as an archive. The message names it and says why."""


def not_as_packed(n_files: int) -> str:
    """What is said of so many files that are not as their digests say."""
    return f"{count(n_files, 'file')} {'is' if n_files == 1 else 'are'} not as packed"


@contextlib.contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """A folder with what is in an archive; it is removed afterwards. A folder that was unpacked before is taken as it is.

    Raises:
        ArchiveError: it cannot be read, or holds something that an archive of a campaign does not hold.
    """
    if path.is_dir():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="noisy-archive-") as temporary:
        try:
            with open_regular(path) as file, _plain(file) as plain, tarfile.open(fileobj=plain, mode="r:") as tar:
                folder = _unpack(tar, Path(temporary))
                while plain.read(_BLOCK_BYTES):  # up to gzip's checksum: tarfile stops before it, and also where it is damaged
                    pass
        except (OSError, tarfile.TarError, EOFError, zlib.error, ValueError) as error:
            raise ArchiveError(f"{path}: cannot be used as an archive ({brief(error)})") from error
        yield folder


def _plain(file: BinaryIO) -> BinaryIO:
    """The tar in a file, which may be packed by gzip."""
    is_gzip = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    return cast(BinaryIO, gzip.GzipFile(fileobj=file)) if is_gzip else file


def _unpack(tar: tarfile.TarFile, target: Path) -> Path:
    """Unpack all members; returns the one folder that they are in.

    Raises:
        ValueError: a member is not allowed.
    """
    free_bytes, names = shutil.disk_usage(target).free, set[str]()
    tar.extraction_filter = getattr(tarfile, "data_filter", None)  # a second look; old versions of Python have none
    for member in tar:
        if problem := refusal(member):
            raise ValueError(f"{member.name!r} {problem}; nothing of it is used")
        if member.isfile() and member.name.casefold() in names:
            raise ValueError(f"{member.name!r} is in it twice; nothing of it is used")
        free_bytes -= member.size
        if free_bytes < 0:
            raise ValueError(f"{member.name!r} is larger than the free space in {target.parent}")
        names.add(member.name.casefold())
        tar.extract(member, target)
    folders = list(target.iterdir())
    if len(folders) != 1 or not (folders[0] / SUMS).is_file():
        raise ValueError(f"not an archive of a campaign: it has no NAME/{SUMS}")
    return folders[0]


def refusal(member: tarfile.TarInfo) -> str:
    """Why a member is not unpacked; empty if it may be. Only files and folders below the archive's own folder may be."""
    if not (member.isreg() or member.isdir()) or member.issparse():
        return "is a link, a device or the like; allowed: files and folders"
    return "" if is_plain(member.name) else "is not a plain name; allowed: a path below the archive's folder"


def is_plain(name: str) -> bool:
    """Whether a relative path, with /, means the same file on every system, below the folder it starts from."""
    parts = name.split("/")
    return (
        name.isprintable()
        and not _NOT_IN_NAMES & set(name)
        and all(part and part == part.rstrip(". ") and not _RESERVED.fullmatch(part) for part in parts)
    )


def sums(folder: Path) -> bytes:
    """The text of SHA256SUMS for all files of a folder, in order of their names."""
    return "".join(f"{_sha256(folder / name)}  {name}\n" for name in files_of(folder) if name != SUMS).encode()


def files_of(folder: Path) -> list[str]:
    """The files in a folder and below, with /, in name order; hidden ones do not count."""
    names = (path.relative_to(folder).parts for path in folder.rglob("*") if not path.is_dir())
    return sorted("/".join(parts) for parts in names if not any(part.startswith(".") for part in parts))


def wrong_files(folder: Path) -> list[str]:
    """A line for each file of an unpacked archive that is not as SHA256SUMS says.

    Raises:
        ArchiveError: there is no SHA256SUMS that can be read.
    """
    listed = _listed(folder)
    missing = [f"{name}: is missing" for name in listed if not (folder / name).is_file()]
    others = [f"{name}: is not listed in {SUMS}" for name in files_of(folder) if name not in listed and name != SUMS]
    there = (name for name in listed if (folder / name).is_file())
    return missing + [f"{name}: differs from its SHA-256" for name in there if _sha256(folder / name) != listed[name]] + others


def _listed(folder: Path) -> dict[str, str]:
    """name -> SHA-256."""
    try:
        with open_regular(folder / SUMS) as file:
            lines = file.read().decode().splitlines()
    except (OSError, UnicodeError) as error:
        raise ArchiveError(f"{SUMS}: cannot be read ({brief(error)}); is this an archive of a campaign?") from error
    found = [_SUM.fullmatch(line) for line in lines]
    if not lines or not all(match and is_plain(match[2]) for match in found):
        raise ArchiveError(f"{SUMS}: not lines of a SHA-256 and the name of a file")
    return {match[2]: match[1] for match in found if match}


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
