"""The standing of each task of a submission, from the names of its claims (jobs/claims.py lists them)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

FREE, HELD, BACK, FAILED, LEFT, DONE = "free", "held", "back", "failed", "left", "done"
_NAME = re.compile(r"(\d{5,9})\.(?:(\d{1,6})(?:\.(back|failed|left))?|(done))", re.ASCII)
_ORDER = (FREE, BACK, FAILED, LEFT, HELD, DONE)  # if there are several names of one generation, the last of these counts


@dataclass(frozen=True)
class Standing:
    """The standing of a task, from the names in the folder. generation: the newest one; -1 if no worker took the task yet."""

    word: str = FREE
    generation: int = -1


@cache  # because a worker lists the folder many times
def _parsed(name: str) -> tuple[int, Standing, tuple[bool, int, int]] | None:
    """(task, what its name says, rank among the names of the task); None if it is not a name of a claim."""
    match = _NAME.fullmatch(name)
    if not match:
        return None
    here = Standing(match[4] or match[3] or HELD, int(match[2] or 0))
    return int(match[1]), here, (here.word == DONE, here.generation, _ORDER.index(here.word))


def standings(names: Iterable[str]) -> dict[int, Standing]:
    """task -> its standing, from the names in the folder. A task without a name is free. Other names are ignored."""
    found: dict[int, Standing] = {}
    weights: dict[int, tuple[bool, int, int]] = {}
    for parsed in map(_parsed, names):
        if parsed and (parsed[0] not in weights or parsed[2] > weights[parsed[0]]):
            found[parsed[0]], weights[parsed[0]] = parsed[1], parsed[2]
    return found


def given_back(names: Iterable[str]) -> frozenset[tuple[int, int]]:
    """(task, generation) of each claim whose worker gave the task back."""
    return frozenset((p[0], p[1].generation) for p in map(_parsed, names) if p and p[1].word == BACK)


def held(names: Iterable[str]) -> list[tuple[int, int]]:
    """(task, generation) of each claim whose worker holds the task, or ended without renaming its claim."""
    return sorted((p[0], p[1].generation) for p in map(_parsed, names) if p and p[1].word == HELD)
