"""What a crash may leave of a folder, given the history of what was done to it: every state of every crash point.

A crash point lies before, between and after the events of a history. A state is what is then found: path below the folder
-> content of the file; empty folders are left out.
A sync guarantees only this: fsync of a file makes its bytes durable, fsync of a folder makes the names in it
durable, anything else may or may not have reached the disk. A new folder is a name in its parent: as long as that is not
durable, the folder may be lost with all that is in it, synced or not. Only the outermost folder is there from the beginning.

killed                  The process dies, the kernel lives: all before the point is there; of the write at the point, the
                        part before any multiple of 512 bytes.
power loss, in order    A file system that keeps the order: what is there is the state of any earlier point, torn as above,
                        back to the last sync of anything.
power loss, torn        All names are there, the bytes of one file are not: unsynced writes missing from any one on, that
                        one cut at any multiple of 512; any one block of 512 or 4,096 bytes as it was at the last sync
                        (zero where the file was shorter); all of them so; all files so at once.
power loss, reordered   Each name is that of any file or folder it was since its folder's last sync, independently of each
                        other: names lost, renamed files under the old name, both, or neither; each file is complete, lacks
                        any one unsynced write, has only that one, has none and its old size, or has none and its new size.

The last is a product. Where a crash point has over 1,000 of its states (only a writer that does not sync gets there), each
factor is varied alone, the others being all as old or all as new as possible. Torn together with reordered is not tried.
"""

import itertools
import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.crash.history import Create, Event, MakeFolder, Rename, SyncFile, SyncFolder, Truncate, Write

State = dict[str, bytes]
BLOCKS = (512, 4096)
PRODUCT_LIMIT = 1000


@dataclass
class _File:
    durable: bytes = b""
    unsynced: list[Write | Truncate] = field(default_factory=list)

    def now(self) -> bytes:
        return _changed(self.durable, self.unsynced)


@dataclass
class _Folder:
    """names: what each was since the folder's last sync, oldest first."""

    names: dict[str, list["_File | _Folder | None"]] = field(default_factory=dict)


class _Disk:
    """All names and contents since they were last synced."""

    def __init__(self) -> None:
        self.root = _Folder()

    def apply(self, event: Event) -> None:
        match event:
            case Create(name):
                self._set(name, _File())
            case MakeFolder(name):
                self._set(name, _Folder())
            case Rename(old, new):
                self._set(new, self._at(old))
                self._set(old, None)
            case Write(name) | Truncate(name):
                self._at(name).unsynced.append(event)
            case SyncFile(name):
                file = self._at(name)
                file.durable, file.unsynced = file.now(), []
            case SyncFolder(name):
                folder = self._at(name)
                folder.names = {name: versions[-1:] for name, versions in folder.names.items() if versions[-1]}

    def files(self) -> dict[str, _File]:
        """As the kernel shows them."""
        return dict(_tree(self.root, lambda versions: versions[-1]))

    def _at(self, path: str) -> Any:
        node = self.root
        for name in Path(path).parts:
            node = node.names[name][-1]
        return node

    def _set(self, path: str, node: _File | _Folder | None) -> None:
        parent = self._at(os.path.dirname(path))
        parent.names.setdefault(os.path.basename(path), [None]).append(node)


def _tree(folder: _Folder, chosen: Callable[[list], Any], prefix: str = "") -> Iterator[tuple[str, _File]]:
    """All files with their paths, where `chosen` says what a name is among what it was."""
    for name, versions in folder.names.items():
        node = chosen(versions)
        if isinstance(node, _Folder):
            yield from _tree(node, chosen, f"{prefix}{name}/")
        elif node:
            yield prefix + name, node


def _nodes(folder: _Folder) -> dict[int, _File | _Folder]:
    """All files and folders that some name in it was, by identity."""
    found: dict[int, _File | _Folder] = {id(folder): folder}
    for node in itertools.chain(*folder.names.values()):
        found |= _nodes(node) if isinstance(node, _Folder) else {id(node): node} if node else {}
    return found


def killed(history: list[Event]) -> Iterator[tuple[int, State]]:
    """(crash point, state) pairs, as in the module's description; equal states may come again."""
    for point, disk in _disks(history):
        state = {name: file.now() for name, file in disk.files().items()}
        yield point, state
        match history[point : point + 1]:
            case [Write(name) as write]:
                for part in _parts(write):
                    yield point, {**state, name: _changed(state[name], [part])}


