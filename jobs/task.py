"""What a worker does: for each run of its task that is not yet done, train it and append the result.

python -m jobs.task CAMPAIGN_DIR SUBMISSION TASK OFFSET_BYTES [--attempt N] [--lifeline]
"""

import argparse
import os
import threading
import traceback
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jobs.campaign import Campaign, shard_prefix
from jobs.manifest import Task, read_task
from jobs.provenance import code_commit, machine
from jobs.shard import FINISHED, Record, ShardError, ShardWriter, read_shard
from noisy.data import Data, load
from noisy.spec import RunSpec

_MESSAGE_LIMIT = 2000  # characters of a failure's message that are kept; the log has all of it


@dataclass(frozen=True)
class ArrayTask:
    """One task, small enough to be sent anywhere: what it executes is on disk. `offset_bytes`: of its line in the task file."""

    campaign_dir: str
    submission: int
    index: int
    offset_bytes: int
    attempt: int = 0

    def __call__(self) -> None:
        """Execute what is not yet done.

        Raises:
            ManifestError, DataError: the task or its data set cannot be read.
            OSError: results cannot be kept (disk full, ...); what was kept before stays.
        """
        campaign = Campaign(Path(self.campaign_dir))
        task = read_task(campaign.tasks(self.submission), self.index, self.offset_bytes)
        to_do = self._to_do(campaign, task)
        print(f"task {self.index} attempt {self.attempt}: {len(to_do)} of {len(task.runs)} runs to do", flush=True)
        if not to_do:
            return
        data = load(task.runs[0].dataset, task.data_dir)
        writer = ShardWriter(campaign.shards, self.submission, self.index, self.attempt, _attributes(task, data))
        writer.start(to_do[0].run_id)
        for number, run in enumerate(to_do, start=1):
            record = execute(run, data, task)
            writer.append(record, current_run=to_do[number].run_id if number < len(to_do) else "")
            print(f"{number}/{len(to_do)} {_summary(run, record)}", flush=True)

    def _to_do(self, campaign: Campaign, task: Task) -> list[RunSpec]:
        """Runs that no earlier attempt finished; last those at which one was killed: if they kill again, the rest is done."""
        done, suspects = set(), set()
        for path in campaign.shard_paths(shard_prefix(self.submission, self.index)):
            try:
                shard = read_shard(path)
            except ShardError as error:
                print(f"warning: {error}; its runs are done again", flush=True)
                continue
            done |= {record["run_id"].decode() for record in shard.runs if record["status"].decode() in FINISHED}
            suspects.add(shard.attributes["current_run"])
        return sorted((run for run in task.runs if run.run_id not in done), key=lambda run: run.run_id in suspects)


def execute(run: RunSpec, data: Data, task: Task) -> Record:
    """Train one run; whatever it raises becomes a record of its failure, and the traceback goes to the log."""
    from noisy.training import train  # here, not above: who submits a task must not load torch

    run_id, text = run.run_id, run.canonical_json()
    try:
        result = train(run, data, task.execution)
    except Exception as error:
        traceback.print_exc()
        return Record(run_id, text, status="failed", message=f"{type(error).__name__}: {error}"[:_MESSAGE_LIMIT])
    last = np.flatnonzero(~np.isnan(result.test_accuracy))[-1]  # of a diverged run: the epoch in which it did
    return Record(
        run_id,
        text,
        result.status,
        test_accuracy=result.n_correct / result.n_test,
        test_loss=result.test_loss[last],
        n_correct=result.n_correct,
        n_test=result.n_test,
        n_parameters=result.n_parameters,
        wall_s=result.usage.wall_s,
        cpu_s=result.usage.cpu_s,
        peak_mem_mb=result.usage.peak_mem_mb,
        history=np.stack([result.train_loss, result.test_loss, result.test_accuracy]),
        correct=result.correct,
    )


def _summary(run: RunSpec, record: Record) -> str:
    found = record.message if record.status == "failed" else f"accuracy {record.test_accuracy:.4f}, {record.cpu_s:.1f} CPU s"
    return f"{run.run_id} {run.model_type} {run.activation} p={run.p:g} repeat {run.repeat}: {record.status}, {found}"


def _attributes(task: Task, data: Data) -> dict[str, str | int]:
    commit = code_commit()
    if commit != task.code_commit:
        print(f"warning: this code is commit {commit}, the campaign's is {task.code_commit}", flush=True)
    device = "cuda" if task.execution.use_cuda else "cpu"
    own = {"campaign": task.campaign, "code_commit": commit, "data_digest": data.digest(), "device": device}
    return {**own, "cpu_threads": task.execution.cpu_threads, **machine()}


def _die_with_parent() -> None:
    """Standard input is a pipe whose other end only the parent holds: it ends when the parent does, however that dies."""
    while os.read(0, 1):  # not sys.stdin.read(): its lock would hold up the interpreter's end
        pass
    os._exit(1)


def main() -> None:
    """The command line above."""
    parser = argparse.ArgumentParser(prog="python -m jobs.task", description="Execute one task of a submission.")
    parser.add_argument("campaign_dir")
    for name in ("submission", "index", "offset_bytes"):
        parser.add_argument(name, type=int)
    parser.add_argument("--attempt", type=int, default=0)
    parser.add_argument("--lifeline", action="store_true", help="end when standard input ends")
    arguments = vars(parser.parse_args())
    if arguments.pop("lifeline"):
        threading.Thread(target=_die_with_parent, daemon=True).start()
    ArrayTask(**arguments)()


if __name__ == "__main__":
    main()
