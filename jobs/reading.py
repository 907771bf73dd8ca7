"""Reading of files that may be damaged: only regular files, JSON with the right types, errors as one short line."""

import json
import os
import stat
import zlib
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, get_origin, get_type_hints

Made = TypeVar("Made")
_LONGEST = 200  # characters of an error that are shown at most


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading. Other files are refused, because reading a pipe could wait forever.

    Raises:
        OSError: it cannot be opened, or is not a regular file.
    """

    def opener(name: str, flags: int) -> int:
        descriptor = os.open(name, flags | getattr(os, "O_NONBLOCK", 0))  # Windows has neither this nor pipes with such names
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
        raise OSError(0, "not a regular file", name)

    return open(path, "rb", opener=opener)


def read_regular(path: Path) -> bytes:
    """All bytes of a regular file.

    Raises:
        OSError: as `open_regular`.
    """
    with open_regular(path) as file:
        return file.read()


def crc32_of(file: BinaryIO, n_bytes: int = 2**62) -> int:
    """The crc32 of the next bytes of a file, of at most `n_bytes`."""
    crc32 = 0
    while block := file.read(min(2**20, n_bytes)):
        crc32, n_bytes = zlib.crc32(block, crc32), n_bytes - len(block)
    return crc32


def parse_json(text: str | bytes) -> Any:
    """Parse JSON.

    Raises:
        ValueError: it is not JSON, or nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def made(kind: type[Made], record: Any) -> Made:
    """Make a dataclass from a mapping of its fields. Other keys of the mapping are ignored.

    Raises:
        TypeError, ValueError: a field is missing, or its value has another type.
    """
    hints = get_type_hints(kind)
    found = {name: record[name] for name in hints if name in record}
    for name, value in found.items():
        wanted: Any = get_origin(hints[name]) if get_origin(hints[name]) in (tuple, list) else hints[name]
        is_flag = isinstance(value, bool) and wanted is not bool  # (bool is a subclass of int)
        if is_flag or not isinstance(value, (int, float) if wanted is float else wanted):
            raise TypeError(f"{name} is {value!r}")
        if isinstance(value, str):
            value.encode()  # JSON can hold characters that cannot be written to a file or a terminal
    return kind(**found)


def brief(error: Exception) -> str:
    """The message of an error as one short line."""
    said = (isinstance(error, OSError) and error.strerror) or str(error)
    return " ".join(said.split())[:_LONGEST]
