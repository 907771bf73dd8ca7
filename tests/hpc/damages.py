"""What may happen to a campaign's files. Each damage takes a path, and whatever is there; `dice` decides the rest."""

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jobs.campaign import Campaign

VALUES: tuple[Any, ...] = (None, True, -1, 10**30, 1e400, "", "x\ud800", "a\0b\n", "x" * 10**6, [], {}, [[1]], {"a": 1}, [None])
READ = (".json", ".jsonl", ".txt", ".h5")  # what commands rely on: damaged more often


def other_bytes(path: Path, dice: random.Random) -> None:
    content = bytearray(path.read_bytes() or b"x")
    for _ in range(dice.choice((1, 1, 1, 20))):
        content[dice.randrange(len(content))] = dice.randrange(256)
    path.write_bytes(content)


def truncated(path: Path, dice: random.Random) -> None:
    os.truncate(path, dice.randrange(path.stat().st_size + 1) if dice.random() < 0.8 else 0)


def other_value(path: Path, dice: random.Random) -> None:
    """Another value somewhere in one line of JSON (or in the whole file), which stays JSON."""
    lines = [path.read_text()] if path.suffix == ".json" else path.read_text().splitlines()
    place = dice.randrange(len(lines))
    record = holder = json.loads(lines[place])
    while isinstance(holder, dict | list) and holder:
        key = dice.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        if dice.random() < 0.4 or not (isinstance(holder[key], dict | list) and holder[key]):
            holder[key] = dice.choice(VALUES)
            break
        holder = holder[key]
    lines[place] = json.dumps(dice.choice(VALUES) if dice.random() < 0.1 else record)
    path.write_text("\n".join(lines) + "\n")


def deeply_nested(path: Path, dice: random.Random) -> None:
    path.write_text(("[" if dice.random() < 0.5 else '{"task":') * 10**5)


def a_huge_line(path: Path, dice: random.Random) -> None:
    with path.open("ab") as file:
        file.write(dice.choice((b"a", b"\0", b"9", b" ", b"\xff")) * 3_000_000)


def no_rights(path: Path, dice: random.Random) -> None:
    path.chmod(dice.choice((0, 0o200, 0o100)))


def gone(path: Path, dice: random.Random) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def instead(make: Callable[[Path, random.Random], object]) -> Callable[[Path, random.Random], None]:
    def make_it(path: Path, dice: random.Random) -> None:
        gone(path, dice)
        make(path, dice)

    return make_it


def a_link(path: Path, dice: random.Random) -> None:
    path.symlink_to(dice.choice(("nowhere", path.name, "/dev/zero", "/etc", "/etc/passwd", ".", "..")))


def a_stray(path: Path, dice: random.Random) -> None:
    beside = (path if path.is_dir() else path.parent) / dice.choice(
        ("0003", "0099", "note.txt", "cancelled-x.txt", "9" * 50, "\udcff.h5")
    )
    if not beside.exists():
        dice.choice((Path.mkdir, Path.touch, os.mkfifo, lambda at: at.symlink_to("nowhere"), lambda at: at.symlink_to(at)))(
            beside
        )


def swapped(path: Path, dice: random.Random) -> None:
    folder = next(parent for parent in path.parents if parent.name == "campaign")
    other = dice.choice(sorted(p for p in folder.rglob("*") if p.is_file()))
    kept = path.read_bytes()
    path.write_bytes(other.read_bytes())
    other.write_bytes(kept)


OF_FILES = (other_bytes, truncated, deeply_nested, a_huge_line, instead(lambda path, _: path.mkdir()), swapped)
OF_ANYTHING = (no_rights, gone, instead(lambda path, _: os.mkfifo(path)), instead(a_link), a_stray)
OF_FOLDERS = (instead(lambda path, _: path.touch()), instead(lambda path, _: path.mkdir()))


def damage(campaign: Campaign, dice: random.Random) -> tuple[str, str]:
    """Damage one thing. Returns what, and how."""
    every = [path for path in sorted(campaign.folder.rglob("*")) if "figures/" not in str(path)]
    path = dice.choice([*every, *(path for path in every for _ in range(3) if path.suffix in READ)])
    kinds = [*OF_ANYTHING, *(OF_FOLDERS if path.is_dir() else OF_FILES)]
    kinds += [other_value] * 4 * (path.suffix in (".json", ".jsonl"))
    kind = dice.choice(kinds)
    kind(path, dice)
    return str(path.relative_to(campaign.folder)), kind.__qualname__
