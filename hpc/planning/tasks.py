"""From missing runs to tasks, and the cost of tasks."""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hpc.planning.cost import NOTHING, Cost, Range
from hpc.planning.model import PUBLISHED, Knowledge
from hpc.planning.priors import estimate, least_gpu_s
from hpc.planning.published import START_S
from noisy.runs import ID, Runs
from noisy.spec import Execution, RunSpec

# A worker executes task after task. Long tasks need few claims and files; short ones at the end let workers end together.
TASK_MAX_S = 1000
TASK_MIN_S = 120  # in a campaign of hours; less in a short one, whose end it would delay more
_TASK_LEAST_S = 5  # a claim, a shard and its fsyncs take about 0.1 s
_ROUNDS = 3  # a task is this part of each worker's share of the remaining work, so tasks become shorter during a campaign
_SHORTEST_SHARE = 1 / 30  # the shortest task, as a part of all work of a worker
WORKER_MIN_S = 20  # least work for a worker, because its start (importing torch, loading data) takes about 3 s


@dataclass(frozen=True)
class Retry:
    """The least to ask for after earlier tries of a run (0: not known). mem_mb: in 10**6 bytes."""

    mem_mb: float = 0.0
    time_limit_min: float = 0.0


@dataclass(frozen=True)
class PlannedTask:
    """Runs that need the same resources.

    least_gpu_s: lower bound of their GPU time; retry: what has to be asked for at least; runs_together: the most runs that are
    trained as one computation.
    """

    runs: Runs
    per_run: Cost
    least_gpu_s: float = 0.0
    retry: Retry = Retry()
    runs_together: int = 1

    @cached_property
    def cost(self) -> Cost:
        """The cost of all its runs."""
        return self.per_run.times(len(self.runs), self.least_gpu_s)


@dataclass(frozen=True)
class Plan:
    """Tasks in the order in which they start, `workers` at a time.

    n_hosts: number of hosts on which the costs of its runs were measured (0: published costs); is_forked: whether workers share
    loaded libraries and data in memory; start_s: seconds from the start of a worker to its first run.
    """

    tasks: tuple[PlannedTask, ...]
    workers: int
    execution: Execution
    n_hosts: int = 0
    is_forked: bool = False
    start_s: Range = START_S

    def first(self, n_tasks: int) -> "Plan":
        """The plan cut after `n_tasks` tasks."""
        return replace(self, tasks=self.tasks[:n_tasks], workers=min(self.workers, n_tasks))

    @property
    def n_runs(self) -> int:
        """Number of runs in all tasks."""
        return sum(len(task.runs) for task in self.tasks)

    @property
    def cpu_s(self) -> Range:
        """CPU seconds of all runs."""
        return sum((task.cost.cpu_s for task in self.tasks), NOTHING)

    @property
    def gpu_s(self) -> Range:
        """GPU seconds of all runs."""
        return sum((task.cost.gpu_s for task in self.tasks), NOTHING)

    @property
    def mem_mb(self) -> Range:
        """Peak memory of all workers together, if they execute the largest tasks. What forked workers share counts once."""
        largest = sorted((task.per_run for task in self.tasks), key=lambda cost: -cost.mem_mb.high)[: self.workers]
        shared_mb = sum(cost.shared_mb for cost in largest[1:]) if self.is_forked else 0.0
        return sum((cost.mem_mb for cost in largest), NOTHING) + Range(-shared_mb, -shared_mb)


