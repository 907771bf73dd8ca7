"""The task file of a submission: one task a line, with its runs in full, so that a node reads only its own line."""

import itertools
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jobs.campaign import Campaign
from jobs.manifest import UNREADABLE, ManifestError, json_line, refuse_newer, run_records
from noisy.runs import ID, Runs
from noisy.spec import Execution, RunSpec

SCHEMA_VERSION = 2  # files of schema 1 have no number, and the code_commit of the campaign, not of the submission
_RUN_ID = re.compile(rb'\{"run_id":"([0-9a-f]{16})",')
_SCHEMA = re.compile(rb'\{"task":\d+,"schema":(\d+),')


@dataclass(frozen=True)
class TaskPlace:
    """Where a task's line is on disk, small enough to be sent anywhere. offset_bytes: of the line in the task file."""

    campaign_dir: str
    submission: int
    index: int
    offset_bytes: int

    @property
    def campaign(self) -> Campaign:
        """The campaign of the task."""
        return Campaign(Path(self.campaign_dir))


@dataclass(frozen=True)
class Task:
    """The runs that one worker executes, and how.

    code_commit: of the code that submitted it, empty in a file of schema 1; data_dir: absolute.
    """

    index: int
    campaign: str
    code_commit: str
    data_dir: str
    execution: Execution
    runs: Runs

    def line(self) -> bytes:
        """The task's line in the task file."""
        fields = {
            "task": self.index,
            "schema": SCHEMA_VERSION,
            "campaign": self.campaign,
            "code_commit": self.code_commit,
            "data_dir": self.data_dir,
            "execution": asdict(self.execution),
        }
        return json_line(fields)[:-2] + b',"runs":[' + b",".join(run_records(self.runs)) + b"]}\n"


@dataclass(frozen=True, eq=False)
class TaskRuns:
    """Which runs are in which task. run_id: S16 (n,); task: int32 (n,), ascending; n_tasks: tasks in all."""

    run_id: np.ndarray
    task: np.ndarray
    n_tasks: int


def task_places(campaign: Campaign, submission: int) -> list[TaskPlace]:
    """The places of a submission's tasks, in order."""
    with campaign.tasks(submission).open("rb") as lines:
        offsets = [0, *itertools.accumulate(map(len, lines))]
    folder = str(campaign.folder.resolve())
    return [TaskPlace(folder, submission, index, offset) for index, offset in enumerate(offsets[:-1])]


def read_task(path: Path, index: int, offset_bytes: int) -> Task:
    """Read one task, only its line, which begins at `offset_bytes`.

    Raises:
        ManifestError: there is another task, a record does not fit its name, or a newer version wrote it.
    """
    where = f"{path}: task {index} at byte {offset_bytes}"
    try:
        with path.open("rb") as file:
            file.seek(offset_bytes)
            line = file.readline()
        _check_schema(path, line)
        fields = json.loads(line)
        task, changed = _task(fields)
    except UNREADABLE as error:
        raise ManifestError(f"{where}: cannot be read ({error}); submit again") from error
    if task.index != index or changed:
        raise ManifestError(f"{where}: found task {task.index}, with changed runs {changed}; submit again")
    return task


def read_task_runs(path: Path) -> TaskRuns:
    """The run_ids of every task of a task file.

    Raises:
        ManifestError: the file cannot be read, or a newer version wrote it.
    """
    try:
        with path.open("rb") as file:
            lines = file.readlines()
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror})") from error
    if not all(line.startswith(b'{"task":') and line.endswith(b"]}\n") for line in lines):
        raise ManifestError(f"{path}: not a task file")
    _check_schema(path, lines[0] if lines else b"")
    ids = [_RUN_ID.findall(line) for line in lines]
    task = np.repeat(np.arange(len(ids), dtype=np.int32), [len(one) for one in ids])
    return TaskRuns(np.array([run_id for one in ids for run_id in one], ID), task, len(ids))


def read_cancelled(campaign: Campaign, submission: int) -> set[str]:
    """The run_ids of a submission that the user has cancelled; its tasks skip them.

    Each cancel writes its own file, so that two at the same time do not overwrite each other.
    """
    return {run_id for path in campaign.cancelled(submission) for run_id in path.read_text(errors="replace").split()}


def _check_schema(path: Path, line: bytes) -> None:
    match = _SCHEMA.match(line)
    refuse_newer(path, int(match[1]) if match else 1, SCHEMA_VERSION)


def _task(fields: dict[str, Any]) -> tuple[Task, list[str]]:
    """The task, and the run_ids of records that do not fit their names."""
    runs = Runs.of(RunSpec(**record["spec"]) for record in fields["runs"])
    changed = [r["run_id"] for r, run_id in zip(fields["runs"], runs.ids(), strict=True) if r["run_id"] != run_id]
    commit, execution = fields["code_commit"] if "schema" in fields else "", Execution(**fields["execution"])
    task = Task(fields["task"], fields["campaign"], commit, fields["data_dir"], execution, runs)
    return task, changed
