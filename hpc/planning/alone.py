"""The cost of a campaign with one array element for each run, for comparison with a plan."""

from dataclasses import dataclass, replace

from hpc.planning.cost import Range
from hpc.planning.deadline import End, end_of
from hpc.planning.tasks import Plan, PlannedTask

MEM_MB = 2000  # what people commonly ask for such a run


@dataclass(frozen=True)
class Alone:
    """n_elements: one for each run; mem_mb: all that run at the same time together; starts_per_min: mean over the campaign."""

    n_elements: int
    cpu_s: Range
    mem_mb: float
    end: End
    starts_per_min: float


def one_run_each(planned: Plan) -> Alone:
    """The same runs, with one element each and as many at a time. Each run first loads torch."""
    slower = replace(planned, tasks=tuple(_with_start(task, planned.start_s) for task in planned.tasks))
    end, n_runs = end_of(slower), planned.n_runs
    return Alone(n_runs, slower.cpu_s, min(planned.workers, n_runs) * MEM_MB, end, n_runs / (end.expected_s / 60))


def _with_start(task: PlannedTask, start_s: Range) -> PlannedTask:
    cost = task.per_run
    return replace(task, per_run=replace(cost, cpu_s=cost.cpu_s + start_s, wall_s=cost.wall_s + start_s))
