"""What is done, what is at work, what is missing. A run is done only when a readable shard says so."""

from collections.abc import Collection
from dataclasses import dataclass

from hpc import submissions
from hpc.submissions import Submission
from jobs.campaign import Campaign
from jobs.shard import FINISHED, ShardError, read_shard


@dataclass(frozen=True)
class Recorded:
    """done: run_ids with a finished record; failed: run_id -> message of those with a failure's record only."""

    done: set[str]
    failed: dict[str, str]
    unreadable: list[str]


def recorded(campaign: Campaign) -> Recorded:
    """Read all shards."""
    done, failed, unreadable = set(), {}, []
    for path in campaign.shard_paths():
        try:
            runs = read_shard(path).runs
        except ShardError as error:
            unreadable.append(str(error))
            continue
        for run_id, status, message in zip(runs["run_id"], runs["status"], runs["message"], strict=True):
            if status.decode() in FINISHED:
                done.add(run_id.decode())
            else:
                failed[run_id.decode()] = message.decode()
    return Recorded(done, {run_id: message for run_id, message in failed.items() if run_id not in done}, unreadable)


@dataclass(frozen=True)
class State:
    """A grid's runs: `missing` (in the grid's order) are neither done nor left to a submission `at_work`."""

    missing: list[str]
    n_done: int
    at_work: dict[Submission, int]  # a submission -> how many of the runs that are not done are left to it
    unreadable: list[str]


def state(campaign: Campaign, run_ids: Collection[str], abandoned: Collection[int] = ()) -> State:
    """The state of the runs `run_ids`.

    Args:
        abandoned: submissions that are to be taken as ended, whatever their processes say.
    """
    found = recorded(campaign)
    missing = [run_id for run_id in run_ids if run_id not in found.done]
    n_done, at_work = len(run_ids) - len(missing), {}
    for submission, its_runs in submissions.active(campaign).items():
        if submission.number not in abandoned:
            left = [run_id for run_id in missing if run_id not in its_runs]
            at_work[submission], missing = len(missing) - len(left), left
    return State(missing, n_done, at_work, found.unreadable)
