"""What hpc.doctor checks of Slurm: programs, limits, partitions, accounting, and whether it would accept an array."""

import contextlib
import io
import math
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

from hpc.execution.site import NOTE, OK, PROBLEM, Check, Line
from hpc.execution.slurm import batch, options, programs
from hpc.execution.slurm.calling import call, environment
from hpc.execution.slurm.fitting import chosen
from hpc.planning.workers import PlannedArray, Resources
from hpc.state.arrays import arrays_of
from jobs.campaign import Campaign
from jobs.printing import count
from jobs.typed import typed

_PROGRAMS, _HELPFUL = ("sbatch", "squeue", "scontrol", "sinfo", "scancel", "srun"), ("sacct", "sacctmgr")
_LOG_IN = "log in to a node that has them, or load the module of Slurm"
_OURS = Resources(cpus=1, gpus=0, mem_mb=900, time_limit_min=5)  # time limit of a small task
_SMALL_MB, _SHORT_MIN = 1000, 10


def checks(asked: Callable[[], options.Options]) -> list[Check]:
    """The checks of Slurm. asked: gives the user's options, which may be refused."""
    again = "see that this is a login node and that `scontrol ping` says UP; ask the site if it is not"
    name_one = "name another with --sbatch partition=NAME; `sinfo` lists them"
    return [
        Check("programs", _programs, _LOG_IN),
        Check("environment", _environment, "unset the variable"),
        Check("queue", _queue, again),
        Check("accounting", _accounting, again),
        Check("partitions", lambda: _partitions(asked()), name_one),
        Check("test-only", lambda: _accepted(asked()), again),
    ]


def _programs() -> Iterator[Line]:
    said = call("sbatch", "--version").stdout.strip()
    yield Line(OK if said else PROBLEM, "Slurm", f"{said or 'sbatch prints no version'}, submitit {version('submitit')}")
    for names, mark in ((_PROGRAMS, PROBLEM), (_HELPFUL, NOTE)):
        if missing := [name for name in names if not shutil.which(name)]:
            yield Line(mark, "programs", f"not on PATH: {', '.join(missing)}", _LOG_IN)


def _environment() -> Iterator[Line]:
    honoured = [f"SBATCH_{option.upper()}" for option in options.from_environment(os.environ)]
    removed = sorted({*os.environ} - {*environment()} - {*honoured})
    kept = [name for name in environment() if name.startswith(("SLURM_", "SBATCH_"))]
    parts = {"honoured": honoured, "kept": kept, "taken out": removed}
    said = "; ".join(f"{what}: {' '.join(names)}" for what, names in parts.items() if names)
    yield Line(NOTE if removed else OK, "environment", said or "no variables of Slurm are set")


def _queue() -> Iterator[Line]:
    started_s = time.monotonic()
    queue = programs.queue()
    n_tasks = count(len(queue.elements), "task")
    found = f"squeue answers in {time.monotonic() - started_s:.1f} s; you have {n_tasks} in the queue"
    yield Line(NOTE if queue.doubt else OK, "queue", found + (f"; {queue.doubt}" if queue.doubt else ""))


def _accounting() -> Iterator[Line]:
    try:
        programs.accounting_rows(["1"])
        yield Line(OK, "accounting", "sacct answers")
    except programs.SchedulerError as error:
        less = f"how a task ended is then told from the controller, for some minutes only: call {typed('status')} soon after"
        yield Line(NOTE, "accounting", f"{error}; {less}")


def _partitions(asked: options.Options) -> Iterator[Line]:
    """The partitions that the options name, the others, and the limits on submissions."""
    every = programs.partitions()
    used = chosen(every, asked.get("partition"))
    asks_memory = asked.get("mem", True) not in (None, False)
    for each in used:
        memory = "memory not configured" if each.mem_mb == math.inf else f"nodes of {each.mem_mb:,.0f} MB at most"
        size = f"{memory}, {_time(each.time_limit_min)}" + ("" if each.is_up else ", not up")
        if each.mem_mb == math.inf and asks_memory:
            help_ = "--sbatch mem=false (slurm: {mem: false} in a grid): then no memory is asked for"
            yield Line(PROBLEM, "partition", f"{each.name}: {size}: Slurm may refuse jobs that ask for memory", help_)
        else:
            is_little = each.time_limit_min < _SHORT_MIN or each.mem_mb < _SMALL_MB or not each.is_up
            yield Line(NOTE if is_little else OK, "partition", f"{each.name}: {size}")
    others = [f"{each.name} ({_time(each.time_limit_min)})" for each in every if each not in used and each.is_up]
    yield Line(OK, "others", ", ".join(others) or "no other partition is up")
    with contextlib.redirect_stderr(io.StringIO()) as said:
        found = programs.limits(used)
    for line in said.getvalue().splitlines():
        yield Line(NOTE, "limits", line.removeprefix("note: "))
    yield Line(OK, "limits", f"{found.max_array_size:,} workers in an array, {found.max_submitted:,} of yours in the queue")


def _accepted(asked: options.Options) -> Iterator[Line]:
    """Whether sbatch would accept an array of two small tasks."""
    first = options.first_request(asked)
    wanted = Resources(1, 0, first.mem_mb or _OURS.mem_mb, first.time_limit_min or _OURS.time_limit_min)
    arrays = arrays_of("doctor", 0, 2, [PlannedArray(2, wanted, 2)], None)
    for _, answer, is_accepted in batch.rehearse(Campaign(Path("doctor")), arrays, asked):
        names = tuple(re.findall(r"on nodes? (\S+)", answer))
        help_ = f"change {options.what_to_change(answer)}, with --sbatch KEY=VALUE (`sinfo` shows what there is)"
        yield Line(OK if is_accepted else PROBLEM, "test-only", " ".join(answer.split()), "" if is_accepted else help_, names)


def _time(minutes: float) -> str:
    return "no time limit" if minutes == math.inf else f"{minutes:,.0f} min"
