"""outcomes.jsonl of a submission: how those tasks ended that left runs without a record.

The scheduler says how a task ended; the task's shard says which run was training. Both are written to the file once, and every
later submit reads it.
"""

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

from hpc.planning.retrying import Outcome, Reason
from jobs.campaign import Campaign
from jobs.files import publish
from jobs.manifest import refuse_newer
from jobs.reading import brief, made, parse_json, read_regular

SCHEMA_VERSION = 2  # version 1 had no version number and no reason, only the scheduler's own term, as `state`


def read(campaign: Campaign, number: int, reason_of: Callable[[str], Reason]) -> tuple[list[Outcome], list[str]]:
    """The outcomes of one submission, and a line for each one that cannot be read (the scheduler is asked for it again).

    Args:
        reason_of: translates the scheduler's term in files of version 1.

    Raises:
        NewerError: a newer version wrote the file.
    """
    path, found, problems = campaign.outcomes(number), list[Outcome](), list[str]()
    try:
        lines = read_regular(path).splitlines() if os.path.lexists(path) else []
        problems += [f"{path}: is empty; remove it"] * (not lines and os.path.lexists(path))
    except OSError as error:
        return [], [f"{path}: cannot be read ({brief(error)})"]
    for place, line in enumerate(lines, start=1):
        try:
            found.append(_outcome(path, line, reason_of))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            problems.append(f"{path}: line {place}: cannot be read ({brief(error)}); it is left out")
    return found, problems


def write(campaign: Campaign, number: int, outcomes: Iterable[Outcome]) -> None:
    """Replace the outcomes of one submission."""
    records = ({"schema": SCHEMA_VERSION, **asdict(outcome), "reason": outcome.reason.value} for outcome in outcomes)
    publish(campaign.outcomes(number), [json.dumps(record).encode() + b"\n" for record in records])


def _outcome(path: Path, line: bytes, reason_of: Callable[[str], Reason]) -> Outcome:
    record = parse_json(line)
    refuse_newer(path, record.get("schema", 1), SCHEMA_VERSION)
    said = record["said"] if "said" in record else record["state"]
    reason = Reason(record["reason"]) if "reason" in record else reason_of(said)
    return made(Outcome, {**record, "said": said, "reason": reason})
