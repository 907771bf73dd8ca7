"""Atomic and durable writing of files and folders.

The file system must only do this: a rename replaces a file, and fails if the target is a folder that is not empty. Hard links,
symbolic links, locks, permissions and file times are not needed.
"""

import errno
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_ADVICE = {  # advice -> the errors that it is for; not every system has all of them
    "make room": "ENOSPC EDQUOT",
    "raise the limit on the size of a file (ulimit -f)": "EFBIG",
    "make sure that you may read and write there": "EACCES EPERM EROFS",
    "make sure that the disk or the share works": "EIO ESTALE ENXIO ENODEV ENOTCONN ETIMEDOUT EHOSTDOWN EHOSTUNREACH ENETDOWN "
    "ENETUNREACH ECONNABORTED ECONNREFUSED ECONNRESET EREMOTEIO ENOLINK ECOMM EBADMSG EUCLEAN ENOMEDIUM ENOLCK",
    "renew your ticket for the share": "EKEYEXPIRED EKEYREVOKED EKEYREJECTED ENOKEY",
    "make sure that its folder exists, and that this name is allowed in it": "ENOENT",
    "choose a shorter path": "ENAMETOOLONG",
    "check where its symbolic links lead": "ELOOP",
    "move away what is there, or choose another path": "EEXIST ENOTDIR EISDIR ENOTEMPTY EMLINK",
    "its file system does not support this: choose a folder on another": "EINVAL ENOTSUP ENOSYS EXDEV EILSEQ EOVERFLOW",
    "wait until no other program uses it": "EBUSY ETXTBSY EDEADLK",
    "raise the number of files that a process may open (ulimit -n)": "EMFILE",
    "end other programs, which use too much of this machine": "ENFILE ENOMEM ENOBUFS EAGAIN",
}
_ADVICE_ON = {getattr(errno, name, 0): advice for advice, names in _ADVICE.items() for name in names.split()}
_UNSUPPORTED = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF)  # errors of file systems that cannot fsync a folder


def advice_on(error: OSError) -> str:
    """What to do about a file that cannot be read or written; empty if there is no advice."""
    return _ADVICE_ON.get(error.errno or -1, "")


@contextmanager
def named(path: Path, instead_of: Path | None = None) -> Iterator[None]:
    """Errors in the block name `path`, if they name no file or the file `instead_of`."""
    try:
        yield
    except OSError as error:
        if error.filename in (None, str(instead_of)):
            error.filename = str(path)
            del error.filename2  # otherwise it is printed, even if it is None
        raise


def publish(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write `content` (bytes, or pieces of them in order) to `path`; see `replacing`."""
    with replacing(path) as file:
        for piece in [content] if isinstance(content, bytes) else content:
            file.write(piece)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a new file, which replaces `path` atomically and durably at the end of the block.

    A reader sees the whole old file or the whole new one, even after a power loss. A temporary file in the same folder is
    written, fsync'ed and renamed, and then the folder is fsync'ed. After an error the old file is untouched, and no temporary
    file is left.

    Args:
        path: the file; its folder exists.

    Raises:
        OSError: there is no room, no permission, or another problem. The file is not published. The error names `path`.
    """
    temporary = _beside(path)
    with named(path, instead_of=temporary):
        try:
            with open(temporary, "x+b") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        sync_folder(path.parent)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Make a hidden folder, which the block fills. At the end of the block it is renamed to `path`, atomically and durably.

    So the folder appears together with everything in it. If several processes do this, one wins, because a folder that is not
    empty is never replaced. The block must put at least one file into the folder and make it durable, as `publish` does.

    Raises:
        FileExistsError: another process was first.
        OSError: the folder cannot be made. No part of it is left on disk.
    """
    hidden = _beside(path)
    with named(path, instead_of=hidden):
        hidden.mkdir()
        try:
            yield hidden
            try:
                os.rename(hidden, path)
            except OSError as error:
                if path.is_dir():  # the errno depends on the file system
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from error
                raise
        except BaseException:
            shutil.rmtree(hidden, ignore_errors=True)
            raise
        sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder and its missing parents, and make their names durable.

    The name of each folder is made durable before anything is made in it. The name of the deepest existing folder is made
    durable too, because the process that made it may have been killed before it did this.
    """
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable, if the file system supports this and the folder is readable."""
    with suppress(PermissionError), named(folder):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
        finally:
            os.close(descriptor)


def _beside(path: Path) -> Path:
    """A new hidden path in the same folder."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


def renew_listing(folder: Path) -> None:
    """Make a network file system drop its cached list of a folder, by making a file there and removing it.

    Does nothing if the folder cannot be written.
    """
    with suppress(OSError):
        probe = folder / f".{secrets.token_hex(4)}"
        probe.touch()
        probe.unlink()
