"""Nodes on which every task ends within seconds, for example because the campaign's folder or Python is missing there."""

from collections import Counter
from datetime import datetime, timedelta

from hpc.planning.retrying import Reason
from hpc.state.known import Known

_SWALLOWED = (Reason.RAISED, Reason.CLUSTER, Reason.UNKNOWN)
_LEAST = 2  # number of tasks; one alone may be bad luck
_FORGOTTEN_AFTER = timedelta(days=1)


def suspects(known: Known, now: datetime) -> dict[str, int]:
    """Node -> number of tasks that ended there before they began, within a day in which other nodes recorded runs."""
    begun = known.recorded.at_hand  # a task that begins first writes a shard
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
