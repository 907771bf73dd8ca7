"""All executors, and which of them a command uses."""

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
    """The name of the executor that is used by default: a scheduler if there is one, else this machine."""
    return "slurm" if Slurm.is_here() else "local"
