"""`--set KEY=VALUE`: values in place of those of a grid file."""

from collections.abc import Sequence
from typing import Any

from hpc.request.yaml_file import Check, GridError, parse_value
from noisy.spec import shown

ALLOWED = "KEY=VALUE with a key and a value of a grid, such as repeats=3, ps=[0,0.5] or models.cnn.epochs=3"
SET_HELP = "replace a value of the grid: ps=[0,0.5] or models.cnn.epochs=3"


def put(settings: Sequence[str], values: dict, check: Check) -> list[str]:
    """Put settings into the values of a grid; what is wrong with them is noted in `check`, as is where the new values are from.

    Returns:
        The keys at the top of the grid whose values changed.
    """
    done = list[str]()
    for setting in settings:
        path, equals, text = setting.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            check.problems.append(f"--set {shown(setting)}: not possible; allowed: {ALLOWED}")
            continue
        path = ".".join(keys)
        if other := next((one for one in done if f"{one}.".startswith(f"{path}.") or f"{path}.".startswith(f"{one}.")), None):
            check.problems.append(f"--set {path}: --set {other} sets it too; allowed: each key once")
            continue
        done.append(path)
        try:
            check.replaced.append(_put(values, keys, parse_value(text)))
        except GridError as error:
            check.problems += [f"--set {path}: {problem}" for problem in error.problems]
    return list(dict.fromkeys(path.split(".")[0] for path in done))


def _put(values: dict, keys: Sequence[str], value: Any) -> str:
    """Put one value where the keys lead. Returns the place that is new: that of the value, or of a mapping made for it."""
    for depth, key in enumerate(keys[:-1], start=1):
        if not isinstance(values.get(key), dict):
            for inner in reversed(keys[depth:]):
                value = {inner: value}
            values[key] = value
            return ".".join(keys[:depth])
        values = values[key]
    values[keys[-1]] = value
    return ".".join(keys)
