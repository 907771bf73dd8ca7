"""Campaigns that are drawn for the simulator, and four ways to submit them. What is assumed: benchmarks/simulate.py."""

import math
from dataclasses import dataclass

import numpy as np

from benchmarks.simulated_parts import Cluster, Elements, Line
from hpc.planning.model import Knowledge, Observation, Setting, learn
from hpc.planning.sizes import data_mb, training_mb
from hpc.planning.tasks import Plan, plan
from hpc.planning.workers import FirstRequest, Limits, arrays, needed_mb
from jobs.taking import Need
from noisy.runs import Runs
from noisy.spec import Execution, RunSpec

SECONDS = {"mlp": 85.0, "cnn": 460.0}  # of a run of grid.yaml on one core of a Zen 4
IMPORT_MB = {"cuda": 549.0, "cpu": 235.0}
SLOTS, NODES = 80, 16
LIMITS = Limits(max_array_size=1001, max_submitted=10_000, mem_mb=256_000, time_limit_min=24 * 60)
NOTHING_ASKED = FirstRequest()
KINDS_OF_NODES = {"three kinds": (0.75, 1.0, 1.35), "one kind": (1.0,)}


@dataclass(frozen=True)
class World:
    """One campaign: the cluster as it is, and what is known of it. models: in the order of the kinds of runs."""

    runs: Runs
    models: tuple[str, ...]
    cluster: Cluster
    knowledge: Knowledge

    def n_runs(self) -> list[int]:
        """Runs of each kind."""
        kinds = np.array(self.kind_of_cell())[self.runs.cell]
        return np.bincount(kinds, minlength=len(self.models)).tolist()

    def kind_of_cell(self) -> list[int]:
        """The kind of the runs of each cell."""
        return self.runs.by_cell(lambda run: self.models.index(run.model_type))


def drawn(runs: Runs, kinds: str, torch: str, known: str, rng: np.random.Generator) -> World:
    """Draw a campaign. known: "published", "login" (calibrated on one host, of the middle kind) or "hosts" (on all nodes)."""
    models = tuple(sorted(SECONDS))
    factors = KINDS_OF_NODES[kinds]
    by_kind = {factor: factor * rng.lognormal(0, 0.03, len(models)) for factor in factors}
    kind_of_node = rng.permutation(np.resize(factors, NODES))
    seconds = np.array([SECONDS[model] for model in models])
    run_s = np.array([seconds * by_kind[kind] * rng.lognormal(0, 0.03) for kind in kind_of_node])
    noise = rng.lognormal(0, 0.03, 2 * len(runs))
    noise[rng.random(len(noise)) < 0.01] *= 2
    specs = {model: next(cell.spec for cell in runs.cells if cell.spec.model_type == model) for model in models}
    mem_mb = np.array([IMPORT_MB[torch] + data_mb(specs[model]) + training_mb(specs[model]) for model in models])
    hosts = {"published": [], "login": [seconds * by_kind[1.0] * rng.lognormal(0, 0.03)], "hosts": list(run_s)}[known]
    bias = rng.lognormal(0, 0.05, len(models))
    observations = [
        _observation(specs[model], f"host{h}", host_s[i] * bias[i] * rng.lognormal(0, 0.03), IMPORT_MB[torch])
        for h, host_s in enumerate(hosts)
        for i, model in enumerate(models)
        for _ in range(3)
    ]
    knowledge = learn(observations, Setting("torch"), IMPORT_MB[torch]) if hosts else Knowledge(import_mb=IMPORT_MB[torch])
    node = np.repeat(np.arange(NODES), SLOTS // NODES)
    return World(runs, models, Cluster(run_s, node, noise, mem_mb, (60.0, 10.0)), knowledge)


def _observation(run: RunSpec, host: str, seconds: float, import_mb: float) -> Observation:
    return Observation(run, seconds, seconds, 0.0, 0.0, host, "cpu", "mkl", "torch", import_mb=import_mb)


# Four ways to submit the same campaign


def claimed(world: World, workers: int = SLOTS) -> tuple[list[Line], list[Elements]]:
    """As hpc.submit does it: workers for slots of time, which take lines."""
    return of_plan(world, claimed_plan(world, workers))


def of_plan(world: World, planned: Plan) -> tuple[list[Line], list[Elements]]:
    """The lines and the arrays of a plan."""
    lines = _lines(world, planned)
    return lines, [
        Elements(
            a.n_workers, a.parallel, a.resources.time_limit_min * 60, a.resources.mem_mb, range(len(lines)), is_sweep=a.is_sweep
        )
        for a in arrays(planned, LIMITS, NOTHING_ASKED)
    ]


def _lines(world: World, planned: Plan) -> list[Line]:
    kind_of_cell, needs, found = world.kind_of_cell(), dict[int, Need](), []
    for task in planned.tasks:
        kind, wall_s = kind_of_cell[task.runs.cell[0]], task.per_run.wall_s
        if kind not in needs:
            needs[kind] = Need(0, wall_s.middle, wall_s.high, needed_mb(task, NOTHING_ASKED))
        found.append(Line(kind, len(task.runs), needs[kind]))
    return found


def fixed_lists(world: World) -> tuple[list[Line], list[Elements]]:
    """The same lists, but each element owns one, and asks for what the longest needs."""
    planned = claimed_plan(world, SLOTS)
    lines = _lines(world, planned)
    longest_s = max(line.n_runs * (line.need.high_s or 0) for line in lines)
    mem_mb = max(int(line.need.mem_mb or 0) for line in lines)
    limit_s = math.ceil(longest_s * 1.25 / 60) * 60 + 180
    return lines, [Elements(len(lines), SLOTS, limit_s, mem_mb, range(len(lines)), is_owner=True)]


def one_run_each(world: World) -> tuple[list[Line], list[Elements]]:
    """One run an element, 2 GB and an hour for each, in the order of the grid."""
    kinds = world.kind_of_cell()
    lines = [Line(kinds[cell], 1, Need(0)) for cell in world.runs.cell]
    return lines, [Elements(len(lines), SLOTS, 3600, 2000, range(len(lines)), is_owner=True)]


def fixed_shares(world: World) -> tuple[list[Line], list[Elements]]:
    """As this suite planned before workers took tasks: two arrays, lists of one length, fixed shares of the slots."""
    lines, made = [], []
    for model, n_tasks, parallel, mem_mb in (("cnn", 213, 53, 1500), ("mlp", 107, 27, 1000)):
        sizes = np.diff(np.linspace(0, 1200, n_tasks + 1).astype(int))
        made.append(Elements(n_tasks, parallel, 48 * 60, mem_mb, range(len(lines), len(lines) + n_tasks), is_owner=True))
        lines += [Line(world.models.index(model), int(size), Need(0)) for size in sizes]
    return lines, made


def claimed_plan(world: World, workers: int) -> Plan:
    """The plan for so many workers."""
    return plan(world.runs, workers, Execution(), knowledge=world.knowledge)
