"""needs.json of a submission: the place of each task's line in the task file, and what the task needs.

A worker reads this small file instead of all tasks. It is made from the task file and may be removed.
"""

import contextlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import fields

from jobs.campaign import Campaign
from jobs.reading import open_regular, parse_json, read_regular
from jobs.taking import Need

SCHEMA_VERSION = 1
_NAMES = [field.name for field in fields(Need)]
_HEAD_BYTES = 2000  # bytes of a line of the task file that hold everything but the runs
_NUMBER = {name: re.compile(rb'"%s":([0-9.e+-]+|null)[,}]' % name.encode()) for name in _NAMES[1:]}


def needs_of(lines: Iterable[bytes]) -> list[Need]:
    """The needs of the tasks with these lines, from the first line of a task file."""
    found, offset = list[Need](), 0
    for line in lines:
        head = line[:_HEAD_BYTES].partition(b'"runs":')[0]
        numbers = {name: parse_json(match[1]) for name, pattern in _NUMBER.items() if (match := pattern.search(head))}
        found.append(Need(offset, **numbers))
        offset += len(line)
    return found


def to_bytes(needs: Sequence[Need]) -> bytes:
    """The content of the file: a list for each field."""
    columns = {name: [getattr(need, name) for need in needs] for name in _NAMES}
    return json.dumps({"schema": SCHEMA_VERSION, **columns}, separators=(",", ":")).encode() + b"\n"


def read_needs(campaign: Campaign, submission: int) -> list[Need]:
    """The needs of each task of a submission. If the file is missing or damaged, the task file is read instead.

    Raises:
        OSError: the task file cannot be read.
    """
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        record = parse_json(read_regular(campaign.needs(submission)))
        columns = [record[name] for name in _NAMES]
        if record["schema"] == SCHEMA_VERSION and all(isinstance(offset, int) for offset in columns[0]):
            return [Need(*values) for values in zip(*columns, strict=True)]
    with open_regular(campaign.tasks(submission)) as file:
        return needs_of(file)
