"""Missing runs -> tasks -> arrays, and what they cost. Pure: reads and writes nothing."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise, repeat

from hpc.estimate import Cost, Range, by_cell, estimates, least_gpu_s
from noisy.spec import Execution, RunSpec

TASK_MIN_S = 20  # a task should outweigh its start (importing torch, loading data: some 3 s) ...
TASK_MAX_S = 1800  # ... and be short enough to fit into gaps of a schedule and to lose little
TASKS_PER_WORKER = 4  # enough of them that workers end at about the same time
_MARGIN = 1.25  # asked of a scheduler beyond the high end of the estimate
_START_MIN = 3  # of a task: importing torch from a busy file system, and the warning before the limit


@dataclass(frozen=True)
class Retry:
    """What earlier tries of a run taught: ask for at least so much (0: nothing learnt)."""

    mem_mb: float = 0.0
    time_limit_min: float = 0.0


@dataclass(frozen=True)
class PlannedTask:
    """Runs (run_id -> canonical JSON) of one resource class. least_s: what a GPU takes for them at least, however few."""

    runs: dict[str, str]
    per_run: Cost
    least_s: float = 0.0

    @property
    def cpu_s(self) -> Range:
        """CPU seconds (on a GPU: its seconds) of all its runs."""
        all_s = self.per_run.cpu_s.scaled(len(self.runs))
        return Range(max(all_s.low, self.least_s), max(all_s.high, self.least_s))


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
        """CPU seconds (on GPUs: their seconds) of all runs."""
        return sum((task.cpu_s for task in self.tasks), Range(0, 0))

    @property
    def mem_mb(self) -> Range:
        """Peak memory of all workers together: the largest tasks at the same time."""
        largest = sorted((task.per_run.mem_mb for task in self.tasks), key=lambda mem: -mem.high)[: self.workers]
        return sum(largest, Range(0, 0))

    @property
    def wall_s(self) -> Range:
        """From the first start to the last end: work shared evenly, but never less than the longest task."""
        longest = max((task.cpu_s for task in self.tasks), key=lambda cpu_s: cpu_s.high)
        share = self.cpu_s.scaled(1 / self.workers)
        return Range(max(share.low, longest.low), max(share.high, longest.high)).scaled(1 / speedup(self.execution))


def plan(
    runs: Mapping[str, str],
    workers: int,
    execution: Execution,
    retries: Mapping[str, Retry] | None = None,
    runs_per_task: int | None = None,
) -> Plan:
    """Group runs into tasks of one resource class each, the longest runs first so that the end is not held up.

    On GPUs, a task is runs of one shape, as many as are trained together.

    Args:
        runs: what is missing, run_id -> canonical JSON, in the order in which results are wanted; at least one.
        workers: tasks executed at the same time.
        execution: of every run.
        retries: run_id -> what its earlier tries taught; such a run gets a task of its own, where it harms no other.
        runs_per_task: at most so many, instead of what the estimates suggest.
    """
    by_class: dict[tuple[Cost, RunSpec | None], list[tuple[str, str]]] = {}
    alone = []
    shapes = by_cell(runs.values(), RunSpec.shape) if execution.use_cuda else repeat(None, len(runs))
    for run, cost, shape in zip(runs.items(), estimates(runs.values(), execution), shapes, strict=True):
        if retries and (retry := retries.get(run[0])):
            alone.append(PlannedTask(dict([run]), _at_least(cost, retry), _least_s(shape)))
        else:
            by_class.setdefault((cost, shape), []).append(run)
    total_s = sum(cost.cpu_s.middle * len(members) for (cost, _), members in by_class.items())
    task_s = min(max(total_s / (workers * TASKS_PER_WORKER), TASK_MIN_S), TASK_MAX_S)
    most = min(runs_per_task or len(runs), execution.runs_together) if execution.use_cuda else runs_per_task
    tasks = []
    for (cost, shape), members in by_class.items():
        suggested = max(1, round(len(members) * cost.cpu_s.middle / task_s))
        n_tasks = min(len(members), math.ceil(len(members) / most) if most else suggested)
        bounds = [len(members) * i // n_tasks for i in range(n_tasks + 1)]
        tasks += [PlannedTask(dict(members[start:end]), cost, _least_s(shape)) for start, end in pairwise(bounds)]
    tasks = sorted(tasks + alone, key=lambda task: -task.per_run.cpu_s.middle)
    return Plan(tuple(tasks), min(workers, len(tasks)), execution)


def _least_s(shape: RunSpec | None) -> float:
    return least_gpu_s(shape) if shape else 0.0


def _at_least(cost: Cost, retry: Retry) -> Cost:
    cpu_s, mem_mb = retry.time_limit_min * 60 / _MARGIN, retry.mem_mb / _MARGIN
    return Cost(
        Range(cost.cpu_s.low, max(cost.cpu_s.high, cpu_s)),
        Range(cost.mem_mb.low, max(cost.mem_mb.high, mem_mb)),
    )


@dataclass(frozen=True)
class Resources:
    """What is asked of a scheduler for each task of an array. mem_mb: in 10**6 bytes."""

    cpus: int
    gpus: int
    mem_mb: int
    time_limit_min: int


@dataclass(frozen=True)
class PlannedArray:
    """Consecutive tasks of one resource class, submitted at once.

    parallel: how many of them run at one time; after: the place of the array that has to end first, if any.
    """

    first_task: int
    n_tasks: int
    resources: Resources
    parallel: int
    after: int | None = None


def arrays(planned: Plan, max_array_size: int) -> tuple[PlannedArray, ...]:
    """Cut a plan's tasks into arrays of one resource class each.

    Each array's share of the workers follows its cost, and the shares of arrays that run at one time never sum to more than
    `planned.workers`; with more arrays than workers, each waits for an earlier one.

    Args:
        max_array_size: of the cluster: an array's indices are below it.
    """
    pieces: list[tuple[int, Sequence[PlannedTask]]] = []
    first = 0
    for _, group in groupby(planned.tasks, key=lambda task: task.per_run):
        members = list(group)
        n_pieces = math.ceil(len(members) / max_array_size)
        bounds = [len(members) * i // n_pieces for i in range(n_pieces + 1)]
        pieces += [(first + start, members[start:end]) for start, end in pairwise(bounds)]
        first += len(members)
    costs_s = [sum(task.cpu_s.middle for task in tasks) for _, tasks in pieces]
    parallel = _shares([len(tasks) for _, tasks in pieces], costs_s, planned.workers)
    return tuple(
        PlannedArray(start, len(tasks), _resources(tasks, planned.execution), parallel[i], _predecessor(i, planned.workers))
        for i, (start, tasks) in enumerate(pieces)
    )


def _predecessor(i: int, workers: int) -> int | None:
    return i - workers if i >= workers else None


def _shares(sizes: list[int], costs_s: list[float], workers: int) -> list[int]:
    """Workers of each array, 1 to the number of its tasks; their sum is at most `workers` (1 each, if there are more)."""
    if len(sizes) >= workers:
        return [1] * len(sizes)
    shares = [1] * len(sizes)
    for _ in range(workers - len(sizes)):  # one more for the array that would take longest
        open_arrays = [i for i, size in enumerate(sizes) if shares[i] < size]
        if not open_arrays:
            break
        shares[max(open_arrays, key=lambda i: costs_s[i] / shares[i])] += 1
    return shares


def speedup(execution: Execution) -> int:
    """By which threads divide a run's time; a GPU's does not depend on them."""
    return 1 if execution.use_cuda else execution.cpu_threads


def _resources(tasks: Sequence[PlannedTask], execution: Execution) -> Resources:
    longest_s = max(task.cpu_s.high for task in tasks) / speedup(execution)
    return Resources(
        cpus=execution.cpu_threads + execution.data_workers,
        gpus=int(execution.use_cuda),
        mem_mb=math.ceil(tasks[0].per_run.mem_mb.high * _MARGIN),
        time_limit_min=math.ceil(longest_s * _MARGIN / 60) + _START_MIN,
    )
