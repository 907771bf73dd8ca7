"""A campaign of invented numbers, with a redo that has not recorded anything yet."""

from dataclasses import replace
from pathlib import Path

from hpc.planning.tasks import plan
from hpc.state import submissions
from hpc.state.submissions import Submission
from jobs.campaign import Campaign
from jobs.image import Record
from jobs.manifest import write_manifest
from jobs.shard import ShardWriter
from jobs.taskfile import Task
from noisy.spec import Execution, RunSpec
from tests.records import ATTRIBUTES, record
from tests.specs import runs, spec

RUNS = [spec(repeat=repeat) for repeat in range(6)]
ALL = runs(*RUNS)


def campaign_with_redo(folder: Path) -> Campaign:
    """Six runs, done by submission 1 in two shards; submission 2, a redo of five of them, has ended without a record."""
    made = Campaign(folder)
    made.submissions.mkdir(parents=True)
    made.shards.mkdir()
    write_manifest(made.manifest, ALL, "abc", campaign="c0ffee")
    submit(made, 1, RUNS)
    write(made, 1, [record(run, 300 + i) for i, run in enumerate(RUNS[:4])])
    write(made, 1, [record(run, 310) for run in RUNS[4:]], task=1)
    submit(made, 2, RUNS[:5], redo=2)
    return made


def submit(campaign: Campaign, number: int, some: list[RunSpec], redo: int = 0, has_ended: bool = True) -> None:
    planned = plan(runs(*some), 1, Execution())
    submission = Submission.by_this_process(number, "c0ffee", "local", planned, redo=redo, asked="p=0.5" if redo else "")
    owner = submission.process if not has_ended else replace(submission.process, start_ticks=1)
    submissions.claim(
        campaign, replace(submission, process=owner), [Task(0, "c0ffee", "abc", "/data", Execution(), runs(*some))]
    )
    if has_ended:
        submissions.end(campaign, submissions.read(campaign, number), is_interrupted=True)


def write(campaign: Campaign, number: int, records: list[Record], task: int = 0, **attributes: object) -> None:
    writer = ShardWriter(campaign.shards, number, task, 0, {**ATTRIBUTES, **attributes})
    writer.begin("")
    for each in records:
        writer.append(each)
