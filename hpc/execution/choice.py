"""All executors, and which of them a command uses."""

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from hpc.console import Refused
from hpc.execution.executor import Executor
from hpc.execution.local import Local
from hpc.execution.slurm.executor import SECTION, Slurm
from hpc.execution.slurm.options import EXAMPLE, SCHEMA, option_problem
from hpc.request.grid import Problem

EXECUTORS: dict[str, Executor] = {"slurm": Slurm(), "local": Local()}  # name -> executor
SECTIONS: Mapping[str, Callable[[Any, Any], Problem | None]] = {SECTION: option_problem}  # of a grid file
SECTION_EXAMPLE = EXAMPLE  # for a new grid file
SECTION_SCHEMAS: Mapping[str, Mapping[str, Any]] = {SECTION: SCHEMA}  # the same as JSON schemas, as far as these can say it


def add_own_options(parser: argparse.ArgumentParser) -> dict[str, list[argparse.Action]]:
    """Add the options that only one executor knows; returns them, by its name."""
    groups = {name: parser.add_argument_group(f"only with --executor {name}") for name in EXECUTORS}
    return {name: executor.add_options(groups[name].add_argument) for name, executor in EXECUTORS.items()}


def refuse_others(options: argparse.Namespace, name: str, own_options: dict[str, list[argparse.Action]]) -> None:
    """Refuse the options of another executor than this: they would be ignored.

    Raises:
        Refused: there are some.
    """
    for other, actions in own_options.items():
        given = [each.option_strings[0] for each in actions if getattr(options, each.dest) != each.default]
        if other != name and given:
            why = f"this runs with --executor {name}" if options.executor == name else f"no {other} was found on this machine"
            raise Refused(f"{', '.join(given)}: only with --executor {other}, and {why}")


def best() -> str:
    """The name of the executor that is used by default: a scheduler if there is one, else this machine."""
    return "slurm" if Slurm.is_here() else "local"
