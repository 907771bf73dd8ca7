"""Campaigns on a simulated cluster, planned by the real planner, and worked on by the real rules of taking work.

    python -m benchmarks.simulate --write docs/planning_simulated.md    # ten minutes on one core

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

The planner's margins (`jobs/taking.py`, `hpc/planning/workers.py`, `hpc/planning/deadline.py`) were chosen by looking at the
same simulated campaigns. So the shares lost at a limit and the promises are no independent check. In a trial in which
contention made a run 1.5 to 3 times as long, more than 1 % of the elements lost a run.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.simulated import Simulation
from benchmarks.simulated_campaigns import (
    KINDS_OF_NODES,
    SLOTS,
    World,
    claimed,
    claimed_plan,
    drawn,
    fixed_lists,
    fixed_shares,
    of_plan,
    one_run_each,
)
from benchmarks.simulated_parts import Elements, Line, Result
from hpc.planning.deadline import end_of, in_time
from hpc.request.grid import parse_grid
from jobs.files import publish
from jobs.provenance import PROJECT_ROOT
from noisy.runs import Runs


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
    "how",
    "where",
    "end / LB",
    "elements",
    "starts",
    "memory",
    "time",
    "out of memory",
    "lost at a limit",
    "claims a run",
)


def _cells(found: np.ndarray) -> Iterator[str]:
    end, elements, idle, rate, _, memory, used, oom, hits, lost, claims, again = found.mean(axis=0)
    yield f"{end:.3f} ({np.quantile(found[:, 0], 0.95):.3f})"
    yield f"{elements:,.0f} ({idle:.0f})"
    yield f"{rate:.1f} ({np.quantile(found[:, 4], 0.95):.1f})"
    yield f"{memory:.2f}"
    yield f"{used:.2f}"
    yield f"{oom:.2%}"
    yield f"{hits * elements:.1f} runs, {lost:.1f} CPU h ({hits:.2%})"
    yield f"{claims:.2f}" if claims else ""
    assert not again, "runs are left: somebody would have to submit again"


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


def page(rows: list[str], promises: list[str], n_campaigns: int) -> str:
    """The page with both tables, and what is assumed."""
    assert __doc__
    assumed = __doc__.split("What is assumed:\n\n")[1]
    return "\n".join(
        [
            "# Campaigns, simulated",
            "",
            f"`python -m benchmarks.simulate --write docs/planning_simulated.md` makes this page: n = {n_campaigns} campaigns",
            "of `grid.yaml` a line (1,200 MLPs of 85 s, 1,200 CNNs of 460 s) on 80 slots. The planner and the rules of taking",
            "work are the real ones (`hpc/planning`, `jobs/taking.py`); cluster and runs are drawn. End / LB: mean (95 %",
            "quantile). Elements: that started (that found nothing to do). Starts: on average (95 % quantile of the mean over",
            "the busiest ten minutes, after the first ten). Memory, time: used / asked for. The others: shares of elements.",
            "",
            "| " + " | ".join(HEADER) + " |",
            "|" + "---|" * len(HEADER),
            *rows,
            "",
            "An end is promised only with records of 16 hosts. Deadlines are 1 to 3 times what 80 workers can promise.",
            "",
            "| records | the end is | deadlines kept | last moment / actual end, mean (95 % quantile) | workers chosen |",
            "|---|---|---|---|---|",
            *promises,
            "",
            "Assumed:",
            "",
            assumed,
        ]
    )


def main() -> None:
    """Simulate, print, and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulate", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--campaigns", type=int, default=300, help="for each line (default: %(default)s)")
    parser.add_argument("--write", type=Path, help="write the page here, too")
    options = parser.parse_args()
    runs = parse_grid((PROJECT_ROOT / "grid.yaml").read_text(), {"slurm": lambda key, value: None}).runs()
    rows, promises = [], []
    for row in ROWS:
        rows.append(row_of(row, runs, options.campaigns))
        print(rows[-1], flush=True)
    for line in deadlines(runs, options.campaigns):
        promises.append(line)
        print(line, flush=True)
    if options.write:
        publish(options.write, page(rows, promises, options.campaigns).encode())


if __name__ == "__main__":
    main()
