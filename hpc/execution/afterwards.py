"""After a campaign: how much of what was asked for was used, and what to change next time."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from hpc.console import count, duration
from hpc.planning.efficiency import CPU_LEAST, MEMORY_LEAST, TIME_LEAST, Used, efficiency
from hpc.state.runs import State
from hpc.state.scheduler import Scheduler, SchedulerError
from jobs.campaign import Campaign
from jobs.recorded import Source

_WORTH_S = 600.0  # seconds of all cores from which the figures teach something
_LEAST = {"cpu": CPU_LEAST, "memory": MEMORY_LEAST, "time": TIME_LEAST}


def used_and_asked(
    campaign: Campaign, found: State, sources: Iterable[Source], schedulers: Mapping[str, Scheduler]
) -> dict[str, Any] | None:
    """The figures of hpc/planning/efficiency.py with `advice`; None if something is not done, or if no scheduler knows them.

    Args:
        sources: all shards with all records that they ever had.
    """
    if found.activities or found.count("done") < len(found.runs):
        return None
    submitted = [each.submission for each in found.known.submitted]
    try:
        spans = [
            span
            for name, scheduler in schedulers.items()
            for span in scheduler.spans(campaign, [each for each in submitted if each.executor == name])
        ]
    except SchedulerError:  # nothing depends on these figures
        return None
    known = efficiency(spans, used_by(sources))
    return {**asdict(known), "advice": known.advice} if known else None


def used_by(sources: Iterable[Source]) -> dict[str, Used]:
    """job -> what its runs used. Without a job, the key is the number of the submission, such as `local-0001`."""
    parts: dict[str, list[np.ndarray]] = defaultdict(list)
    for source in sources:
        if len(source.records):
            number = source.attributes.get("submission", 0)
            parts[str(source.attributes.get("job", "")) or f"local-{number:04d}"].append(source.records)
    return {job: _used(np.concatenate(records)) for job, records in parts.items()}


def _used(records: np.ndarray) -> Used:
    peaks_mb = records["peak_mem_mb"][~np.isnan(records["peak_mem_mb"])]
    return Used(float(np.nansum(records["cpu_s"])), float(np.nansum(records["wall_s"])), float(peaks_mb.max(initial=0)))


def lines_of(known: Mapping[str, Any]) -> Iterator[str]:
    """The figures as lines of text; none for a campaign so small that most of its time is the start of Python."""
    if known["core_s"] < _WORTH_S:
        return
    shares = ", ".join(
        f"{name} {known[name]:.0%} ({'good' if known[name] >= least else 'low'}: at least {least:.0%} is good)"
        for name, least in _LEAST.items()
        if known[name] is not None
    )
    yield f"  used of what was asked for: {shares}"
    idle = f", of which {known['n_idle']} found nothing to do" if known["n_idle"] else ""
    overhead = f"{known['overhead']:.0%} of the workers' time was not training"
    yield f"  {count(known['n_jobs'], 'job')}{idle}; the first waited {duration(known['wait_s'])}; {overhead}"
    yield f"  next time: {known['advice']}"
