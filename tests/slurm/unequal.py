"""A campaign of mixed costs on nodes of different speeds, after a calibration of the same nodes. By command only:

python -m pytest tests/slurm/unequal.py --numprocesses=0 -s
"""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog

from tests import commands
from tests.slurm.cluster import NODES, drain, sh, table
from tests.slurm.trouble import compare_with_accounting

SHARES = [float(share) for share in os.environ.get("SHARES", "0.4 0.3 0.2 0.15").split()]  # of a core, of each node
REPEATS = int(os.environ.get("REPEATS", "20"))
GRID = f"""
dataset: digits
activations: [relu, tanh]
ps: [0.0, 0.3, 0.6, 0.9]
model_types: [mlp, cnn]
repeats: {REPEATS}
models:
  mlp: {{hidden_sizes: [128], epochs: 30, batch_size: 128}}
  cnn: {{epochs: 5, batch_size: 128}}
max_workers: 4
"""


@pytest.fixture
def unequal_nodes(slurm: Path) -> Iterator[None]:
    """Each node gets a share of one core, however many workers it has."""
    groups = [Path(f"/sys/fs/cgroup/cpu/slow_{NODES}{i}") for i in range(1, 5)]
    for i, (group, share) in enumerate(zip(groups, SHARES, strict=True), start=1):
        group.mkdir(exist_ok=True)
        (group / "cpu.cfs_quota_us").write_text(str(int(share * 100_000)))
        (group / "cgroup.procs").write_text((slurm / f"slurmd-{NODES}{i}.pid").read_text())
    yield
    drain()
    for group in groups:
        for pid in (group / "cgroup.procs").read_text().split():
            (group.parent / "cgroup.procs").write_text(pid)
        group.rmdir()


def bound_s(runs: pd.DataFrame) -> float:
    """The fluid lower bound: the least time in which nodes with one slot each do all runs, at the speeds of the records."""
    speeds = runs.pivot_table(index="host", columns="model_type", values="wall_s", aggfunc="mean")
    n_runs = runs["model_type"].value_counts()
    hosts, models = list(speeds.index), list(speeds.columns)
    print(speeds.round(2).to_string(), n_runs.to_dict())
    # variables: runs of each model on each host, and the end
    n = len(hosts) * len(models)
    time_of = np.zeros((len(hosts), n + 1))
    done = np.zeros((len(models), n + 1))
    for h, host in enumerate(hosts):
        for m, model in enumerate(models):
            time_of[h, h * len(models) + m] = speeds.loc[host, model]
            done[m, h * len(models) + m] = 1
    time_of[:, -1] = -1
    bounds = [(0, None) if not np.isnan(each) else (0, 0) for each in speeds.to_numpy().ravel()] + [(0, None)]
    found = linprog([0] * n + [1], np.nan_to_num(time_of), np.zeros(len(hosts)), done, n_runs[models].to_numpy(), bounds)
    return float(found.x[-1])


def test_unequal_nodes(tmp_path: Path, digits_dir: Path, unequal_nodes: None) -> None:
    grid, campaign = tmp_path / "grid.yaml", tmp_path / "results" / "campaign"
    grid.write_text(GRID)
    places = (
        "--grid",
        grid,
        "--output-dir",
        campaign,
        "--data-dir",
        digits_dir,
        "--executor",
        "slurm",
        "--sbatch",
        "exclusive",
    )
    calibrate = ("hpc.calibrate", *places, "--seconds", os.environ.get("SECONDS_EACH", "5"))
    print("$ python -m", *calibrate)
    done = commands.run(*calibrate)
    print(done.stdout, done.stderr)
    assert done.returncode == 0
    drain(1800)
    print(commands.run(*calibrate, "--show").stdout)
    done = commands.run("hpc.submit", *places, "--yes")
    print(done.stdout, done.stderr)
    assert done.returncode == 0
    drain(3600)
    status = commands.run("hpc.status", "--output-dir", campaign)
    print(status.stdout)
    assert status.returncode == 0
    table(campaign)
    runs = pd.read_csv(campaign / "results_per_run.csv")
    jobs = ",".join(sorted({job.split("_")[0] for job in runs["job"]}))
    starts = sh(f"sacct --jobs={jobs} --allocations --noheader --format=Start").split()
    began_s = min(pd.Timestamp(start).timestamp() for start in starts)
    first_s, end_s = (runs["finished_at_s"] - runs["wall_s"]).min(), runs["finished_at_s"].max()
    least_s = bound_s(runs)
    print(
        f"bound {least_s:.0f} s; end {end_s - first_s:.0f} s after the first run began: {(end_s - first_s) / least_s:.3f} of it"
    )
    print(f"end {end_s - began_s:.0f} s after the first worker began: {(end_s - began_s) / least_s:.3f} of the bound")
    compare_with_accounting(campaign)
