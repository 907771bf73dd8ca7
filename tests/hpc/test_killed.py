"""kill -9 of the whole local executor at random moments: every run once, none lost, the same CSV in the end.

KILL_ROUNDS=100 python -m pytest tests/hpc/test_killed.py    # 20 campaigns of 5 kills; --lf repeats those that failed
"""

import os
import random
import time
from pathlib import Path

import pytest

from hpc.execution.choice import SECTIONS
from hpc.request.grid import load_grid
from tests import commands
from tests.campaigns import done, table
from tests.processes import processes, wait_for

ROUNDS = int(os.environ.get("KILL_ROUNDS", "2"))
ROUNDS_OF_A_CAMPAIGN = 5
GRID = f"""
dataset: digits
activations: [relu, sigmoid]
ps: [0.0, 0.5, 0.9]
repeats: {5 if ROUNDS >= ROUNDS_OF_A_CAMPAIGN else 3}
epochs: 2
hidden_sizes: [[32], [128]]
max_workers: 2
"""


def kill_during_work(command: tuple[object, ...], campaign: Path, n_more: int, moment_s: float) -> int:
    """Start a submit; kill it without warning some time after `n_more` more runs are done. Returns how many are done then."""
    n_before = len(done(campaign))
    process = commands.start(*command)
    while process.poll() is None and len(done(campaign)) < n_before + n_more:
        time.sleep(0.1)  # each look reads all shards, on the cores that the workers need
    time.sleep(moment_s)
    process.kill()
    process.communicate()
    wait_for(lambda: not processes(campaign), 5)  # nobody outlives a submit that is killed
    return len(done(campaign))


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("grid") / "grid.yaml"
    path.write_text(GRID)
    return path


@pytest.fixture(scope="module")
def undisturbed(grid: Path, digits_dir: Path) -> str:
    """What a campaign that nobody kills ends in."""
    campaign = grid.with_name("undisturbed")
    assert commands.submit(grid, campaign, digits_dir).returncode == 0
    return table(campaign)


@pytest.mark.slow
@pytest.mark.parametrize("first_round", range(0, ROUNDS, ROUNDS_OF_A_CAMPAIGN))
def test_a_campaign_survives_kill_9(first_round: int, tmp_path: Path, digits_dir: Path, grid: Path, undisturbed: str) -> None:
    n_rounds, n_runs = min(ROUNDS_OF_A_CAMPAIGN, ROUNDS - first_round), load_grid(grid, SECTIONS).n_runs
    killed, chance, n_done = tmp_path / "killed", random.Random(first_round), [0]
    for _ in range(n_rounds):
        command = commands.submit_command(grid, killed, digits_dir)
        n_more = chance.randint(0, n_runs // (2 * n_rounds))
        n_done.append(kill_during_work(command, killed, n_more, moment_s=chance.uniform(0, 0.25)))
    assert n_done == sorted(n_done), "a run that was done is lost"
    assert any(0 < n < n_runs for n in n_done), "no kill was in the middle"
    last = commands.submit(grid, killed, digits_dir)
    assert last.returncode == 0, last.stderr
    print(f"done after each of {n_rounds} kills: {n_done[1:]} of {n_runs}")

    assert len(done(killed)) == n_runs
    assert table(killed) == undisturbed
    assert commands.submit(grid, killed, digits_dir).stdout.startswith(f"Nothing to submit: {n_runs} of {n_runs}")
