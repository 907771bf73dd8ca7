"""The plan as a table, before anything is submitted. A second column shows what one array element per run would need."""

from collections.abc import Iterator

import numpy as np

from hpc.console import count, duration, hours, show_others
from hpc.execution.executor import Request
from hpc.planning.alone import MEM_MB, one_run_each
from hpc.planning.cost import Range
from hpc.planning.deadline import PROMISE_HOSTS, End, end_of
from hpc.planning.decision import Decision
from hpc.planning.tasks import Plan
from hpc.state.known import finished_by
from hpc.state.runs import State
from jobs.adopted import only_in_results
from jobs.typed import quoted

_FEW_S = 36.0  # less than this, a hundredth of an hour, is shown in seconds
_WIDTH = 11, 52  # widths in characters: the label, the plan's figure


def show_decision(decision: Decision, found: State, request: Request, where: str, costs: str) -> None:
    """Print a plan. costs: what its costs are based on, in words."""
    show_others(found)
    for line in lines_of(decision, found, request, where, costs):
        print(line, flush=True)


def lines_of(decision: Decision, found: State, request: Request, where: str, costs: str) -> Iterator[str]:
    """The lines of a plan."""
    planned = decision.whole
    cores = planned.execution.cpu_threads + planned.execution.data_workers
    yield f"campaign   {request.campaign.folder}"
    if request.grid.settings:
        yield f"set        {'; '.join(request.grid.settings)}"
    if request.redo:
        yield f"again      {request.redo.asked}"
    whose = "redo" if request.redo else "grid"
    yield f"runs       {planned.n_runs} to run; {found.count('done')} of the {whose}'s {len(found.runs)} are done"
    at_a_time = f"{len(planned.tasks):,}, {planned.workers} at a time, {count(cores, 'core')} each, {where}"
    rows = [("tasks", at_a_time, ""), *_figures(planned)]
    if decision.arrays:
        rows = [("", "this plan", "one run per element"), *_beside(decision, rows)]
    for row in rows:
        yield "".join(f"{text:{width}}" for text, width in zip(row, (*_WIDTH, 0), strict=True)).rstrip()
    yield f"costs      {costs}"
    yield from (
        *_only_in_results(request, found),
        *_about_end(planned, request),
        *_cancelled(planned, found),
        *_retries(planned),
        *_arrays(decision),
    )


def _only_in_results(request: Request, found: State) -> Iterator[str]:
    """What need not be trained again, because results.h5 has it."""
    if request.redo or request.taken_over or found.activities:
        return
    if kept := only_in_results(request.campaign, finished_by(found.recorded)):
        results, places = kept
        n = int(np.count_nonzero(request.runs.places_of(results.manifest.runs.run_id[places]) >= 0))
        if n:
            which = f"the shards have lost the records of {count(n, 'run')}, but results.h5 has them"
            yield f"note       {which}; add --from {quoted(request.campaign.folder)} to take them back without training"


def _figures(planned: Plan) -> list[tuple[str, str, str]]:
    unit, seconds = ("GPU", planned.gpu_s) if planned.execution.use_cuda else ("CPU", planned.cpu_s)
    return [
        (f"{unit} time", f"{_hours(seconds, unit)}", ""),
        ("memory", f"{planned.mem_mb.high / 1000:.1f} GB at most, all workers together", ""),
        ("end", _end(end_of(planned)), ""),
    ]


def _beside(decision: Decision, rows: list[tuple[str, str, str]]) -> Iterator[tuple[str, str, str]]:
    """The rows, with the figures for one array element per run beside them, and with the number of elements that start."""
    planned, alone = decision.whole, one_run_each(decision.whole)
    unit = "GPU" if planned.execution.use_cuda else "CPU"
    asked_mb = max(array.resources.mem_mb * array.parallel for array in decision.arrays if not array.is_sweep)
    n_elements = sum(array.n_workers for array in decision.arrays)
    per_min = n_elements / (end_of(decision.now).expected_s / 60)
    beside = {
        "tasks": f"{alone.n_elements:,}",
        f"{unit} time": _hours(alone.cpu_s, unit) if unit == "CPU" else "",
        "memory": f"{alone.mem_mb / 1000:.0f} GB, at {MEM_MB / 1000:.0f} GB each",
        "end": _end(alone.end),
    }
    for label, text, _ in rows:
        asked = f"{asked_mb / 1000:.0f} GB asked for at once" if label == "memory" else text
        yield label, asked, beside[label]
    yield "starts", f"{per_min:.1f} a minute", f"{alone.starts_per_min:.1f} a minute"


def _hours(seconds: Range, unit: str) -> str:
    if seconds.high < _FEW_S:
        return f"{seconds.middle:.2g} {unit} s expected ({seconds.low:.2g} to {seconds.high:.2g})"
    low, middle, high = (hours(each / 3600) for each in (seconds.low, seconds.middle, seconds.high))
    return f"{middle} {unit} hours expected ({low} to {high})"


def _end(end: End) -> str:
    return f"{duration(end.expected_s)} expected ({duration(end.low_s)} to {duration(end.high_s)})"


def _about_end(planned: Plan, request: Request) -> Iterator[str]:
    """Lines about the end: whether it is promised, and whether a deadline will be kept."""
    end = end_of(planned)
    if end.is_promise:
        yield f"promise    the end is promised within {duration(end.high_s)} of the first start"
    if request.deadline is not None:
        called = "promised" if end.is_promise else f"expected, not promised: that needs records of {PROMISE_HOSTS} hosts"
        yield f"deadline   {count(planned.workers, 'worker')} will do; the end by then is {called}"


def _cancelled(planned: Plan, found: State) -> Iterator[str]:
    cancelled = found.runs.run_id[found.places("cancelled")]
    if n := sum(int(np.isin(task.runs.run_id, cancelled).sum()) for task in planned.tasks):
        yield f"cancelled  {n:,} of these were cancelled before, and will run again; remove unwanted ones from the grid"


def _retries(planned: Plan) -> Iterator[str]:
    alone = [task.retry for task in planned.tasks if task.retry.mem_mb or task.retry.time_limit_min]
    if alone:
        mem_gb, time_min = max(retry.mem_mb for retry in alone) / 1000, max(retry.time_limit_min for retry in alone)
        more = [f"{mem_gb:.1f} GB"] * (mem_gb > 0) + [f"{time_min:.0f} min"] * (time_min > 0)
        asked = f"each alone in a task that asks for more (up to {' and '.join(more)}), even if you set mem or time"
        yield f"retries    {count(len(alone), 'run')} ran out of memory or time before: {asked}"


def _arrays(decision: Decision) -> Iterator[str]:
    label = "arrays"
    for array in decision.arrays:
        asked = array.resources
        gpus = f", {count(asked.gpus, 'GPU')}" if asked.gpus else ""
        each = f"{count(asked.cpus, 'CPU')}{gpus}, {asked.mem_mb / 1000:.1f} GB, {asked.time_limit_min} min each"
        sweep = "; they execute what others left undone" if array.is_sweep else ""
        yield f"{label:{_WIDTH[0]}}{count(array.n_workers, 'worker')}, {array.parallel} at a time, {each}{sweep}"
        label = ""
