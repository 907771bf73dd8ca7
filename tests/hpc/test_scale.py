"""Planning and watching: work in proportion to the number of runs. (`python -m benchmarks.scale` shows seconds, up to 10^6.)"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hpc.execution.choice import EXECUTORS
from hpc.planning.tasks import plan
from hpc.request.grid import Grid, parse_grid
from hpc.request.prepare import campaign_id
from hpc.state import submissions
from hpc.state.runs import state
from hpc.state.submissions import Submission
from jobs.campaign import Campaign
from jobs.manifest import read_manifest, write_manifest
from jobs.shard import ShardWriter
from jobs.taskfile import Task
from tests.calls import n_calls
from tests.records import ATTRIBUTES, record


def grid(repeats: int) -> Grid:
    return parse_grid(f"{{dataset: digits, repeats: {repeats}}}")  # 21 cells


def write(campaign: Campaign, grid: Grid) -> None:
    """What a submit writes: the manifest, and a submission with its tasks of 10 runs."""
    runs = grid.runs()
    planned = plan(runs, 80, grid.execution, runs_per_task=10)
    campaign.submissions.mkdir(parents=True)
    header = write_manifest(campaign.manifest, runs, "abc", campaign="c0ffee")
    tasks = (Task(i, header.campaign, "abc", "data", grid.execution, task.runs) for i, task in enumerate(planned.tasks))
    submission = Submission.by_this_process(1, header.campaign, "local", planned)
    submissions.claim(campaign, submission, tasks)


def look(campaign: Campaign) -> None:
    """What status reads."""
    found = state(campaign, campaign_id(campaign), read_manifest(campaign.manifest).runs, EXECUTORS)
    assert found.count("done") == len(found.runs)


@pytest.fixture
def campaigns(tmp_path: Path) -> Iterator[Campaign]:
    return (Campaign(tmp_path / str(i)) for i in range(3))


def test_planning_and_writing(campaigns: Iterator[Campaign]) -> None:
    write(next(campaigns), grid(1))  # what is done once in a process
    small, large = (n_calls(lambda c=c, n=n: write(c, grid(n))) for c, n in zip(campaigns, (10, 80), strict=False))
    assert large < 8 * small


def test_watching(campaigns: Iterator[Campaign]) -> None:
    counts = []
    for campaign, repeats in zip(campaigns, (1, 5, 20), strict=True):
        write(campaign, grid(repeats))
        campaign.shards.mkdir()
        runs = list(read_manifest(campaign.manifest).runs)
        for task, first in enumerate(range(0, len(runs), 10)):
            records = [record(run) for run in runs[first : first + 10]]
            ShardWriter(campaign.shards, 1, task, 0, ATTRIBUTES)._publish(records, "")
        counts.append(n_calls(lambda campaign=campaign: look(campaign)))
    assert counts[2] < 4 * counts[1]
