"""Nodes that end task after task within seconds, because they do not have the campaign's folder or Python, for example."""

from collections import Counter
from datetime import datetime, timedelta

from hpc.planning.retrying import Reason
from hpc.state.known import Known

_SWALLOWED = (Reason.RAISED, Reason.CLUSTER, Reason.UNKNOWN)
_LEAST = 2  # tasks; one may have had bad luck
_FORGOTTEN_AFTER = timedelta(days=1)


def suspects(known: Known, now: datetime) -> dict[str, int]:
    """Node -> how many tasks ended there without having begun, within a day, while tasks on other nodes recorded runs."""
    begun = known.recorded.at_hand  # a task's first act is its shard
    jobs = {(number, one.job) for number, attempts in known.recorded.attempts.items() for one in attempts}
    swallowed = Counter(
        outcome.node
        for each in known.submitted
        if each.submission.created and now - datetime.fromisoformat(each.submission.created) < _FORGOTTEN_AFTER
        for outcome in each.ended
        if outcome.node and outcome.reason in _SWALLOWED
        if (each.submission.number, outcome.job) not in jobs
        if each.submission.is_claimed or (each.submission.number, outcome.task) not in begun
    )
    good = {source.attributes["host"].split(".")[0] for source in known.recorded.sources if len(source.records)}
    return {node: n for node, n in sorted(swallowed.items()) if n >= _LEAST and good - {node.split(".")[0]}}