def plan(
    runs: Runs,
    workers: int,
    execution: Execution,
    retries: Mapping[str, Retry] | None = None,
    empty_attempts: Mapping[str, int] | None = None,
    runs_per_task: int | None = None,
    knowledge: Knowledge = PUBLISHED,
) -> Plan:
    """Group runs into tasks whose runs need the same resources.

    The longest runs come first, and tasks become shorter and shorter, so that no long task is alone at the end.

    On a GPU, a task has only runs of one shape, as many as are trained together.

    Args:
        runs: the missing runs, in the order in which results are wanted; at least one.
        workers: the most tasks at a time; a plan with little work has fewer.
        execution: how every run is executed.
        retries: run_id -> the least to ask for. Such a run gets a task of its own, so that it cannot harm others.
        empty_attempts: run_id -> attempts that began with this run and recorded nothing. Each halves the groups of its task,
            because they were too large for their memory or time.
        runs_per_task: the largest number of runs in a task; None: from the estimated costs.
        knowledge: what is known of costs.
    """
    retries = retries or {}
    classes = _classes(runs, execution, knowledge)
    is_alone = np.isin(runs.run_id, np.array(list(retries), ID))
    members = {key: places[~is_alone[places]] for key, places in classes.items()}
    left_s = total_s = sum(cost.wall_s.middle * len(places) for (cost, _), places in members.items())
    most = min(runs_per_task or len(runs), execution.runs_together) if execution.use_cuda else runs_per_task
    useful = workers if most else max(1, min(workers, math.ceil(total_s / WORKER_MIN_S)))
    tasks = []
    for (cost, shape), places in sorted(members.items(), key=lambda item: -item[0][0].wall_s.middle):
        sizes = _even(len(places), most) if most else _shrinking(len(places), cost.wall_s.middle, left_s, total_s, useful)
        ends = list(itertools.accumulate(sizes))
        for start, end in zip([0, *ends], ends, strict=False):
            task = PlannedTask(runs.take(places[start:end]), cost, least_gpu_s(shape) if shape else 0.0)
            tasks.append(_grouped(task, execution, empty_attempts or {}))
        left_s -= cost.wall_s.middle * len(places)
    for (cost, shape), places in classes.items():
        for place in places[is_alone[places]]:
            run = runs.take(slice(place, place + 1))
            tasks.append(PlannedTask(run, cost, least_gpu_s(shape) if shape else 0.0, retries[run.ids()[0]]))
    tasks.sort(key=lambda task: (-max(task.per_run.wall_s.middle, task.retry.time_limit_min * 60), task.retry.mem_mb))
    n_hosts = knowledge.n_hosts_of(runs.cells[cell].spec for cell in np.unique(runs.cell))
    return Plan(tuple(tasks), min(max(useful, len(retries)), workers, len(tasks)), execution, n_hosts)


def _classes(runs: Runs, execution: Execution, knowledge: Knowledge) -> dict[tuple[Cost, RunSpec | None], np.ndarray]:
    """(cost of a run, on a GPU also its shape) -> int64 (k,), the places of its runs."""
    keys = runs.by_cell(lambda run: (estimate(run, execution, knowledge), run.shape() if execution.use_cuda else None))
    number_of = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    of_run = np.array([number_of[key] for key in keys], int)[runs.cell]
    order = np.argsort(of_run, kind="stable")
    ends = np.searchsorted(of_run[order], np.arange(len(number_of)), side="right")
    return {key: order[end - n : end] for key, end, n in zip(number_of, ends, np.diff(ends, prepend=0), strict=True)}


def _shrinking(n_runs: int, run_s: float, left_s: float, total_s: float, workers: int) -> Iterator[int]:
    """The sizes of the tasks of one class, whose runs take `run_s` wall seconds each.

    Within bounds, a task is a third of each worker's share of the remaining work. This is the guided self-scheduling of
    Polychronopoulos
    and Kuck (1987), with a factor.

    Args:
        left_s, total_s: wall seconds of all runs of this class and the later ones, and of all runs of the plan.
    """
    shortest_s = min(max(total_s / workers * _SHORTEST_SHARE, _TASK_LEAST_S), TASK_MIN_S)
    while n_runs:
        length_s = min(max(left_s / workers / _ROUNDS, shortest_s), TASK_MAX_S)
        size = n_runs if run_s * n_runs <= length_s else max(1, round(length_s / run_s))
        yield size
        n_runs, left_s = n_runs - size, left_s - size * run_s


def _even(n_runs: int, most: int) -> list[int]:
    """The sizes of the fewest tasks of at most `most` runs."""
    n_tasks = math.ceil(n_runs / most)
    return [n_runs * (i + 1) // n_tasks - n_runs * i // n_tasks for i in range(n_tasks)]


def _grouped(task: PlannedTask, execution: Execution, empty_attempts: Mapping[str, int]) -> PlannedTask:
    """The task with its `runs_together`."""
    halvings = sum(empty_attempts.get(run_id, 0) for run_id in task.runs.ids()) if empty_attempts else 0
    return replace(task, runs_together=max(1, execution.runs_together >> halvings))
