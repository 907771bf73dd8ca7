"""Atomic and durable writing of files."""

import errno
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_ADVICE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "see that you may write there"),
}


def advice_on(error: OSError) -> str:
    """What to do about a file that cannot be written; empty where there is nothing to say."""
    return _ADVICE.get(error.errno or 0, "")


def publish(path: Path, content: bytes | Iterable[bytes], *, exclusive: bool = False) -> None:
    """Put `content`, all bytes or pieces of them in order, at `path`; see `replacing`."""
    with replacing(path, exclusive=exclusive) as file:
        for piece in [content] if isinstance(content, bytes) else content:
            file.write(piece)


@contextmanager
def replacing(path: Path, *, exclusive: bool = False) -> Iterator[BinaryIO]:
    """Open a new file, which replaces `path` atomically and durably at the end of the block.

    A reader sees the old file or the new one, never a part, also after a power loss: a temporary file in the same folder
    is written, fsync'ed and renamed, and then the folder is fsync'ed. After any error the old file is untouched and no
    temporary file is left.

    Args:
        path: the file; its folder exists.
        exclusive: do not replace an existing file.

    Raises:
        FileExistsError: `exclusive`, and the file exists.
        OSError: no room, no rights, ...: the file is not published.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(temporary, "x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if exclusive:
            os.link(temporary, path)  # unlike rename, link fails if the name exists
        else:
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable; ignored where the file system does not support it (EINVAL, ENOTSUP)."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def renew_listing(folder: Path) -> None:
    """Make a network file system forget what it remembers of a folder: a name that is made and removed there does so.

    A folder that cannot be written is left as it is.
    """
    with suppress(OSError):
        probe = folder / f".{secrets.token_hex(4)}"
        probe.touch()
        probe.unlink()
