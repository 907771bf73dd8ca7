"""The task file of a submission: one task a line, with its runs in full, so that a node reads its own line and no more."""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jobs.campaign import Campaign
from jobs.manifest import ManifestError, json_line, run_record
from noisy.spec import Execution, RunSpec, run_id_of

_RUN_ID = re.compile(rb'\{"run_id":"([0-9a-f]{16})",')


@dataclass(frozen=True)
class Task:
    """What one worker executes: its runs in full (run_id -> canonical JSON), and how. data_dir is absolute."""

    index: int
    campaign: str
    code_commit: str
    data_dir: str
    execution: Execution
    runs: dict[str, str]

    def line(self) -> bytes:
        """The task's line in the task file."""
        fields = {
            "task": self.index,
            "campaign": self.campaign,
            "code_commit": self.code_commit,
            "data_dir": self.data_dir,
            "execution": asdict(self.execution),
        }
        runs = b",".join(map(run_record, self.runs.items()))
        return json_line(fields)[:-2] + b',"runs":[' + runs + b"]}\n"


def read_task(path: Path, index: int, offset_bytes: int) -> Task:
    """Read one task, whose line begins at `offset_bytes`, and no more of the file.

    Raises:
        ManifestError: there is another task, or a record does not fit its name.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset_bytes)
            record = json.loads(file.readline())
        task = _task(record)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ManifestError(f"{path}: no task {index} at byte {offset_bytes} ({error}); submit again") from error
    changed = [run_id for run_id, canonical in task.runs.items() if run_id_of(canonical) != run_id]
    if task.index != index or changed:
        raise ManifestError(
            f"{path}: task {task.index} at byte {offset_bytes}, where {index} should be; changed runs: {changed}; submit again"
        )
    return task


def read_task_run_ids(path: Path) -> list[list[str]]:
    """The run_ids of every task of a task file.

    Raises:
        ManifestError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            lines = file.readlines()
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror})") from error
    if not all(line.startswith(b'{"task":') and line.endswith(b"]}\n") for line in lines):
        raise ManifestError(f"{path}: not a task file")
    return [[run_id.decode() for run_id in _RUN_ID.findall(line)] for line in lines]


def read_cancelled(campaign: Campaign, submission: int) -> set[str]:
    """The run_ids that its user has cancelled of a submission: its tasks pass over them."""
    path = campaign.cancelled(submission)
    return set(path.read_text().split()) if path.exists() else set()


def _task(record: dict[str, Any]) -> Task:
    runs = {run["run_id"]: RunSpec(**run["spec"]).canonical_json() for run in record["runs"]}
    return Task(
        record["task"],
        record["campaign"],
        record["code_commit"],
        record["data_dir"],
        Execution(**record["execution"]),
        runs,
    )
