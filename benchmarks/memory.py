"""Peak memory and start-up of a trainer in a process of its own: `python -m benchmarks.memory TRAINER SPEC DATA_DIR`."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from noisy.spec import RunSpec, spec_of


class Footprint(NamedTuple):
    """torch_mb: resident set after a bare `import torch`; peak_mb: its peak until the run was done; both in 10**6 bytes.

    torch_s: CPU seconds from the start to the end of `import torch`; ready_s: to the beginning of training.
    """

    torch_mb: float
    peak_mb: float
    torch_s: float
    ready_s: float


def footprint(trainer: str, spec: RunSpec, data_dir: str) -> Footprint:
    """Run `trainer`, `production` or `reference`, in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.memory", trainer, spec.canonical_json(), data_dir]
    root = Path(__file__).resolve().parent.parent
    return Footprint(*json.loads(subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout))


def _measure(trainer: str, spec: RunSpec, data_dir: str) -> Footprint:
    import torch

    torch_s, torch_mb = time.process_time(), _resident_mb("VmRSS")
    if trainer == "production":
        from jobs import task  # noqa: F401  # what a worker loads
        from noisy import data
        from noisy.training import train

        mapped = data.load(spec.dataset, data_dir)
        mapped.digest()  # as a worker does; then all of the data set counts as resident
        ready_s = time.process_time()
        train(spec, mapped)
    else:
        from benchmarks import reference

        ready_s = time.process_time()
        reference.train_and_evaluate(spec, data_dir)
    assert torch.get_num_threads() == 1
    return Footprint(torch_mb, _resident_mb("VmHWM"), torch_s, ready_s)


def _resident_mb(field: str) -> float:
    """A field of /proc/self/status (proc(5)) in 10**6 bytes."""
    return int(Path("/proc/self/status").read_text().split(f"{field}:")[1].split()[0]) * 1024 / 1e6


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1], spec_of(sys.argv[2]), sys.argv[3])))
