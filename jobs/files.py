"""Atomic and durable writing of files and folders.

It needs little of a file system: a rename must replace a file, and must fail over a folder with something in it. It does not
rely on hard links, symbolic links, locks, rights or times of files.
"""

import errno
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_ADVICE = {  # advice -> the errors for which it is right; not every system has all of them
    "make room": "ENOSPC EDQUOT",
    "raise the limit on the size of a file (ulimit -f)": "EFBIG",
    "see that you may read and write there": "EACCES EPERM EROFS",
    "see that the disk or the share works": "EIO ESTALE ENXIO ENODEV ENOTCONN ETIMEDOUT EHOSTDOWN EHOSTUNREACH ENETDOWN "
    "ENETUNREACH ECONNABORTED ECONNREFUSED ECONNRESET EREMOTEIO ENOLINK ECOMM EBADMSG EUCLEAN ENOMEDIUM ENOLCK",
    "renew your ticket for the share": "EKEYEXPIRED EKEYREVOKED EKEYREJECTED ENOKEY",
    "see that its folder is there, and that this name is allowed in it": "ENOENT",
    "choose a shorter path": "ENAMETOOLONG",
    "see where its symbolic links lead": "ELOOP",
    "move away what is there, or choose another path": "EEXIST ENOTDIR EISDIR ENOTEMPTY EMLINK",
    "its file system does not support this: choose a folder on another": "EINVAL ENOTSUP ENOSYS EXDEV EILSEQ EOVERFLOW",
    "wait until no other program uses it": "EBUSY ETXTBSY EDEADLK",
    "raise the number of files that a process may open (ulimit -n)": "EMFILE",
    "end other programs, which use too much of this machine": "ENFILE ENOMEM ENOBUFS EAGAIN",
}
_ADVICE_ON = {getattr(errno, name, 0): advice for advice, names in _ADVICE.items() for name in names.split()}
_UNSUPPORTED = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF)  # answers of file systems to fsync of a folder


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
            del error.filename2  # else it is printed, also if it is None
        raise


def publish(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Put `content` (all bytes, or pieces of them in order) at `path`; see `replacing`."""
    with replacing(path) as file:
        for piece in [content] if isinstance(content, bytes) else content:
            file.write(piece)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a new file, which replaces `path` atomically and durably at the end of the block.

    A reader sees the whole old file or the whole new one, also after a power loss. A temporary file in the same folder is
    written, fsync'ed and renamed, and then the folder is fsync'ed. After an error the old file is untouched, and no temporary
    file is left.

    Args:
        path: the file; its folder exists.

    Raises:
        OSError: no room, no rights, ...: the file is not published. It names `path`.
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
    """A hidden folder to be filled. At the end of the block it gets the name `path`, atomically and durably.

    So the name appears together with everything in the folder. If several processes do this, one wins: a folder with something
    in it is never replaced. The block must put something into the folder and make it durable, as `publish` does.

    Raises:
        FileExistsError: another process was first.
        OSError: the folder cannot be made. Nothing is left of it.
    """
    hidden = _beside(path)
    with named(path, instead_of=hidden):
        hidden.mkdir()
        try:
            yield hidden
            try:
                os.rename(hidden, path)
            except OSError as error:
                if path.is_dir():  # file systems differ in the errno
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from error
                raise
        except BaseException:
            shutil.rmtree(hidden, ignore_errors=True)
            raise
        sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder and the missing ones above it, and make their names durable.

    The name of each folder is made durable before anything is made in it. That of the lowest existing folder is made durable
    too, since the process that made it may have been killed before it did so.
    """
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable, if its file system can do this and the folder may be read."""
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
    """A new hidden name in the same folder."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


def renew_listing(folder: Path) -> None:
    """Make a network file system forget what it remembers of a folder, by making a name there and removing it.

    A folder that cannot be written is left as it is.
    """
    with suppress(OSError):
        probe = folder / f".{secrets.token_hex(4)}"
        probe.touch()
        probe.unlink()
