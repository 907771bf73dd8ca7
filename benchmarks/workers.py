"""What local workers cost beside their training: `python -m benchmarks.workers`.

Memory: PSS (proc(5), smaps_rollup), which counts each page by its share, so that the sum over processes is what they take
together. Sampled four times a second while all workers are at work at once on networks of the reliable campaign.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from hpc.execution.local import run_locally
from jobs.campaign import Campaign
from jobs.files import publish
from jobs.provenance import PROJECT_ROOT, machine
from jobs.taskfile import Task
from noisy import data
from noisy.runs import Runs
from noisy.spec import Execution, RunSpec

CASES: dict[str, dict[str, Any]] = {
    "MLP 1024-512-256": {"model_type": "mlp", "hidden_sizes": (1024, 512, 256), "batch_size": 512},
    "CNN": {"model_type": "cnn", "batch_size": 256},
}
AFRESH = "import sys; from jobs.task import ArrayTask; ArrayTask(sys.argv[1], 1, 0, 0)()"


class Memory(NamedTuple):
    """Of one process, in 10**6 bytes. pss_mb: its share; of which anon_mb: not of files; rss_mb: shared pages in full."""

    pss_mb: float
    anon_mb: float
    rss_mb: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workers", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--data-dir", default=os.environ.get("NOISY_DATA_DIR", "data"), help="holds MNIST/raw (default: %(default)s)")
    for name, default, of in (
        ("workers", 8, "at one time"),
        ("samples", 60_000, "training images an epoch"),
        ("epochs", 1, "of each run"),
        ("repeats", 5, "measurements of the start-up"),
    ):
        add(f"--{name}", type=int, default=default, help=f"{of}, at least 1 (default: %(default)s)")
    arguments = parser.parse_args()
    for name in ("workers", "samples", "epochs", "repeats"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name}: {getattr(arguments, name)}: allowed: an integer of at least 1")
    data.stage("mnist", arguments.data_dir)
    print(f"{machine()['cpu']}, {machine()['versions']}")
    print(f"MB of each of {arguments.workers} workers at work at once on MNIST, and of the process they are forked from")
    for name, fields in CASES.items():
        _print_memory(name, arguments, fields)
    _print_start_up(arguments)


def _print_memory(name: str, arguments: argparse.Namespace, fields: dict[str, Any]) -> None:
    seen: dict[int, list[Memory]] = defaultdict(list)
    parent: list[Memory] = []

    def sample() -> None:
        for pool in _children(os.getpid()):
            workers = _children(pool)
            memories = [memory for pid in [pool, *workers] if (memory := _memory(pid))]
            still_there = [pid for pid in workers if os.path.exists(f"/proc/{pid}/exe")]
            if len(memories) == 1 + len(still_there) == 1 + arguments.workers:  # fewer have larger shares of what is common
                parent.append(memories[0])
                for pid, memory in zip(workers, memories[1:], strict=True):
                    seen[pid].append(memory)

    with _campaign(arguments, arguments.workers, fields) as campaign:
        problems = run_locally(campaign, 1, arguments.workers, Execution(), sample)
    assert not problems, problems
    assert len(seen) == arguments.workers, "they were never all at work at once: try more --epochs"
    peaks = [max(memories) for memories in seen.values()]
    middle = [Memory(*(median(column) for column in zip(*memories, strict=True))) for memories in (peaks, parent)]
    print(f"\n{name}, batch {fields['batch_size']}; n = {len(peaks)} workers, {len(parent)} samples of each")
    own = f"{middle[0].anon_mb:.0f} of no file; resident {middle[0].rss_mb:.0f}"
    print(f"  a worker's peak: PSS {middle[0].pss_mb:.0f} (largest {max(peaks).pss_mb:.0f}), of which {own}")
    print(f"  the parent: PSS {middle[1].pss_mb:.0f}, resident {middle[1].rss_mb:.0f}", flush=True)


def _print_start_up(arguments: argparse.Namespace) -> None:
    """CPU seconds of all that a worker does, on a run of one batch."""
    tiny = {"model_type": "mlp", "hidden_sizes": (16,), "batch_size": 16}
    arguments.samples, arguments.epochs = 16, 1
    seconds: dict[str, list[float]] = {"afresh": [], "forked": [], "parent": []}
    for _ in range(arguments.repeats):
        one_s, nine_s = (_cpu_s(_run_pool, arguments, n_tasks, tiny) for n_tasks in (1, 9))
        seconds["afresh"].append(_cpu_s(_run_afresh, arguments, tiny))
        seconds["forked"].append((nine_s - one_s) / 8)
        seconds["parent"].append(one_s - seconds["forked"][-1])
    afresh_s, forked_s, parent_s = map(median, seconds.values())
    print(f"\nCPU s of a worker with one run of one batch, medians of n = {arguments.repeats}: started afresh {afresh_s:.2f},")
    print(f"  forked {forked_s:.2f}; once for all workers, their parent {parent_s:.2f}")


def _run_pool(arguments: argparse.Namespace, n_tasks: int, fields: dict[str, Any]) -> None:
    with _campaign(arguments, n_tasks, fields) as campaign:
        assert not run_locally(campaign, 1, 1, Execution(), lambda: None)


def _run_afresh(arguments: argparse.Namespace, fields: dict[str, Any]) -> None:
    with _campaign(arguments, 1, fields) as campaign:
        command = [sys.executable, "-c", AFRESH, str(campaign.folder)]
        threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        subprocess.run(command, cwd=PROJECT_ROOT, env={**os.environ, **threads}, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def _campaign(arguments: argparse.Namespace, n_tasks: int, fields: dict[str, Any]) -> Iterator[Campaign]:
    """A submission of tasks with one run each."""
    constants = {"p": 0.3, "seed": 1, "learning_rate": 1e-3, "weight_decay": 0.0, "max_train_samples": arguments.samples}
    lines = []
    for index in range(n_tasks):
        run = RunSpec("mnist", "relu", repeat=index, epochs=arguments.epochs, **constants, **fields)
        place = str(Path(arguments.data_dir).resolve())
        lines.append(Task(index, "benchmark", "", place, Execution(), Runs.of([run])).line())
    with tempfile.TemporaryDirectory(prefix="workers-") as folder:
        campaign = Campaign(Path(folder))
        campaign.log(1, 0).parent.mkdir(parents=True)
        campaign.shards.mkdir()
        publish(campaign.tasks(1), lines)
        yield campaign


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _memory(pid: int) -> Memory | None:
    """None if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return None
    of = {name: int(rest.split()[0]) * 1024 / 1e6 for name, _, rest in (line.partition(":") for line in lines)}
    return Memory(of["Pss"], of["Pss_Anon"], of["Rss"])


def _cpu_s(action: Callable[..., None], *arguments: object) -> float:
    """CPU seconds of the processes that an action starts, and of theirs."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    action(*arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
