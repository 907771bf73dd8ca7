"""What a program did in one folder, in order: traced by strace, every call that touches the folder understood or refused.

Names are paths below the folder; its own name is `.`.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Create:
    """A new, empty file has this name."""

    name: str


@dataclass(frozen=True)
class MakeFolder:
    """A new, empty folder has this name."""

    name: str


@dataclass(frozen=True)
class Write:
    """Bytes were put at this offset."""

    name: str
    offset: int
    content: bytes


@dataclass(frozen=True)
class Truncate:
    """The file was cut or extended to this size."""

    name: str
    size: int


@dataclass(frozen=True)
class SyncFile:
    """fsync of a file returned."""

    name: str


@dataclass(frozen=True)
class Rename:
    """A file or a folder took another name, over what had it before."""

    old: str
    new: str


@dataclass(frozen=True)
class SyncFolder:
    """fsync of a folder returned."""

    name: str


@dataclass(frozen=True)
class Acknowledge:
    """The program said on its standard output that this is kept: a run_id, or another word."""

    what: str


Event = Create | MakeFolder | Write | Truncate | SyncFile | Rename | SyncFolder | Acknowledge


class NotUnderstoodError(Exception):
    """The program touched the folder in a way that the laboratory cannot replay; the message is the call."""


def record_history(program: list[str], folder: Path) -> list[Event]:
    """Run `program` under strace, and list what it did to `folder`, which is there, empty, and has a name of its own.

    All of it by one thread; one write to standard output acknowledges one thing.

    Raises:
        NotUnderstoodError: see there.
        CalledProcessError: the program failed.
    """
    folder = folder.resolve()
    with tempfile.TemporaryDirectory() as traces:
        strace = ["strace", "-ff", "-y", "-xx", "-s", "1000000000", "-o", f"{traces}/thread"]
        subprocess.run([*strace, *program], check=True, stdout=subprocess.DEVNULL)
        threads = [lines for path in sorted(Path(traces).iterdir()) if (lines := _touching(path, folder.name))]
    if len(threads) != 1:
        raise NotUnderstoodError(f"{len(threads)} threads or processes touched {folder}, first: {[t[0] for t in threads]}")
    return _Parser(folder).parse(threads[0])


_HEX = r"(?:\\x[0-9a-f]{2})*"
_CALL = re.compile(r"(\w+)\((.*)\) += (-?\d+)(?:<.*>)?(?: E\w+ \(.*\))?")
_DESCRIPTOR = re.compile(rf"(\d+)<({_HEX})>")
_STRING = re.compile(rf'"({_HEX})"')
_WITHOUT_EFFECT = re.compile("access|close|execve|flock|fstat|getdents64|lstat|newfstatat|pread64|readlink|stat|statx")
_FLAGS = {"O_RDONLY", "O_WRONLY", "O_RDWR", "O_CREAT", "O_EXCL", "O_TRUNC", "O_CLOEXEC", "O_DIRECTORY", "O_NONBLOCK"}


def _touching(trace: Path, name: str) -> list[str]:
    """The lines that name the folder and those that print; none if the folder is not named."""
    hexed = "".join(f"\\x{byte:02x}" for byte in name.encode())
    lines = [line for line in trace.read_text().splitlines() if hexed in line or line.startswith("write(1<")]
    return lines if any(hexed in line for line in lines) else []


def _bytes(hexed: str) -> bytes:
    return bytes.fromhex(hexed.replace("\\x", ""))


class _Parser:
    """Lines of one thread's trace -> events. Every file descriptor's offset is followed, for plain `write`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: set[str] = set()  # of files
        self._folders = {"."}
        self._offsets: dict[int, int] = {}

    def parse(self, lines: Iterable[str]) -> list[Event]:
        return [event for line in lines for event in self._events(line)]

    def _events(self, line: str) -> list[Event]:
        try:
            call, arguments, result = _CALL.fullmatch(line).groups()
            if _WITHOUT_EFFECT.fullmatch(call) or (int(result) < 0 and call != "fsync"):  # a failed fsync is no sync
                return []
            return getattr(self, f"_{call}")(arguments, int(result))
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise NotUnderstoodError(line[:2000]) from error

    def _name(self, hexed: str) -> str:
        return Path(os.fsdecode(_bytes(hexed))).relative_to(self._folder).as_posix()

    def _openat(self, arguments: str, descriptor: int) -> list[Event]:
        """`O_APPEND`, `O_TMPFILE`, ... are not understood."""
        flags = set(arguments.split(", ")[2].split("|"))
        if flags - _FLAGS:
            raise ValueError
        self._offsets[descriptor] = 0
        name = self._name(*_STRING.findall(arguments))
        if name in self._folders:
            return []
        is_new, self._names = name not in self._names, self._names | {name}
        if is_new:
            return [Create(name)]
        return [Truncate(name, 0)] if "O_TRUNC" in flags else []

    def _write(self, arguments: str, n_bytes: int) -> list[Event]:
        if arguments.startswith("1<"):
            return [Acknowledge(_bytes(_STRING.search(arguments)[1]).decode().strip())]
        descriptor = int(_DESCRIPTOR.match(arguments)[1])
        self._offsets[descriptor] += n_bytes
        return self._written(arguments, self._offsets[descriptor] - n_bytes, n_bytes)

    def _pwrite64(self, arguments: str, n_bytes: int) -> list[Event]:
        return self._written(arguments, int(arguments.rsplit(", ", 1)[1]), n_bytes)

    def _written(self, arguments: str, offset: int, n_bytes: int) -> list[Event]:
        content = _bytes(_STRING.search(arguments)[1])[:n_bytes]
        return [Write(self._name(_DESCRIPTOR.match(arguments)[2]), offset, content)]

    def _read(self, arguments: str, n_bytes: int) -> list[Event]:
        self._offsets[int(_DESCRIPTOR.match(arguments)[1])] += n_bytes
        return []

    def _lseek(self, arguments: str, offset: int) -> list[Event]:
        self._offsets[int(_DESCRIPTOR.match(arguments)[1])] = offset
        return []

    def _ioctl(self, arguments: str, result: int) -> list[Event]:
        if arguments.rsplit(", ", 1)[1] != "FIOCLEX":  # a descriptor that ends with the program
            raise ValueError
        return []

    def _ftruncate(self, arguments: str, result: int) -> list[Event]:
        return [Truncate(self._name(_DESCRIPTOR.match(arguments)[2]), int(arguments.rsplit(", ", 1)[1]))]

    def _fsync(self, arguments: str, result: int) -> list[Event]:
        if result:
            raise ValueError
        name = self._name(_DESCRIPTOR.match(arguments)[2])
        return [SyncFolder(name) if name in self._folders else SyncFile(name)]

    def _mkdir(self, arguments: str, result: int) -> list[Event]:
        name = self._name(*_STRING.findall(arguments))
        self._folders.add(name)
        return [MakeFolder(name)]

    def _rename(self, arguments: str, result: int) -> list[Event]:
        old, new = map(self._name, _STRING.findall(arguments))
        self._names, self._folders = (
            {new + name[len(old) :] if f"{name}/".startswith(f"{old}/") else name for name in names}
            for names in (self._names, self._folders)
        )
        return [Rename(old, new)]
