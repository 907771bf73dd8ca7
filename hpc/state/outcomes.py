"""outcomes.jsonl of a submission: how tasks ended that left runs without a record.

The scheduler says how a task ended; the task's shard says which run was training. Both together are written once, and are read
by every later submit.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from hpc.planning.retrying import Outcome, Reason
from jobs.campaign import Campaign
from jobs.files import publish
from jobs.manifest import UNREADABLE, ManifestError, refuse_newer

SCHEMA_VERSION = 2  # 1 had no number and no reason, only the scheduler's own word, as `state`


def read(campaign: Campaign, number: int, reason_of: Callable[[str], Reason]) -> list[Outcome]:
    """The outcomes written of one submission.

    Args:
        reason_of: translates the scheduler's word, for files of version 1.

    Raises:
        ManifestError: the file cannot be read, or a newer version wrote it.
    """
    path = campaign.outcomes(number)
    try:
        lines = path.read_text().splitlines() if path.exists() else []
        records = [json.loads(line) for line in lines]
        refuse_newer(path, max((record.get("schema", 1) for record in records), default=1), SCHEMA_VERSION)
        return [_outcome(record, reason_of) for record in records]
    except UNREADABLE as error:
        raise ManifestError(f"{path}: cannot be read ({error}); remove it, and its tasks are asked for again") from error


def write(campaign: Campaign, number: int, outcomes: Iterable[Outcome]) -> None:
    """Replace the outcomes of one submission."""
    records = ({"schema": SCHEMA_VERSION, **asdict(outcome), "reason": outcome.reason.value} for outcome in outcomes)
    publish(campaign.outcomes(number), [json.dumps(record).encode() + b"\n" for record in records])


def _outcome(record: dict[str, Any], reason_of: Callable[[str], Reason]) -> Outcome:
    said = record["said"] if "said" in record else record["state"]
    reason = Reason(record["reason"]) if "reason" in record else reason_of(said)
    task, run_id, node, job, mem_mb, time_limit_min = (
        record[name] for name in ("task", "run_id", "node", "job", "mem_mb", "time_limit_min")
    )
    return Outcome(task, run_id, reason, said, node, job, mem_mb, time_limit_min)
