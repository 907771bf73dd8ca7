"""Strict reading of a user's YAML: each problem names place, value and what is allowed. Only this module reads YAML."""

import contextlib
import difflib
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml

from noisy.spec import Allowed, shown

PRINTABLE = "printable characters only"
_WANTED = "allowed: key: value pairs, lists as [a, b]"


class GridError(ValueError):
    """A grid is wrong. `problems`: where, what, the value, what is allowed; in the file's order, those without a line last."""

    def __init__(self, problems: list[str]) -> None:
        line = re.compile(r"line (\d+)[:,]")
        self.problems = sorted(problems, key=lambda text: int(match[1]) if (match := line.match(text)) else math.inf)
        super().__init__("\n".join(self.problems))


class Check:
    """Collects problems. Each method returns a usable value even after a problem, so that checking can continue.

    lines: the place of a value, such as `models.mlp.epochs` or `ps[2]` -> its line in the file. replaced: the places whose
    values, and all below them, are not those of the file but of `--set`.
    """

    def __init__(self, problems: list[str], lines: Mapping[str, int]) -> None:
        self.problems, self.replaced, self._lines = problems, list[str](), lines

    def problem(self, where: str, what: str, value: Any, allowed: str) -> None:
        """Add a problem."""
        line = f"line {self._lines[where]}: " if where in self._lines else ""
        if any(where == place or where.startswith((f"{place}.", f"{place}[")) for place in self.replaced):
            line = "--set "
        where = where if where.isascii() and where.isprintable() else ascii(where)
        self.problems.append(f"{line}{where}: {what}: {shown(value)}; allowed: {allowed}")

    def value(self, where: str, value: Any, allowed: Allowed) -> Any:
        """Check a single value. Returns it (a list as a tuple)."""
        if not allowed.holds(value):
            self.problem(where, "not possible", value, allowed.text + _hint(value))
        return tuple(value) if isinstance(value, list) else value

    def axis(self, where: str, values: Any, allowed: Allowed) -> tuple:
        """Check a list of allowed values, without duplicates. Returns it."""
        if not isinstance(values, list) or not values:
            self.problem(where, "not a list of values", values, f"a list with at least one value, each {allowed.text}")
            return ()
        axis = tuple(self.value(f"{where}[{i}]", value, allowed) for i, value in enumerate(values))
        seen: set[Any] = set()
        for i, value in enumerate(axis):
            if allowed.holds(value) and value in seen:
                self.problem(f"{where}[{i}]", "listed twice", values[i], "each value once")
            elif allowed.holds(value):
                seen.add(value)
        return axis

    def mapping(self, where: str, value: Any, keys: tuple[str, ...] | None) -> dict:
        """Check a mapping that has only these keys (None: any keys). Returns it."""
        if not isinstance(value, dict):
            among = f" with the keys {', '.join(keys)}" if keys else ""
            self.problem(where, "not a mapping", value, f"key: value pairs{among}")
            return {}
        if keys is not None:
            self.keys(where, value, keys)
        return value

    def keys(self, where: str, values: dict, keys: tuple[str, ...]) -> None:
        """Check that a mapping has only these keys."""
        for key in values:
            if key not in keys:
                meant = difflib.get_close_matches(str(key), keys, n=1, cutoff=0.7)
                what = f"unknown key (meant: {meant[0]}?)" if meant else "unknown key"
                self.problem(f"{where}.{key}" if where else str(key), what, key, ", ".join(keys))


def parse_yaml(text: str) -> tuple[dict, Check]:
    """The mapping in `text`, and a `Check` with the problems of its keys, to which more can be added.

    Raises:
        GridError: it is not YAML, or not a mapping, so that nothing else can be checked.
    """
    node, values, problems = _parsed(text, "the file", _WANTED)
    if not isinstance(values, dict):
        raise GridError([f"the file: not a mapping: {str(values)[:60]!r}; {_WANTED}"])
    return values, Check(problems, dict(_lines(node)))


def parse_value(text: str) -> Any:
    """A value as a grid file would have it.

    Raises:
        GridError: it is not YAML, or has a problem that `_Loader` notes.
    """
    _, value, problems = _parsed(text, "the value", "allowed: a value as in a grid file, such as 3 or [0.0, 0.5]")
    if problems:
        raise GridError(problems)
    return value


