"""How much of what was asked for was used, after a campaign. Shares are in [0, 1].

The thresholds for efficient jobs are those of Princeton's jobstats (github.com/PrincetonUniversity/jobstats).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

CPU_LEAST, MEMORY_LEAST, TIME_LEAST = 0.8, 0.7, 0.6


@dataclass(frozen=True)
class Span:
    """A worker's job, or all local workers of a submission.

    job: its name for the scheduler, empty for local workers; queued_s, began_s, ended_s: seconds since the epoch; cores,
    mem_mb, time_limit_s: what was asked for (0: no limit).
    """

    job: str
    queued_s: float
    began_s: float
    ended_s: float
    cores: int
    mem_mb: float = 0.0
    time_limit_s: float = 0.0

    @property
    def ran_s(self) -> float:
        """Seconds from its start to its end."""
        return max(0.0, self.ended_s - self.began_s)


@dataclass(frozen=True)
class Used:
    """What the runs of a job used: seconds, and the peak memory in 10**6 bytes."""

    cpu_s: float
    wall_s: float
    peak_mem_mb: float


@dataclass(frozen=True)
class Efficiency:
    """cpu, memory, time: used / asked for, None if nothing was asked for; memory and time only of workers that trained runs.

    overhead: the share of the workers' time that was not training; wait_s: seconds from the submission to the first start;
    n_jobs: number of jobs that began; n_idle: number of these that found nothing to do; core_s: their time x their cores.
    """

    cpu: float
    memory: float | None
    time: float | None
    overhead: float
    wait_s: float
    n_jobs: int
    n_idle: int
    core_s: float

    @property
    def advice(self) -> str:
        """What to change for the next campaign: only the largest waste."""
        if self.cpu < CPU_LEAST:
            return "CPU: workers waited; look for overloaded nodes, or make runs longer than a worker's start"
        if self.memory is not None and self.memory < MEMORY_LEAST:
            return "memory: ask for less, or remove mem from the grid: then the next plan asks for what was measured"
        if self.time is not None and self.time < TIME_LEAST:
            return "time: reduce worker_time_min in the grid, so that workers use their whole time"
        return "nothing to change"


def efficiency(spans: Iterable[Span], used: Mapping[str, Used]) -> Efficiency | None:
    """The efficiency of a campaign, from its jobs and what their runs used; None if no job is known that trained a run."""
    began = [span for span in spans if span.ran_s > 0]
    busy = [span for span in began if span.job in used]
    if not busy:
        return None
    core_s = sum(span.ran_s * span.cores for span in began)
    asked_mb_s = sum(span.ran_s * span.mem_mb for span in busy)
    used_mb_s = sum(span.ran_s * min(used[span.job].peak_mem_mb, span.mem_mb) for span in busy)
    limit_s = sum(span.time_limit_s for span in busy)
    worker_s = sum(span.ran_s for span in began)
    return Efficiency(
        cpu=sum(used[span.job].cpu_s for span in busy) / core_s,
        memory=used_mb_s / asked_mb_s if asked_mb_s else None,
        time=sum(span.ran_s for span in busy) / limit_s if limit_s else None,
        overhead=max(0.0, 1 - sum(used[span.job].wall_s for span in busy) / worker_s),
        wait_s=max(0.0, min(span.began_s for span in began) - min(span.queued_s for span in began)),
        n_jobs=len(began),
        n_idle=len(began) - len(busy),
        core_s=core_s,
    )
