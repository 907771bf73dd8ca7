"""Missing runs -> tasks, and what they cost. Pure: reads and writes nothing."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from hpc.estimate import Cost, Range, estimate
from noisy.spec import Execution, RunSpec

TASK_MIN_S = 20  # a task should outweigh its start (importing torch, loading data: some 3 s) ...
TASK_MAX_S = 1800  # ... and be short enough to fit into gaps of a schedule and to lose little
TASKS_PER_WORKER = 4  # enough of them that workers end at about the same time


@dataclass(frozen=True)
class PlannedTask:
    """Runs of one resource class, executed one after the other."""

    runs: tuple[RunSpec, ...]
    cost: Cost  # cpu_s: of all runs together; mem_mb: of one


@dataclass(frozen=True)
class Plan:
    """Tasks in the order in which they are to start, `workers` at a time."""

    tasks: tuple[PlannedTask, ...]
    workers: int
    execution: Execution

    @property
    def n_runs(self) -> int:
        """Runs in all tasks."""
        return sum(len(task.runs) for task in self.tasks)

    @property
    def cpu_s(self) -> Range:
        """CPU seconds of all runs."""
        return sum((task.cost.cpu_s for task in self.tasks), Range(0, 0))

    @property
    def mem_mb(self) -> Range:
        """Peak memory of all workers together: the largest tasks at the same time."""
        largest = sorted((task.cost.mem_mb for task in self.tasks), key=lambda mem: -mem.high)[: self.workers]
        return sum(largest, Range(0, 0))

    @property
    def wall_s(self) -> Range:
        """From the first start to the last end: work shared evenly, but never less than the longest task."""
        longest = max((task.cost.cpu_s for task in self.tasks), key=lambda cpu_s: cpu_s.high)
        share = self.cpu_s.scaled(1 / self.workers)
        return Range(max(share.low, longest.low), max(share.high, longest.high)).scaled(1 / self.execution.cpu_threads)


def plan(runs: Sequence[RunSpec], workers: int, execution: Execution) -> Plan:
    """Group runs into tasks of one resource class each, the longest runs first so that the campaign's end is not held up.

    Args:
        runs: what is missing, in the order in which results are wanted; at least one.
        workers: tasks executed at the same time.
        execution: of every run.
    """
    by_cost: dict[Cost, list[RunSpec]] = {}
    for run in runs:
        by_cost.setdefault(estimate(run), []).append(run)
    total_s = sum(cost.cpu_s.middle * len(members) for cost, members in by_cost.items())
    task_s = min(max(total_s / (workers * TASKS_PER_WORKER), TASK_MIN_S), TASK_MAX_S)
    tasks = []
    for cost, members in sorted(by_cost.items(), key=lambda item: -item[0].cpu_s.middle):
        n_tasks = min(len(members), max(1, round(len(members) * cost.cpu_s.middle / task_s)))
        bounds = [len(members) * i // n_tasks for i in range(n_tasks + 1)]
        for start, end in itertools.pairwise(bounds):
            tasks.append(PlannedTask(tuple(members[start:end]), Cost(cost.cpu_s.scaled(end - start), cost.mem_mb)))
    return Plan(tuple(tasks), min(workers, len(tasks)), execution)