def lost_in_order(history: list[Event]) -> Iterator[tuple[int, State]]:
    """Likewise."""
    for then, state in killed(history):
        for point in range(then, len(history) + 1):
            yield point, state
            if point < len(history) and isinstance(history[point], SyncFile | SyncFolder):
                break


def lost_torn(history: list[Event]) -> Iterator[tuple[int, State]]:
    """Likewise."""
    for point, disk in _disks(history):
        files = disk.files()
        state = {name: file.now() for name, file in files.items()}
        yield point, {name: _without_data(file) for name, file in files.items()}
        for name, file in files.items():
            for content in _torn(file):
                yield point, {**state, name: content}


def lost_reordered(history: list[Event]) -> Iterator[tuple[int, State]]:
    """Likewise."""
    for point, disk in _disks(history):
        nodes = list(_nodes(disk.root).values())
        files = [node for node in nodes if isinstance(node, _File)]
        names = [versions for node in nodes if isinstance(node, _Folder) for versions in node.names.values()]
        for choice in _choices([*names, *map(_reordered, files)]):
            of_names = {id(versions): node for versions, node in zip(names, choice, strict=False)}
            contents = {id(file): content for file, content in zip(files, choice[len(names) :], strict=True)}
            found = _tree(disk.root, lambda versions: of_names[id(versions)])  # noqa: B023 (used at once)
            yield point, {name: contents[id(file)] for name, file in found}


FAULT_MODELS: dict[str, Callable[[list[Event]], Iterator[tuple[int, State]]]] = {
    "killed": killed,
    "power loss, in order": lost_in_order,
    "power loss, torn": lost_torn,
    "power loss, reordered": lost_reordered,
}


def _disks(history: list[Event]) -> Iterator[tuple[int, _Disk]]:
    disk = _Disk()
    yield 0, disk
    for point, event in enumerate(history, start=1):
        disk.apply(event)
        yield point, disk


def _changed(content: bytes, events: Iterable[Write | Truncate]) -> bytes:
    changed = bytearray(content)
    for event in events:
        _change(changed, event)
    return bytes(changed)


def _change(content: bytearray, event: Write | Truncate) -> None:
    end = event.size if isinstance(event, Truncate) else event.offset
    content.extend(bytes(max(0, end - len(content))))
    if isinstance(event, Truncate):
        del content[end:]
    else:
        content[end : end + len(event.content)] = event.content


def _parts(event: Write | Truncate) -> list[Write]:
    """Its beginnings, except for none and all of it; a truncation has none."""
    ends = range(BLOCKS[0], len(event.content), BLOCKS[0]) if isinstance(event, Write) else ()
    return [replace(event, content=event.content[:end]) for end in ends]


def _without_data(file: _File) -> bytes:
    """The size is there, the unsynced bytes are not."""
    n_bytes = len(file.now())
    return file.durable[:n_bytes].ljust(n_bytes, b"\0")


def _torn(file: _File) -> Iterator[bytes]:
    content = bytearray(file.durable)
    for event in file.unsynced:
        yield bytes(content)
        for part in _parts(event):
            yield _changed(content, [part])
        _change(content, event)
    new, old = bytes(content), _without_data(file)
    yield from (new, old)
    if file.unsynced:
        for block in BLOCKS:
            for start in range(0, len(new), block):
                yield new[:start] + old[start : start + block] + new[start + block :]


def _reordered(file: _File) -> list[bytes]:
    """Oldest first, newest last."""
    without_one, content = [], bytearray(file.durable)
    for index, event in enumerate(file.unsynced):
        without_one.append(_changed(content, file.unsynced[index + 1 :]))
        _change(content, event)
    only_one = [_changed(file.durable, [event]) for event in file.unsynced]
    return list(dict.fromkeys([file.durable, _without_data(file), *only_one, *without_one, bytes(content)]))


def _choices(factors: list[list]) -> Iterator[tuple]:
    if math.prod(map(len, factors)) <= PRODUCT_LIMIT:
        yield from itertools.product(*factors)
        return
    for base in (tuple(factor[0] for factor in factors), tuple(factor[-1] for factor in factors)):
        for index, factor in enumerate(factors):
            yield from ((*base[:index], choice, *base[index + 1 :]) for choice in factor)
