"""All executors, and which of them a command means."""

from collections.abc import Callable, Mapping
from typing import Any

from hpc.execution.executor import Executor
from hpc.execution.local import Local
from hpc.execution.slurm.executor import SECTION, Slurm
from hpc.execution.slurm.options import option_problem
from hpc.request.grid import Problem

EXECUTORS: dict[str, Executor] = {"slurm": Slurm(), "local": Local()}  # name -> executor
SECTIONS: Mapping[str, Callable[[Any, Any], Problem | None]] = {SECTION: option_problem}  # of a grid file


def best() -> str:
    """The name of the executor if the user names none: a scheduler if there is one."""
    return "slurm" if Slurm.is_here() else "local"
