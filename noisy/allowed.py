"""What a value may be: words for an error message, a test, and a JSON schema."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

MAX_INT = 2**31 - 1


class Allowed(NamedTuple):
    """The allowed values of a field: text for an error message, a test, and a JSON schema (which may allow a little more)."""

    text: str
    holds: Callable[[Any], bool]
    schema: Mapping[str, Any] = MappingProxyType({})


def is_int(value: Any) -> bool:
    """Whether a value is an integer, and not true or false."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    return (is_int(value) and abs(value) < 2**63) or (isinstance(value, float | np.floating) and math.isfinite(value))


def one_of(names: tuple[str, ...]) -> Allowed:
    """One of these names."""
    return Allowed("one of " + ", ".join(names), lambda value: isinstance(value, str) and value in names, {"enum": [*names]})


def integer(low: int, high: int, text: str = "") -> Allowed:
    """An integer in [low, high]. text: instead of `from ... to ...`."""
    schema = {"type": "integer", "minimum": low, "maximum": high}
    return Allowed(f"an integer {text or f'from {low} to {high}'}", lambda v: is_int(v) and low <= v <= high, schema)


def or_null(allowed: Allowed, text: str = "null") -> Allowed:
    """The same, or null. text: what null is called."""
    return Allowed(
        f"{text} or {allowed.text}", lambda v: v is None or allowed.holds(v), {"anyOf": [{"type": "null"}, allowed.schema]}
    )


POSITIVE_INT = integer(1, MAX_INT)
