"""Missing runs -> tasks, and their cost."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from hpc.planning.cost import NOTHING, Cost, Range
from hpc.planning.priors import estimate, least_gpu_s
from noisy.runs import ID, Runs
from noisy.spec import Execution, RunSpec

TASK_MIN_S = 20  # a task should take much longer than its start (importing torch, loading data: some 3 s) ...
TASK_MAX_S = 1800  # ... and be short enough to fit into gaps of a schedule and to lose little
TASKS_PER_WORKER = 4  # so many that workers end at about the same time


@dataclass(frozen=True)
class Retry:
    """The least to ask for, after earlier tries of a run (0: nothing is known). mem_mb: in 10**6 bytes."""

    mem_mb: float = 0.0
    time_limit_min: float = 0.0


@dataclass(frozen=True)
class PlannedTask:
    """Runs of one resource class.

    least_gpu_s: the least seconds that a GPU takes for them; retry: what has to be asked for at least; runs_together: at most
    so many are trained as one computation.
    """

    runs: Runs
    per_run: Cost
    least_gpu_s: float = 0.0
    retry: Retry = Retry()
    runs_together: int = 1

    @property
    def cost(self) -> Cost:
        """The cost of all its runs."""
        return self.per_run.times(len(self.runs), self.least_gpu_s)


@dataclass(frozen=True)
class Plan:
    """Tasks in the order in which they are to start, `workers` at a time."""

    tasks: tuple[PlannedTask, ...]
    workers: int
    execution: Execution

    def first(self, n_tasks: int) -> "Plan":
        """The plan cut after `n_tasks` tasks."""
        return replace(self, tasks=self.tasks[:n_tasks], workers=min(self.workers, n_tasks))

    @property
    def n_runs(self) -> int:
        """Runs in all tasks."""
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
        """Peak memory of all workers together: the largest tasks at the same time."""
        largest = sorted((task.per_run.mem_mb for task in self.tasks), key=lambda mem: -mem.high)[: self.workers]
        return sum(largest, NOTHING)

    @property
    def wall_s(self) -> Range:
        """Time from the first start to the last end: work is shared evenly, but the longest task is a lower bound."""
        walls = [task.cost.wall_s for task in self.tasks]
        longest, share = max(walls, key=lambda wall_s: wall_s.high), sum(walls, NOTHING).scaled(1 / self.workers)
        return Range(max(share.low, longest.low), max(share.high, longest.high))


def plan(
    runs: Runs,
    workers: int,
    execution: Execution,
    retries: Mapping[str, Retry] | None = None,
    empty_attempts: Mapping[str, int] | None = None,
    runs_per_task: int | None = None,
) -> Plan:
    """Group runs into tasks of one resource class each. The longest runs come first, so that no long task is alone at the end.

    On a GPU, a task has runs of one shape, as many as are trained together.

    Args:
        runs: what is missing, in the order in which results are wanted; at least one.
        workers: tasks executed at the same time.
        execution: of every run.
        retries: run_id -> what its earlier tries showed. Such a run gets a task of its own, where it cannot harm others.
        empty_attempts: run_id -> attempts that began with this run and recorded nothing. Each halves the groups of its task,
            because they were too large for their memory or time.
        runs_per_task: the most runs of a task, instead of what the estimates suggest.
    """
    retries = retries or {}
    classes = _classes(runs, execution)
    is_alone = np.isin(runs.run_id, np.array(list(retries), ID))
    members = [places[~is_alone[places]] for places in classes.values()]
    total_s = sum(cost.wall_s.middle * len(places) for (cost, _), places in zip(classes, members, strict=True))
    task_s = min(max(total_s / (workers * TASKS_PER_WORKER), TASK_MIN_S), TASK_MAX_S)
    most = min(runs_per_task or len(runs), execution.runs_together) if execution.use_cuda else runs_per_task
    tasks = []
    for (cost, shape), places in zip(classes, members, strict=True):
        for start, end in _pieces(len(places), cost, task_s, most):
            task = PlannedTask(runs.take(places[start:end]), cost, least_gpu_s(shape) if shape else 0.0)
            tasks.append(_grouped(task, execution, empty_attempts or {}))
    for (cost, shape), places in classes.items():
        for place in places[is_alone[places]]:
            run = runs.take(slice(place, place + 1))
            tasks.append(PlannedTask(run, cost, least_gpu_s(shape) if shape else 0.0, retries[run.ids()[0]]))
    tasks.sort(key=lambda task: (-max(task.per_run.wall_s.middle, task.retry.time_limit_min * 60), task.retry.mem_mb))
    return Plan(tuple(tasks), min(workers, len(tasks)), execution)


def _classes(runs: Runs, execution: Execution) -> dict[tuple[Cost, RunSpec | None], np.ndarray]:
    """(cost of a run, shape on a GPU) -> int64 (k,), the places of its runs."""
    keys = runs.by_cell(lambda run: (estimate(run, execution), run.shape() if execution.use_cuda else None))
    number_of = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    of_run = np.array([number_of[key] for key in keys], int)[runs.cell]
    order = np.argsort(of_run, kind="stable")
    ends = np.searchsorted(of_run[order], np.arange(len(number_of)), side="right")
    return {key: order[end - n : end] for key, end, n in zip(number_of, ends, np.diff(ends, prepend=0), strict=True)}


def _pieces(n_runs: int, cost: Cost, task_s: float, most: int | None) -> list[tuple[int, int]]:
    """The bounds of tasks of about `task_s` wall seconds, and of at most `most` runs."""
    suggested = max(1, round(n_runs * cost.wall_s.middle / task_s))
    n_tasks = min(n_runs, math.ceil(n_runs / most) if most else suggested)
    return list(pairwise(n_runs * i // n_tasks for i in range(n_tasks + 1))) if n_tasks else []


def _grouped(task: PlannedTask, execution: Execution, empty_attempts: Mapping[str, int]) -> PlannedTask:
    """The task with the size of its groups."""
    halvings = sum(empty_attempts.get(run_id, 0) for run_id in task.runs.ids()) if empty_attempts else 0
    return replace(task, runs_together=max(1, execution.runs_together >> halvings))
