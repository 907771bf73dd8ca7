"""One attempt of one task: it trains each run that has no record yet, and writes its record.

It knows nothing about schedulers and signals (jobs/worker.py does).
"""

import itertools
import time
from collections.abc import Collection, Iterator

import numpy as np

from jobs.campaign import shard_prefix
from jobs.execute import execute, groups_of
from jobs.extensions import load_copies
from jobs.footprint import import_mb, start_mb
from jobs.image import Record
from jobs.provenance import code_commit, job, machine
from jobs.recorded import Recorded
from jobs.shard import ShardWriter
from jobs.shift import Shift
from jobs.standings import BACK, DONE, LEFT
from jobs.taking import Need, Taker, is_left
from jobs.taskfile import Task, TaskPlace, read_cancelled, read_task
from jobs.tasklog import end_of_run, say
from noisy.data import Data, load
from noisy.loading import loading
from noisy.owndata import load_own
from noisy.runs import ID
from noisy.spec import RunSpec


def execute_task(place: TaskPlace, attempt: int, shift: Shift | None = None, given_back: Collection[int] = ()) -> str:
    """Execute the runs of a task that earlier attempts have not recorded.

    Args:
        attempt: counted from 0.
        shift: that of the worker; None: no limits.
        given_back: attempts that gave the task back, so they were not killed.

    Returns:
        DONE; BACK if there was not enough time for all runs; LEFT if some runs are left to a worker with more memory.

    Raises:
        ManifestError, DataError: the task, its data set or the copy of an own file cannot be read.
        RuntimeError: a GPU is asked for but there is none, or it no longer works; or an own file cannot be executed here.
        NotKept: results cannot be written; earlier results are untouched.
        SystemExit: the worker was told to end, and did not.
    """
    shift = shift or Shift()
    task = read_task(place.campaign.tasks(place.submission), place.index, place.offset_bytes)
    groups, n_left = _groups(task, _recorded(place, task.campaign), shift.taker, given_back)
    to_more_memory = f"; {n_left} left to a worker with more memory" if n_left else ""
    say(f"task {place.index} attempt {attempt}: {sum(map(len, groups))} of {len(task.runs)} runs to do{to_more_memory}")
    order = [run.run_id for group in groups for run in group]
    if not order:
        return LEFT if n_left else DONE
    with loading():
        import noisy.training  # noqa: F401  # imported here, because commands that submit tasks must not load torch
    from noisy.device import select_device

    import_mb()
    select_device(task.execution.use_cuda)
    load_copies(place.campaign, task.runs)
    first = groups[0][0]
    data = load_own(first, task.data_dir) if first.own_data else load(first.dataset, task.data_dir)
    writer = ShardWriter(place.campaign.shards, place.submission, place.index, attempt, _attributes(task, data, shift.taker))
    following, number = dict(itertools.pairwise([*order, ""])), 0
    for number, (run, record) in enumerate(_records(place, task, data, groups, writer, shift), start=1):
        if record:  # this also names the next run, so `begin` does not write the file again
            writer.append(record, current_run=following[run.run_id])
            shift.n_recorded += 1
        say(end_of_run(number, len(order), run.run_id, _summary(run, record) if record else "cancelled"))
    writer.begin("")
    if number < len(order):
        say(f"no time for the next run: {len(order) - number} given back")
        return BACK
    return LEFT if n_left else DONE


def _records(
    place: TaskPlace, task: Task, data: Data, groups: list[list[RunSpec]], writer: ShardWriter, shift: Shift
) -> Iterator[tuple[RunSpec, Record | None]]:
    """Yield each run with its record, or with None if the user cancelled it. Ends early if there is no time for the next runs.

    The shard always names the run that is being trained.
    """
    warned, need = set[str](), Need(place.offset_bytes, task.expected_s, task.high_s, task.mem_mb)
    for group in groups:
        cancelled, problems = read_cancelled(place.campaign, place.submission)
        for problem in sorted({*problems} - warned):  # this does not stop the task, and is not blamed on the next run
            say(f"warning: {problem}")
        warned |= {*problems}
        yield from ((run, None) for run in group if run.run_id in cancelled)
        if wanted := [run for run in group if run.run_id not in cancelled]:
            if not shift.begins(need, len(wanted)):
                return
            began_s = time.monotonic()
            writer.begin(wanted[0].run_id)
            for run, record in zip(wanted, execute(wanted, data, task.execution), strict=True):
                if shift.is_warned and record.status == "failed":  # by an error in the answer to the warning
                    raise SystemExit(1)
                yield run, record
            shift.ended(need, len(wanted), time.monotonic() - began_s)


def _recorded(place: TaskPlace, campaign_id: str) -> Recorded:
    """The records of earlier attempts of the task."""
    paths = place.campaign.shard_paths(shard_prefix(place.submission, place.index))
    found = Recorded(campaign_id).updated(paths)
    for problem in found.problems:
        say(f"warning: {problem}; runs without another record are done again")
    return found


def _groups(task: Task, recorded: Recorded, taker: Taker, given_back: Collection[int]) -> tuple[list[list[RunSpec]], int]:
    """Runs without a record, in groups that are trained together, and the number of runs that are left to others.

    Runs that were in training when an attempt ended come last, one at a time, because they may have killed it. If an attempt
    recorded nothing, its groups were too large for its memory or time, so each such attempt halves the groups.
    """
    sources = [source for source in recorded.sources if source.attributes.get("current_run") or len(source.records)]
    suspects = np.array([source.attributes["current_run"].encode() for source in sources], ID)
    with_record = {source.attributes["attempt"] for source in sources if len(source.records)}
    without_record = {source.attributes["attempt"] for source in sources} - with_record
    missing = task.runs.take(~np.isin(task.runs.run_id, recorded.records["run_id"]))
    left = [source.attributes["current_run"].encode() for source in sources if is_left(source.attributes, taker, given_back)]
    is_left_out = np.isin(missing.run_id, np.array(left, ID))
    is_suspect = np.isin(missing.run_id, suspects)
    size = max(1, task.execution.runs_together >> len(without_record))
    alone = missing.take(is_suspect & ~is_left_out)
    return groups_of(list(missing.take(~is_suspect)), size) + [[run] for run in alone], int(is_left_out.sum())


def _summary(run: RunSpec, record: Record) -> str:
    found = record.message if record.status == "failed" else f"accuracy {record.test_accuracy:.4f}, {record.cpu_s:.1f} CPU s"
    return f"{run.label}: {record.status}, {found}"


def _attributes(task: Task, data: Data, taker: Taker) -> dict[str, str | int]:
    """The attributes of a shard, which say where its records come from."""
    from noisy.device import device_name

    commit = code_commit()
    if task.code_commit not in ("", commit):
        say(f"warning: this code is commit {commit}; the task was submitted by commit {task.code_commit}")
    return {
        "campaign": task.campaign,
        "code_commit": commit,
        "submitted_commit": task.code_commit,
        "data_digest": data.digest(),
        "device": device_name(task.execution.use_cuda),
        "cpu_threads": task.execution.cpu_threads,
        "runs_together": task.execution.runs_together,
        **machine(),
        "job": job(),
        "import_mb": import_mb(),
        "start_mb": start_mb(),
        "job_restart": taker.restart,
        "job_mem_mb": taker.mem_mb,
    }


def __getattr__(name: str) -> type:
    """Provide `ArrayTask`, because jobs queued by an earlier version have pickles with that name."""
    if name == "ArrayTask":
        from jobs.earlier import ArrayTask

        return ArrayTask
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
