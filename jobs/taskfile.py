"""The task file of a submission. Each line holds one task with all its runs, so a node reads only its own line."""

import contextlib
import itertools
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jobs.campaign import Campaign
from jobs.files import named
from jobs.manifest import ManifestError, json_line, refuse_newer, run_records
from jobs.reading import brief, open_regular, parse_json, read_regular
from noisy.runs import ID, Runs
from noisy.spec import Execution, RunSpec

# Files of schema 1 have no schema number, and the campaign's code_commit instead of the submission's; 2 had no times or memory.
SCHEMA_VERSION = 3
_RUN_ID = re.compile(rb'\{"run_id":"([0-9a-f]{16})",')
_SCHEMA = re.compile(rb'\{"task":\d+,"schema":(\d{1,9}),')
_ID = re.compile(rb"[0-9a-f]{16}")
_CAMPAIGN = re.compile(rb'"campaign":"([0-9a-zA-Z]+)"')
_HEAD_BYTES = 500  # bytes of a line in which the campaign's id is


@dataclass(frozen=True)
class TaskPlace:
    """The place of a task on disk. offset_bytes: where its line begins in the task file."""

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

    code_commit: that of the code that submitted it, empty in a file of schema 1; data_dir: an absolute path.
    expected_s, high_s, mem_mb: as in jobs.taking.Need.
    """

    index: int
    campaign: str
    code_commit: str
    data_dir: str
    execution: Execution
    runs: Runs
    expected_s: float | None = None
    high_s: float | None = None
    mem_mb: float | None = None

    def line(self) -> bytes:
        """The task's line in the task file."""
        fields = {
            "task": self.index,
            "schema": SCHEMA_VERSION,
            "campaign": self.campaign,
            "code_commit": self.code_commit,
            "data_dir": self.data_dir,
            "execution": asdict(self.execution),
            "expected_s": self.expected_s,
            "high_s": self.high_s,
            "mem_mb": self.mem_mb,
        }
        return json_line(fields)[:-2] + b',"runs":[' + b",".join(run_records(self.runs)) + b"]}\n"


@dataclass(frozen=True, eq=False)
class TaskRuns:
    """Which run is in which task. run_id: S16 (n,); task: int32 (n,), ascending; n_tasks: the number of tasks."""

    run_id: np.ndarray
    task: np.ndarray
    n_tasks: int

    @classmethod
    def none(cls) -> "TaskRuns":
        """A value without tasks."""
        return cls(np.empty(0, ID), np.empty(0, np.int32), 0)


def task_places(campaign: Campaign, submission: int) -> list[TaskPlace]:
    """The places of a submission's tasks, in order."""
    with campaign.tasks(submission).open("rb") as lines:
        offsets = [0, *itertools.accumulate(map(len, lines))]
    folder = str(campaign.folder.resolve())
    return [TaskPlace(folder, submission, index, offset) for index, offset in enumerate(offsets[:-1])]


def read_task(path: Path, index: int, offset_bytes: int) -> Task:
    """Read one task. Only its line is read, which begins at `offset_bytes`.

    Raises:
        ManifestError: another task is there, a record does not fit its id, or a newer version wrote it.
    """
    where = f"{path}: task {index} at byte {offset_bytes}"
    try:
        with open_regular(path) as file:
            file.seek(offset_bytes)
            line = file.readline()
        _check_schema(path, line)
        task, changed = _task(parse_json(line))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ManifestError(f"{where}: cannot be read ({brief(error)}); submit again") from error
    if task.index != index or changed:
        raise ManifestError(f"{where}: found task {task.index}, with changed runs {changed}; submit again")
    return task


def read_task_runs(path: Path, n_tasks: int | None = None) -> TaskRuns:
    """Read the run_ids of every task of a task file. n_tasks: the number of tasks that the file must have, if known.

    Raises:
        ManifestError: the file cannot be read, has fewer or more tasks, or a newer version wrote it.
    """
    try:
        with open_regular(path) as file:
            lines = file.readlines()
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({brief(error)})") from error
    if not all(line.startswith(b'{"task":') and line.endswith(b"]}\n") for line in lines):
        raise ManifestError(f"{path}: not a task file")
    _check_schema(path, lines[0] if lines else b"")
    if n_tasks not in (None, len(lines)):
        raise ManifestError(f"{path}: {len(lines)} tasks, where there were {n_tasks}")
    ids = [_RUN_ID.findall(line) for line in lines]
    task = np.repeat(np.arange(len(ids), dtype=np.int32), [len(one) for one in ids])
    return TaskRuns(np.array([run_id for one in ids for run_id in one], ID), task, len(ids))


def campaign_of(path: Path) -> str:
    """The id of the campaign of a task file; empty if it has no id, or if there is no file."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), named(path), open_regular(path) as file:
        if match := _CAMPAIGN.search(file.read(_HEAD_BYTES)):
            return match[1].decode()
    return ""


def read_cancelled(campaign: Campaign, submission: int) -> tuple[set[str], list[str]]:
    """The cancelled run_ids of a submission, which its tasks skip, and a line for each thing that cannot be read.

    Each cancel writes its own file, so that two at the same time do not overwrite each other.
    """
    words, problems = list[bytes](), list[str]()
    try:
        for path in campaign.cancelled(submission):
            try:
                found = read_regular(path).split()
                wrong = next((word for word in found if not _ID.fullmatch(word)), b"") if found else b"nothing"
                if wrong:
                    problems.append(f"{path}: must list run_ids, but has {wrong[:40]!r}, which is ignored")
                words += found
            except OSError as error:
                problems.append(f"{path}: cannot be read ({brief(error)}); the runs that it lists do not count as cancelled")
    except ManifestError as error:
        problems.append(str(error))
    return {word.decode() for word in words if _ID.fullmatch(word)}, problems


def _check_schema(path: Path, line: bytes) -> None:
    match = _SCHEMA.match(line)
    refuse_newer(path, int(match[1]) if match else 1, SCHEMA_VERSION)


def _task(fields: dict[str, Any]) -> tuple[Task, list[str]]:
    """The task, and the run_ids that do not fit their records."""
    runs = Runs.of(RunSpec(**record["spec"]) for record in fields["runs"])
    changed = [r["run_id"] for r, run_id in zip(fields["runs"], runs.ids(), strict=True) if r["run_id"] != run_id]
    commit, execution = fields["code_commit"] if "schema" in fields else "", Execution(**fields["execution"])
    for text in (fields["campaign"], commit, fields["data_dir"]):
        if not isinstance(text, str):
            raise TypeError(f"{text!r} is not text")
    numbers = [fields.get(name) for name in ("expected_s", "high_s", "mem_mb")]
    if not all(number is None or isinstance(number, (int, float)) for number in numbers):
        raise TypeError(f"{numbers!r} are not numbers")
    return Task(fields["task"], fields["campaign"], commit, fields["data_dir"], execution, runs, *numbers), changed
