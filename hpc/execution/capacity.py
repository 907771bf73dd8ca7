"""What this machine has: cores and memory, and how many workers they allow."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass

from hpc.console import count
from hpc.execution.site import NOTE, OK, Line
from jobs.probe import cores_limit, memory_limit_mb
from noisy.spec import Execution


@dataclass(frozen=True)
class Capacity:
    """How many workers this machine allows (perhaps 0). `reason` says why not more; empty if all wanted workers fit."""

    workers: int
    reason: str = ""


def local_capacity(wanted: int | None, execution: Execution, mem_mb: float, shared_mb: float = 0.0) -> Capacity:
    """How many workers of `mem_mb` each fit here.

    Args:
        wanted: max_workers of the grid; None: as many as fit.
        execution: gives the cores of one worker.
        mem_mb: peak memory of the largest run.
        shared_mb: the part of mem_mb that all workers share.
    """
    cores = cores_here()
    by_cores = cores // (execution.cpu_threads + execution.data_workers)
    if not by_cores:
        each = f"cpu_threads_per_worker + data_workers is {execution.cpu_threads + execution.data_workers}"
        return Capacity(0, f"{each}, but this machine has {count(cores, 'core')}; reduce one of them")
    available_mb = memory_mb("MemAvailable")
    by_memory = max(1, int(min((available_mb - shared_mb) // (mem_mb - shared_mb), by_cores)))
    workers = min(by_cores, by_memory)
    if wanted is None or wanted <= workers:
        return Capacity(wanted or workers)
    memory = f"{available_mb / 1000:.1f} GB of free memory at {mem_mb / 1000:.1f} GB a worker"
    what = memory if by_memory < by_cores else count(cores, "core")
    return Capacity(workers, f"max_workers is {wanted}, but {what} allow only {count(workers, 'worker')}")


def look_at_machine() -> Iterator[Line]:
    """Cores and memory, and limits of a container that plans do not take into account."""
    cores, free_mb = cores_here(), memory_mb("MemAvailable")
    for what, found, limit in (("cores", cores, cores_limit()), ("memory_mb", free_mb, memory_limit_mb())):
        is_less = limit is not None and limit < found
        less = f"; a control group allows only {limit:,.1f}: set max_workers of the grid accordingly" if is_less else ""
        yield Line(NOTE if is_less else OK, what, f"{found:,.0f} free for workers{less}")


def cores_here() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_mb(name: str) -> float:
    """The value of a line of /proc/meminfo, in 10**6 bytes; infinite if there is no such file."""
    try:
        with open("/proc/meminfo") as lines:
            return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(f"{name}:"))
    except (OSError, StopIteration):
        return math.inf  # not Linux: the user has to know