def _parsed(text: str, what: str, wanted: str) -> tuple[yaml.Node, Any, list[str]]:
    """The node of a text, its value, and the problems of its keys. what, wanted: words for errors.

    Raises:
        GridError: it is not YAML.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if loader.problems:
            raise GridError(loader.problems)
        return node, loader.construct_document(node) if node else None, loader.problems
    except GridError:
        raise
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else what
        raise GridError([f"{where}: not YAML: {error.problem}; {wanted}"]) from error
    except Exception as error:  # PyYAML's constructors raise KeyError, IndexError, ValueError, RecursionError, ...
        said = "nested too deeply" if isinstance(error, RecursionError) else (str(error).splitlines() or [""])[0]
        raise GridError([f"{what}: not YAML: {said or type(error).__name__}; {wanted}"]) from error


def with_values(text: str, values: dict, keys: Iterable[str]) -> str:
    """The text of a grid with other values of some keys at its top. The rest of the text stays, and so do its comments.

    Args:
        values: all of the grid, as they are to be read from the new text.
    """
    node = _Loader(text).get_single_node()
    of_file = {key.value: (key.end_mark.index, _end(value, text)) for key, value in node.value}
    edited, start = text, node.start_mark
    for key, (key_end, end) in sorted(of_file.items(), key=lambda one: -one[1][0]):
        if key in keys:
            edited = f"{edited[: text.index(':', key_end) + 1]} {_flow(values[key])}{edited[end:]}"
    new = "".join(f"{key}: {_flow(values[key])}\n{' ' * start.column}" for key in keys if key not in of_file)
    edited = edited[: start.index] + new + edited[start.index :]
    with contextlib.suppress(GridError):
        if parse_yaml(edited)[0] == values:
            return edited
    return yaml.safe_dump(values, sort_keys=False)  # its form is not a key a line


def _end(node: yaml.Node, text: str) -> int:
    """Where the text of a node ends. A comment in the same line stays, but not one behind the last of several lines."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        end = _end(last[1] if isinstance(last, tuple) else last, text)
        return end + len(text[end:].partition("\n")[0])
    return node.end_mark.index


def _flow(value: Any) -> str:
    """A value in one line of YAML."""
    text = yaml.safe_dump(value, default_flow_style=True, width=math.inf, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")


def _lines(node: yaml.Node, where: str = "") -> Iterator[tuple[str, int]]:
    """The place and the line of each value below a node."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = f"{where}.{key.value}" if where else str(key.value)
            yield name, key.start_mark.line + 1
            yield from _lines(value, name)
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            yield f"{where}[{i}]", value.start_mark.line + 1
            yield from _lines(value, f"{where}[{i}]")


def _hint(value: Any) -> str:
    """A hint on what to write, if YAML reads another value than the user meant."""
    if isinstance(value, bool):
        return " (YAML reads yes, no, on and off as true and false: put text in quotes)"
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return ""
        if math.isfinite(number):
            return f" (YAML reads {value} as text: write {_as_yaml_number(number)})"
    return ""


def _as_yaml_number(number: float) -> str:
    """The number in a form that PyYAML reads as a number: with a point before an exponent (pyyaml issue 173)."""
    if number.is_integer() and abs(number) < 1e15:
        return str(int(number))
    written = repr(number)
    return written if "e" not in written or "." in written else written.replace("e", ".0e")


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which also notes everything that would hide or change a value.

    These are keys given twice (plain PyYAML silently keeps the last one), tags, anchors and merges. `!!int "010"` is 8, and a
    few lines of anchors can stand for more values than fit in memory. Numbers are decimal. YAML 1.1 would read 010 as 8 and
    1:30 as 90; here they are text, and are refused.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.problems: list[str] = []

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """As in SafeLoader."""
        event = self.peek_event()
        if not isinstance(event, yaml.AliasEvent):
            if event.anchor:
                self._note(event, f"an anchor: '&{ascii(event.anchor)[1:-1]}'", "values written out where they are used")
            if event.tag:
                tag = event.tag.replace("tag:yaml.org,2002:", "!!")
                self._note(event, f"a tag: {shown(tag)}", "a plain value, text in quotes")
        node = super().compose_node(parent, index)
        if node and node.tag == "tag:yaml.org,2002:merge":
            self._note(event, "a merge: '<<'", "keys written out where they are used")
        return node

    def _note(self, event: yaml.Event, what: str, allowed: str) -> None:
        mark = event.start_mark
        self.problems.append(f"line {mark.line + 1}, column {mark.column + 1}: {what}; allowed: {allowed}")

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        """As in SafeLoader."""
        seen: dict[str, int] = {}
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            line = key.start_mark.line + 1
            if key.value in seen:
                first = f"first in line {seen[key.value]}"
                self.problems.append(f"line {line}: key given twice: {shown(key.value)} ({first}); allowed: each key once")
            seen.setdefault(key.value, line)
        return super().construct_mapping(node, deep)


_INT, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in (_INT, _FLOAT)]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_INT, re.compile(r"[-+]?(0|[1-9][0-9]*)$"), list("-+0123456789"))
_FLOATS = r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+][0-9]+)?$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$"
_Loader.add_implicit_resolver(_FLOAT, re.compile(_FLOATS), list("-+0123456789."))
