"""The reliable campaign's shape on the test cluster: 2,400 tiny trainings in 240 tasks that workers claim. By command only:

python -m pytest tests/slurm/scale.py --numprocesses=0 -s
"""

import os
import time
from pathlib import Path

import pandas as pd

from hpc.execution.choice import SECTIONS
from hpc.request.grid import load_grid
from tests import commands
from tests.programs import programs
from tests.slurm.cluster import drain, records, sh, submit

WORKERS = int(os.environ.get("SCALE_WORKERS", "24"))  # of 80 CPUs: more processes with torch need too much memory
REPEATS = int(os.environ.get("SCALE_REPEATS", "40"))
GRID = f"""
dataset: digits
activations: [relu, tanh, sigmoid]
model_types: [mlp, cnn]
ps: [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
repeats: {REPEATS}
epochs: 1
max_train_samples: 64
batch_size: 32
hidden_sizes: [16]
max_workers: {WORKERS}
"""


def test_many_tasks(tmp_path: Path, digits_dir: Path) -> None:
    grid, campaign = tmp_path / "grid.yaml", tmp_path / "campaign"
    grid.write_text(GRID)
    n_runs = load_grid(grid, SECTIONS).n_runs
    runs_per_task = max(1, REPEATS // 4)
    real = sh("command -v sbatch").strip()
    started_s = time.monotonic()
    with programs(tmp_path / "bin", sbatch=f'echo >> {tmp_path}/calls; exec {real} "$@"'):
        print(submit(grid, campaign, digits_dir, "--runs-per-task", runs_per_task).stdout)
    submitted_s = time.monotonic()
    drain(timeout_s=3600)
    wall_s = time.monotonic() - started_s
    assert set(records(campaign).values()) == {1}
    assert len(records(campaign)) == n_runs
    assert commands.run("analysis.report", "--output-dir", campaign).returncode == 0
    runs = pd.read_csv(campaign / "results_per_run.csv")
    status_s = time.monotonic()
    assert commands.run("hpc.status", "--output-dir", campaign).returncode == 0
    status_s = time.monotonic() - status_s
    overhead_s = (wall_s * os.cpu_count() - runs["cpu_s"].sum()) / n_runs
    n_calls = len((tmp_path / "calls").read_text().splitlines())
    print(
        f"{n_runs} runs in {-(-n_runs // runs_per_task)} tasks: {n_calls} sbatch calls in {submitted_s - started_s:.1f} s, "
        f"{wall_s:.0f} s in all on {os.cpu_count()} cores; training {runs['cpu_s'].sum():.0f} CPU s, "
        f"overhead at most {overhead_s:.2f} core s a run; status {status_s:.1f} s"
    )
