"""What was asked for beside what was used, once a campaign is done. Shares are in [0, 1].

The thresholds are those of Princeton's jobstats (github.com/PrincetonUniversity/jobstats): what a cluster calls efficient.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

CPU_LEAST, MEMORY_LEAST, TIME_LEAST = 0.8, 0.7, 0.6


@dataclass(frozen=True)
class Span:
    """A worker's job, or all local workers of a submission.

    job: the scheduler's name, empty for local workers. Seconds of the epoch: queued_s, began_s, ended_s. Asked for: cores,
    mem_mb and time_limit_s (0: no limit).
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
        """From its start to its end."""
        return max(0.0, self.ended_s - self.began_s)


@dataclass(frozen=True)
class Used:
    """What the runs of a job used: seconds, and the most memory in 10**6 bytes."""

    cpu_s: float
    wall_s: float
    peak_mem_mb: float


@dataclass(frozen=True)
class Efficiency:
    """cpu, memory, time: used / asked for, None where nothing was asked for; memory and time of workers that did something.

    overhead: the share of the workers' time in which nothing was trained; wait_s: from the submission to the first start;
    n_jobs: jobs that began; n_idle: of these, jobs that found nothing to do.
    """

    cpu: float
    memory: float | None
    time: float | None
    overhead: float
    wait_s: float
    n_jobs: int
    n_idle: int

    @property
    def advice(self) -> str:
        """What to change for the next campaign: one thing, the most wasteful."""
        if self.cpu < CPU_LEAST:
            return "CPU: workers waited; look for overloaded nodes, or make runs longer than a worker's start"
        if self.memory is not None and self.memory < MEMORY_LEAST:
            return "memory: ask for less, or leave mem out of the grid: then the next plan asks for what was measured"
        if self.time is not None and self.time < TIME_LEAST:
            return "time: set worker_time_min of the grid lower, so that workers fill their time"
        return "nothing to change"


def efficiency(spans: Iterable[Span], used: Mapping[str, Used]) -> Efficiency | None:
    """From the jobs of a campaign, and what the runs of each job used; None if no job is known that did something."""
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
    )
