"""Files that appear whole or not at all, and stay."""

import errno
import os
import secrets
from collections.abc import Iterable
from pathlib import Path


def publish(path: Path, content: bytes | Iterable[bytes], *, exclusive: bool = False) -> None:
    """Put `content` at `path`, durably: a reader sees the old file or the new one, never a part, also after a power loss.

    Written beside under a name of its own, fsync'ed, renamed into place, and the directory fsync'ed. After any error the
    old file is untouched and nothing is left beside it.

    Args:
        path: the file; its folder exists.
        content: all bytes, or pieces of them in order.
        exclusive: do not replace an existing file.

    Raises:
        FileExistsError: `exclusive`, and the file exists.
        OSError: no room, no rights, ...: the file is not published.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(temporary, "xb") as file:
            for piece in [content] if isinstance(content, bytes) else content:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        if exclusive:
            os.link(temporary, path)  # unlike rename, link fails where the name is taken
        else:
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable. File systems that cannot (EINVAL, ENOTSUP) are taken at their word."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
