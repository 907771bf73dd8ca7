"""What hpc's commands say: the plan and its cost before it is spent, what others are at work on, what to type next."""

import shlex
import sys
from pathlib import Path

from hpc.plan import Plan, PlannedArray, speedup
from hpc.state import State
from jobs.campaign import Campaign

_ASK_ABOVE_CPU_H = 10


def show_plan(planned: Plan, found: State, campaign: Campaign, where: str) -> None:
    """Print a plan: runs, tasks, CPU hours, memory, wall time."""
    show_others(found)
    cpu_h, mem_gb, wall_s = planned.cpu_s.scaled(1 / 3600), planned.mem_mb.scaled(1 / 1000), planned.wall_s
    cores = planned.execution.cpu_threads + planned.execution.data_workers
    unit = "GPU" if planned.execution.use_cuda else "CPU"
    print(f"campaign   {campaign.folder}")
    print(f"runs       {planned.n_runs} to run; of the grid's {len(found.runs)}, {found.count('done')} are done")
    print(f"tasks      {len(planned.tasks)}, {planned.workers} at a time, {count(cores, 'core')} each, {where}")
    print(f"{unit} time   {_hours(cpu_h.middle)} {unit} hours expected ({_hours(cpu_h.low)} to {_hours(cpu_h.high)})")
    print(f"memory     {mem_gb.high:.1f} GB at most, all workers together")
    print(f"wall time  {duration(wall_s.middle)} expected ({duration(wall_s.low)} to {duration(wall_s.high)})", flush=True)


def show_arrays(planned: Plan, arrays: tuple[PlannedArray, ...]) -> None:
    """Print what Slurm is asked for, a line an array."""
    task_min = planned.cpu_s.middle / len(planned.tasks) / speedup(planned.execution) / 60
    print(f"arrays     {len(arrays)}; about {planned.workers / max(task_min, 1 / 60):.1f} tasks started per minute")
    for array in arrays:
        asked = array.resources
        gpus = f", {count(asked.gpus, 'GPU')}" if asked.gpus else ""
        each = f"{count(asked.cpus, 'CPU')}{gpus}, {asked.mem_mb / 1000:.1f} GB, {asked.time_limit_min} min each"
        print(f"           {count(array.n_tasks, 'task')}, {array.parallel} at a time, {each}", flush=True)


def show_others(found: State) -> None:
    """Print what is with others, and what is given up."""
    for problem in found.recorded.unreadable:
        print(f"warning: {problem}; its runs are not counted as done", file=sys.stderr)
    for submission, activity in found.activities.items():
        place = "Slurm" if submission.executor == "slurm" else f"process {submission.process.pid} on {submission.process.host}"
        unknown = (
            "" if activity.is_known else f"; it cannot be seen from here: if it is gone, add --abandon {submission.number}"
        )
        print(f"{count(len(activity.tasks), 'task')} of submission {submission.number:04d} still at work ({place}{unknown})")
    if found.given_up:
        print(f"{count(len(found.given_up), 'run')} failed 3 times and left out; --retry-failed tries again")


def consents(planned: Plan, yes: bool) -> bool:
    """Ask before much is spent, on a terminal; elsewhere nobody would answer."""
    if yes or planned.cpu_s.middle / 3600 <= _ASK_ABOVE_CPU_H or not _is_terminal():
        return True
    return asks("Go ahead?")


def asks(question: str) -> bool:
    """Put a question to the user on a terminal; no answer is no, and so is no terminal."""
    if not _is_terminal():
        return False
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def count(n: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def duration(seconds: float) -> str:
    """A time in words: `45 s`, `12 min`, `3.4 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"


def report_command(campaign: Campaign) -> str:
    """What to type for the results."""
    return f"python -m analysis.report --output-dir {quoted(campaign.folder)}"


def quoted(path: Path) -> str:
    """A path as a shell reads it back."""
    return shlex.quote(str(path))


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"
