"""Which partitions a request names, and whether its tasks fit into them."""

from collections.abc import Sequence

from hpc.console import Refused
from hpc.execution.slurm.programs import Partition
from hpc.planning.workers import FirstRequest, Limits, PlannedArray


def chosen(every: Sequence[Partition], named: str | None) -> list[Partition]:
    """The partitions to which jobs go: those in `named`, separated by commas, or the default partition.

    Raises:
        Refused: one of them does not exist, or none of them accepts jobs.
    """
    there = ", ".join(each.name for each in every if each.is_up) or "none that is up"
    names = str(named).split(",") if named else [each.name for each in every if each.is_default]
    found = [each for each in every if each.name in names]
    if missing := sorted(set(names) - {each.name for each in found}):
        raise Refused(f"slurm: partition: does not exist: {', '.join(missing)}; allowed: {there}")
    if every and not found:
        raise Refused(f"Slurm has no default partition here; name one with --sbatch partition=NAME: {there}")
    if found and not any(each.is_up for each in found):
        raise Refused(f"slurm: partition {', '.join(names)}: accepts no jobs now (it is not up); allowed: {there}")
    return found


def check_fit(arrays: Sequence[PlannedArray], limits: Limits, first: FirstRequest, every: Sequence[Partition]) -> None:
    """Refuse what the partition could never start. (Slurm itself may accept it and let it wait forever.)"""
    time_limit_min = max((array.resources.time_limit_min for array in arrays), default=0)
    mem_mb = max((array.resources.mem_mb for array in arrays), default=0)
    fitting = [each.name for each in every if each.is_up and each.time_limit_min >= time_limit_min and each.mem_mb >= mem_mb]
    others = f"partitions that allow it: {', '.join(fitting) or 'none'}"
    if first.time_limit_min is None and time_limit_min > limits.time_limit_min:
        allowed = f"allowed by the partition: {limits.time_limit_min:.0f} min; {others}; or --sbatch time=MINUTES"
        raise Refused(f"a task would ask for {time_limit_min} min; {allowed}, or --runs-per-task N")
    if first.mem_mb is None and mem_mb > limits.mem_mb:
        allowed = f"the partition's largest node has {limits.mem_mb:.0f} MB; {others}; or --sbatch mem=MEGABYTES"
        raise Refused(f"a task would ask for {mem_mb} MB; {allowed}")
