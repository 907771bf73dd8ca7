"""The deadline of a command: how much time it leaves, and the message if it cannot be met."""

from datetime import datetime

from hpc.console import Refused, count, duration
from hpc.execution.executor import Request
from hpc.planning.deadline import PROMISE_HOSTS, TooLate
from jobs.typed import typed


def seconds_left(request: Request) -> float | None:
    """Seconds from the first start of a run to the deadline; None without a deadline.

    A time of day counts from now, because nobody knows how long the queue lets a campaign wait.
    """
    return request.deadline.left_s(datetime.now().astimezone()) if request.deadline else None


def refusal(late: TooLate, request: Request, never_measured: list[str]) -> Refused:
    """The message if a deadline cannot be met. never_measured: names of the kinds of runs with unknown costs."""
    assert request.deadline
    left_s, end, workers = seconds_left(request) or 0.0, late.end, late.planned.workers
    called = "promised" if end.is_promise else f"expected; a promise needs records of {PROMISE_HOSTS} hosts"
    would_do = [f"--deadline {_longer(end.high_s)}"]
    if late.would_do:
        would_do.append(f"max_workers: {late.would_do} in the grid")
    if 0 < late.n_runs < late.planned.n_runs:
        would_do.append(f"--limit {late.n_runs}, the first repeats of each cell")
    soonest = f"with {count(workers, 'worker')} everything ends within {duration(end.high_s)} ({called})"
    if never_measured:
        kinds = ", ".join(never_measured)
        would_do.append(f"{typed('calibrate')} with the same --grid, because the costs of {kinds} were never measured")
    return Refused(
        f"the deadline cannot be met: {soonest}; that is {duration(end.high_s - left_s)} too late; what would help: "
        + "; or ".join(would_do)
    )


def _longer(seconds: float) -> str:
    """A slightly longer time, in the form that --deadline reads."""
    return f"{int(seconds // 60) + 1}min" if seconds < 10 * 3600 else f"{seconds / 3600 + 0.05:.1f}h"
