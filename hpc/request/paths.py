"""The paths of folders that a grid may contain."""

from pathlib import Path
from typing import Any

from noisy.spec import Allowed


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and value.strip() != "" and value.isprintable() and _expands(value)


def _expands(path: str) -> bool:
    try:
        return bool(Path(path).expanduser())
    except RuntimeError:  # ~NAME without such a user
        return False


_PATTERN = "^[^\\x00-\\x1f\\x7f]*[^\\x00-\\x20\\x7f][^\\x00-\\x1f\\x7f]*$"  # no control character, and not only spaces
FOLDER = Allowed("the path of a folder, in printable characters", _is_path, {"type": "string", "pattern": _PATTERN})
