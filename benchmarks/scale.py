"""What planning, watching and merging cost at 10^3 to 10^6 runs: `python -m benchmarks.scale`.

For each size a campaign is planned and written, shards of 100 invented records each (as large as those of MNIST) are laid
beside it, and status, merge and report look at it, each in a process of its own. The merge comes again with nothing new, and
after the last 100 shards (half of them, if there are few) have come.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from analysis.merge import merge
from hpc.execution.choice import SECTIONS
from hpc.planning.tasks import plan
from hpc.request.grid import load_grid
from hpc.state import submissions
from hpc.state.submissions import Submission
from jobs.campaign import Campaign
from jobs.image import Record
from jobs.manifest import read_manifest, write_manifest
from jobs.shard import ShardWriter
from jobs.taskfile import Task, read_task_runs

RUNS_PER_SHARD = 100
N_NEW_SHARDS = 100
N_EPOCHS, N_TEST = 15, 10_000
N_CELLS = 100
GRID = """
dataset: mnist
activations: [relu, tanh]
ps: [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
repeats: {repeats}
learning_rate: [0.001, 0.0003, 0.0001, 0.00003, 0.00001]
epochs: 15
"""


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description="Cost of planning, watching and merging.")
    parser.add_argument("--runs", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--dir", type=Path, help="where campaigns are made: 5 GB for 10^6 runs (default: a temporary folder)")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        STEPS[options.step](options.dir)
        return
    print("| runs | step | CPU s | wall s | peak MB | CPU us a run |\n|---|---|---|---|---|---|", flush=True)
    for n_runs in options.runs:
        folder = Path(tempfile.mkdtemp(dir=options.dir))
        try:
            _measure(n_runs, folder)
        finally:
            shutil.rmtree(folder)


def _measure(n_runs: int, folder: Path) -> None:
    (folder / "grid.yaml").write_text(GRID.format(repeats=n_runs // N_CELLS))
    dry_run = ["hpc.submit", "--grid", folder / "grid.yaml", "--output-dir", folder, "--executor", "local", "--dry-run"]
    steps = {name: ["benchmarks.scale", "--step", name, "--dir", folder] for name in STEPS}
    _time(n_runs, "submit --dry-run", dry_run)
    _time(n_runs, "plan and write", steps["write"])
    _run(steps["first shards"])
    _time(n_runs, "merge", steps["merge"])
    _time(n_runs, "merge, nothing new", steps["merge"])
    _run(steps["last shards"])
    _time(n_runs, "merge, new shards", steps["merge"])
    _time(n_runs, "status", ["hpc.status", "--output-dir", folder])
    _time(n_runs, "status, nothing new", ["hpc.status", "--output-dir", folder])
    _time(n_runs, "report", ["analysis.report", "--output-dir", folder])


def _time(n_runs: int, name: str, command: list) -> None:
    started_s = time.monotonic()
    usage = _run(command)
    cpu_s = usage.ru_utime + usage.ru_stime
    figures = (
        f"{cpu_s:.1f} | {time.monotonic() - started_s:.1f} | {usage.ru_maxrss * 1024 / 1e6:.0f} | {cpu_s / n_runs * 1e6:.0f}"
    )
    print(f"| {n_runs:,} | {name} | {figures} |", flush=True)


def _run(command: list) -> "os.struct_rusage":
    process = subprocess.Popen([sys.executable, "-m", *map(str, command)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command}: status {status}")
    return usage


def _write(folder: Path) -> None:
    """What a submit does between the state and the workers."""
    grid, campaign = load_grid(folder / "grid.yaml", SECTIONS), Campaign(folder)
    runs = grid.runs()
    planned = plan(runs, 80, grid.execution, runs_per_task=RUNS_PER_SHARD)
    campaign.shards.mkdir()
    campaign.submissions.mkdir()
    header = write_manifest(campaign.manifest, runs, "none")
    submission = Submission.by_this_process(1, header.campaign, "local", planned)
    tasks = (Task(i, header.campaign, "none", "data", grid.execution, task.runs) for i, task in enumerate(planned.tasks))
    submissions.claim(campaign, submission, tasks)


def _write_shards(folder: Path, are_last: bool) -> None:
    """The shards of the last N_NEW_SHARDS tasks (of half of them, if there are few), or of those before."""
    campaign = Campaign(folder)
    manifest = read_manifest(campaign.manifest)
    tasks = read_task_runs(campaign.tasks(1))
    n_first = tasks.n_tasks - min(N_NEW_SHARDS, tasks.n_tasks // 2)
    texts, places = list(manifest.runs.texts()), manifest.runs.places_of(tasks.run_id)
    attributes = {
        name: "as long as usual" for name in ("code_commit", "host", "cpu", "device", "versions", "data_digest", "job")
    }
    chance = np.random.default_rng(0)
    for task in range(n_first, tasks.n_tasks) if are_last else range(n_first):
        writer = ShardWriter(
            campaign.shards, 1, task, 0, {**attributes, "campaign": manifest.header.campaign, "cpu_threads": 1}
        )
        its_places = places[slice(*np.searchsorted(tasks.task, [task, task + 1]))]
        its_runs = ((manifest.runs.run_id[place].decode(), texts[place]) for place in its_places)
        writer._publish([_record(run_id, text, chance) for run_id, text in its_runs], "")


def _record(run_id: str, text: str, chance: np.random.Generator) -> Record:
    right = chance.integers(256, size=-(-N_TEST // 8), dtype=np.uint8)
    n_correct = int(np.unpackbits(right).sum())
    numbers = {
        "test_loss": 0.7,
        "n_correct": n_correct,
        "test_accuracy": n_correct / N_TEST,
        "n_test": N_TEST,
        "n_parameters": 10**6,
    }
    usage = {"wall_s": 60.0, "cpu_s": 60.0, "peak_mem_mb": 500.0}
    return Record(run_id, text, "ok", **numbers, **usage, history=chance.random((3, N_EPOCHS)), correct=right)


STEPS = {
    "write": _write,
    "first shards": lambda folder: _write_shards(folder, are_last=False),
    "last shards": lambda folder: _write_shards(folder, are_last=True),
    "merge": lambda folder: merge(Campaign(folder), folder / "results.h5"),
}


if __name__ == "__main__":
    main()
