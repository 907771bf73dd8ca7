"""The simulated cluster: nothing is lost, nothing beats the bound, and workers keep to their limits."""

import numpy as np
import pytest

from benchmarks.simulated import Simulation
from benchmarks.simulated_campaigns import claimed, drawn, fixed_shares, one_run_each
from benchmarks.simulated_parts import Cluster, Elements, Line
from hpc.request.grid import parse_grid
from jobs.provenance import PROJECT_ROOT
from jobs.taking import Need

RUNS = parse_grid((PROJECT_ROOT / "grid.yaml").read_text(), {"slurm": lambda key, value: None}).runs()


@pytest.mark.slow
@pytest.mark.parametrize("submit", [claimed, one_run_each, fixed_shares])
def test_a_campaign_is_done_and_no_earlier_than_possible(submit) -> None:
    world = drawn(RUNS, "three kinds", "cuda", "login", np.random.default_rng(3))
    lines, arrays = submit(world)
    assert sum(line.n_runs for line in lines) == len(RUNS)
    result = Simulation(world.cluster, lines, arrays, seed=3).play()
    assert result.n_left == 0
    assert result.end_s >= world.cluster.bound_s(world.n_runs())
    if submit is claimed:
        assert result.end_s <= 1.12 * world.cluster.bound_s(world.n_runs())
        assert len(result.starts_s) <= sum(array.n for array in arrays) + result.n_hits


def cluster(run_s: float, n_slots: int, mem_mb: float = 500) -> Cluster:
    return Cluster(np.array([[run_s]]), np.zeros(n_slots, int), np.ones(10), np.array([mem_mb]), (0.0, 0.0))


def test_the_bound_of_one_kind_of_node_is_the_work_for_each_slot() -> None:
    assert cluster(100, 4).bound_s([40]) == pytest.approx(1000)


def test_a_worker_begins_no_run_that_would_not_end_and_the_next_worker_takes_it() -> None:
    lines = [Line(0, 10, Need(0, 100, 110, 500))]
    result = Simulation(cluster(100, 1), lines, [Elements(5, 1, 580, 600, range(1))], seed=0).play()
    assert (result.n_left, result.n_hits) == (0, 0)
    assert len(result.starts_s) == 5 and result.n_idle == 2  # 4 runs fit into 520 s with the margin


def test_what_needs_more_memory_is_done_by_the_sweep() -> None:
    lines = [Line(0, 2, Need(0, 100, 110, 500))]
    arrays = [Elements(2, 1, 3600, 500, range(1)), Elements(1, 1, 3600, 900, range(1), is_sweep=True)]
    result = Simulation(cluster(100, 1, mem_mb=700), lines, arrays, seed=0).play()
    assert (result.n_oom, result.n_left) == (1, 0)
