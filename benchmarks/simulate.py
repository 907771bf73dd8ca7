"""Campaigns on a simulated cluster, planned by the real planner, and worked on by the real rules of taking work.

    python -m benchmarks.simulate --write docs/planning_simulated.md    # some minutes on one core

Each line of the table is the mean over many campaigns of grid.yaml (1,200 MLPs of 85 s, 1,200 CNNs of 460 s). What is assumed:

- 80 slots on 16 nodes, all free. Nodes are of three kinds, which take 0.75, 1 and 1.35 times as long, or of one kind. A kind
  of node is also a few percent better at one of the models (standard deviation 3 %), and so is a node (3 %).
- Runs of one model on one node differ by 3 %. One run of 100 meets contention, and takes twice as long.
- A slot stays free for 1 to 10 s between two elements. A worker takes 5 to 15 s until its first run; one that finds nothing to
  take ends after 1.5 s.
- A worker's memory: import of torch (549 MB with CUDA's parts, 235 MB without) + data set + what training needs at least +
  a growth of 60 MB (standard deviation 10), and up to 10 MB more after a second model.
- A calibration measures each run with an error of 5 %, which all records of a model share.
- A run that does not end before the warning (60 s before the time limit) is lost. So is one that needs more memory than asked.

LB is the fluid lower bound: a linear programme over nodes and models. No node fails, and the cluster's queue is empty.
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.simulated import Cluster, Elements, Line, Result, Simulation
from hpc.planning.deadline import end_of, in_time
from hpc.planning.model import PUBLISHED, Knowledge, Observation, Setting, learn
from hpc.planning.sizes import data_mb, training_mb
from hpc.planning.tasks import Plan, plan
from hpc.planning.workers import FirstRequest, Limits, arrays, needed_mb
from hpc.request.grid import parse_grid
from jobs.provenance import PROJECT_ROOT
from jobs.taking import Need
from noisy.runs import Runs
from noisy.spec import Execution

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
        return [sum(self.runs.cells[cell].spec.model_type == model for cell in self.runs.cell) for model in self.models]


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
    knowledge = learn(observations, Setting("torch"), IMPORT_MB[torch]) if hosts else PUBLISHED
    node = np.repeat(np.arange(NODES), SLOTS // NODES)
    return World(runs, models, Cluster(run_s, node, noise, mem_mb, (60.0, 10.0)), knowledge)


def _observation(run: Any, host: str, seconds: float, import_mb: float) -> Observation:
    return Observation(run, seconds, seconds, 0.0, 0.0, host, "cpu", "mkl", "torch", import_mb=import_mb)


# Four ways to submit the same campaign


def claimed(world: World, workers: int = SLOTS) -> tuple[list[Line], list[Elements]]:
    """As hpc.submit does it: workers for slots of time, which take lines."""
    return of_plan(world, plan(world.runs, workers, Execution(), knowledge=world.knowledge))


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
    found = []
    for task in planned.tasks:
        wall_s = task.per_run.wall_s
        need = Need(0, wall_s.middle, wall_s.high, needed_mb(task, NOTHING_ASKED))
        found.append(Line(world.models.index(task.runs.at(0).model_type), len(task.runs), need))
    return found


def fixed_lists(world: World) -> tuple[list[Line], list[Elements]]:
    """The same lists, but each element owns one, and asks for what the longest needs."""
    planned = plan(world.runs, SLOTS, Execution(), knowledge=world.knowledge)
    lines = _lines(world, planned)
    longest_s = max(line.n_runs * (line.need.high_s or 0) for line in lines)
    mem_mb = max(int(line.need.mem_mb or 0) for line in lines)
    limit_s = math.ceil(longest_s * 1.25 / 60) * 60 + 180
    return lines, [Elements(len(lines), SLOTS, limit_s, mem_mb, range(len(lines)), is_owner=True)]


def one_run_each(world: World) -> tuple[list[Line], list[Elements]]:
    """One run an element, 2 GB and an hour for each, in the order of the grid."""
    kinds = [world.models.index(cell.spec.model_type) for cell in world.runs.cells]
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


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    name: str
    submit: Callable[[World], tuple[list[Line], list[Elements]]]
    kinds: str
    torch: str
    known: str


_TAKE = "workers that take tasks"
ROWS = (
    Row("one run an element, 2 GB, one queue", one_run_each, "three kinds", "cuda", "published"),
    Row("the same", one_run_each, "three kinds", "cpu", "published"),
    Row("fixed shares, lists of one length (before workers took tasks)", fixed_shares, "three kinds", "cuda", "published"),
    Row("fixed lists that shrink, one array", fixed_lists, "three kinds", "cuda", "login"),
    Row(_TAKE, claimed, "three kinds", "cuda", "login"),
    Row(_TAKE, claimed, "three kinds", "cpu", "login"),
    Row(_TAKE, claimed, "one kind", "cuda", "login"),
    Row(_TAKE, claimed, "one kind", "cpu", "login"),
    Row(_TAKE, claimed, "three kinds", "cuda", "hosts"),
    Row(_TAKE, claimed, "three kinds", "cuda", "published"),
    Row(_TAKE, claimed, "one kind", "cpu", "published"),
)
_KNOWN = {"published": "published costs", "login": "calibrated on one host", "hosts": "calibrated on 16 hosts"}


def figures(world: World, result: Result) -> list[float]:
    """One campaign in figures, in the order of `_cells`."""
    starts = np.array(result.starts_s)
    later = np.sort(starts[starts > 600])
    most = max((int(np.searchsorted(later, t + 600)) - i for i, t in enumerate(later)), default=0) / 10
    n_elements = len(starts)
    return [
        result.end_s / world.cluster.bound_s(world.n_runs()),
        n_elements,
        result.n_idle,
        n_elements / (result.end_s / 60),
        most,
        result.used_mb_s / result.asked_mb_s,
        result.used_s / result.limit_s,
        result.n_oom / n_elements,
        result.n_hits / n_elements,
        result.lost_s / 3600,
        result.n_claims / len(world.runs),
        result.n_left > 0,
    ]


def row_of(row: Row, runs: Runs, n_campaigns: int) -> str:
    """A line of the table. All rows see the same clusters."""
    worlds = (drawn(runs, row.kinds, row.torch, row.known, np.random.default_rng(i)) for i in range(n_campaigns))
    found = np.array([figures(w, Simulation(w.cluster, *row.submit(w), seed=i).play()) for i, w in enumerate(worlds)])
    where = f"{row.kinds} of node, torch for {row.torch.upper()}, {_KNOWN[row.known]}"
    return f"| {row.name} | {where} | " + " | ".join(_cells(found)) + " |"


HEADER = (
    *(
        "how",
        "where",
        "end / LB: mean (p95)",
        "elements (found nothing)",
        "starts a minute (most over 10 min, after the first 10)",
    ),
    *("memory used / asked", "time used / limit", "out of memory", "runs lost at a limit (of elements)", "CPU hours lost"),
    *("claims a run", "need a second submit"),
)


def _cells(found: np.ndarray) -> Iterator[str]:
    end, elements, idle, rate, _, memory, used, oom, hits, lost, claims, again = found.mean(axis=0)
    yield f"{end:.3f} ({np.quantile(found[:, 0], 0.95):.3f})"
    yield f"{elements:,.0f} ({idle:.0f})"
    yield f"{rate:.1f} ({np.quantile(found[:, 4], 0.95):.1f})"
    yield f"{memory:.2f}"
    yield f"{used:.2f}"
    yield f"{oom:.2%}"
    yield f"{hits * elements:.1f} ({hits:.2%})"
    yield f"{lost:.1f}"
    yield f"{claims:.2f}" if claims else ""
    yield f"{again:.1%}"


def deadlines(runs: Runs, n_campaigns: int) -> Iterator[str]:
    """Lines of the table of promises: how many were kept."""
    for kinds in KINDS_OF_NODES:
        for known in ("login", "hosts"):
            kept, ratios, workers = [], [], []
            for i in range(n_campaigns):
                world = drawn(runs, kinds, "cuda", known, np.random.default_rng(i))
                whole = claimed_plan(world, SLOTS)
                end = end_of(whole)
                wanted_s = end.high_s * (1 + 2 * (i % 5) / 4)  # from what all slots can do, to three times that
                planned = in_time(wanted_s, SLOTS, lambda n, world=world: claimed_plan(world, n))
                end = end_of(planned)
                result = Simulation(world.cluster, *of_plan(world, planned), seed=i).play()
                kept.append(result.end_s <= wanted_s)
                ratios.append(end.high_s / result.end_s)
                workers.append(planned.workers)
            yield (
                f"| {kinds} of node, {_KNOWN[known]} | {end.word} | {np.mean(kept):.1%} | {np.mean(ratios):.2f} "
                f"({np.quantile(ratios, 0.95):.2f}) | {min(workers)} to {max(workers)} |"
            )


def claimed_plan(world: World, workers: int) -> Plan:
    """The plan for so many workers."""
    return plan(world.runs, workers, Execution(), knowledge=world.knowledge)


def main() -> None:
    """Simulate, print, and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulate", description=__doc__.split("\n")[0])
    parser.add_argument("--campaigns", type=int, default=300, help="for each line (default: %(default)s)")
    parser.add_argument("--write", type=Path, help="write the page here, too")
    parser.add_argument("--only", default="", help="only rows whose text has this in it")
    options = parser.parse_args()
    runs = parse_grid((PROJECT_ROOT / "grid.yaml").read_text(), {"slurm": lambda key, value: None}).runs()
    lines = [" | ".join(("", *HEADER, "")).strip(), "|" + "---|" * len(HEADER)]
    for row in ROWS:
        if options.only in repr(row):
            began_s = time.process_time()
            lines.append(row_of(row, runs, options.campaigns))
            print(lines[-1], f"{time.process_time() - began_s:.0f} CPU s", flush=True)
    for line in deadlines(runs, options.campaigns) if not options.only else ():
        print(line, flush=True)


if __name__ == "__main__":
    main()
