"""Options of sbatch: which ones a user may set, how they are read, and what they ask for."""

import argparse
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hpc.console import Refused
from hpc.planning.workers import FirstRequest
from hpc.request.yaml_file import PRINTABLE
from noisy.spec import shown

Options = Mapping[str, Any]  # values are text, numbers, true or false; mem may be null; setup is a list of lines

# With other values of these, tasks would not be found, not be executed, or not be warned and requeued at the time limit.
_OURS = (
    *("array", "autocomplete", "chdir", "clusters", "error", "external", "help", "input", "job-name", "no-requeue"),
    *("open-mode", "output", "parsable", "quiet", "requeue", "signal", "test-only", "usage", "version", "wait", "wrap"),
)
_SHORT = {
    **{"A": "account", "C": "constraint", "G": "gpus", "L": "licenses", "N": "nodes", "S": "core-spec", "c": "cpus-per-task"},
    **{"d": "dependency", "m": "distribution", "n": "ntasks", "p": "partition", "q": "qos", "t": "time", "w": "nodelist"},
    "x": "exclude",
}
_PLAIN = {"type": ["string", "number", "boolean"], "pattern": "^[^\\x00-\\x1f\\x7f]*$"}  # (a pattern is for texts alone)
EXAMPLE = "slurm: {}                            # any option of sbatch: {partition: cpu, account: my-lab}"
SCHEMA: dict[str, Any] = {  # of a grid's section
    "type": "object",
    "description": "any option of sbatch",
    "propertyNames": {
        "pattern": "^[a-z][a-z0-9_-]*$",
        "not": {"enum": sorted({*_SHORT, *_OURS, *(name.replace("-", "_") for name in _OURS)})},
    },
    "properties": {
        "setup": {"type": "array", "items": {"type": "string"}, "description": "shell commands before a worker starts"},
        "mem": {**_PLAIN, "type": [*_PLAIN["type"], "null"]},
    },
    "additionalProperties": _PLAIN,
}
_MEMORY = ("mem", "mem_per_cpu", "mem_per_gpu")
_FROM_ENVIRONMENT = {f"SBATCH_{name.upper()}": name for name in ("partition", "account", "qos", "reservation", "constraint")}
_WHAT_TO_CHANGE = {  # part of the message of sbatch -> the options that it is about
    "qos": "qos",
    "QOS": "qos",
    "wckey": "wckey",
    "gres": "gres",
    "icense": "licenses",
    "eservation": "reservation",
    "feature": "constraint",
    "emory": "mem",
    "node configuration": "mem, cpus_per_task or gres",
    "time limit": "time",
    "account/partition": "account or partition",
    "account": "account",
    "partition": "partition",
}


def option_problem(key: Any, value: Any) -> tuple[str, Any, str] | None:
    """The problem of an option as (what, value, what is allowed), or None. Options become lines of a shell script."""
    if key in _SHORT:
        return "a short form", key, f"the long form, {_SHORT[key]}"
    if not (isinstance(key, str) and re.fullmatch(r"[a-z][a-z0-9_-]*", key)):
        return "not an option's name", key, "lower-case letters, digits, - and _, as in sbatch --help"
    if any(name.startswith(key.replace("_", "-")) for name in _OURS):  # sbatch accepts abbreviations
        return "an option that this program sets", key, f"any option of sbatch except {', '.join(_OURS)}"
    if key == "setup":
        is_list = isinstance(value, list) and all(isinstance(line, str) and line.isprintable() for line in value)
        return None if is_list else ("not possible", value, 'a list of shell commands, such as ["module load python/3.11"]')
    if not (isinstance(value, str | int | float) and str(value).isprintable()) and (key, value) != ("mem", None):
        return "not possible", value, f"text ({PRINTABLE}), a number, true or false"
    return None


def from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The options that a user has set for all submissions by environment variables of sbatch.

    Raises:
        ValueError: a value is not possible.
    """
    found = {option: environment[name] for name, option in _FROM_ENVIRONMENT.items() if environment.get(name)}
    for option, value in found.items():
        if option_problem(option, value):
            raise ValueError(f"SBATCH_{option.upper()}: not possible: {value!r}; allowed: {PRINTABLE}")
    return found


def command_line_option(text: str) -> tuple[str, str | bool]:
    """`KEY=VALUE`, or `KEY` for an option without a value.

    Raises:
        argparse.ArgumentTypeError: it is not allowed.
    """
    key, _, value = text.partition("=")
    if problem := option_problem(key, value):
        what, wrong, allowed = problem
        raise argparse.ArgumentTypeError(f"{what}: {shown(wrong)}; allowed: KEY=VALUE, such as partition=cpu; {allowed}")
    return key, {"": True, "true": True, "false": False}.get(value, value)


def first_request(options: Options, cpus: int = 1, gpus: int = 0) -> FirstRequest:
    """The memory and the time that the options ask for, for a task with this number of cores and GPUs.

    Raises:
        ValueError: they cannot be read; the message says what is allowed.
    """
    times = {"mem": 1, "mem_per_cpu": options.get("cpus_per_task", cpus), "mem_per_gpu": max(gpus, 1)}
    try:
        time_min = math.ceil(minutes(str(options["time"]))) if "time" in options else None
        mem_mb = [math.floor(megabytes(str(options[key])) * int(times[key])) for key in _memory_keys(options)]
    except (ValueError, OverflowError) as error:
        wanted = "time as MINUTES or HOURS:MINUTES:SECONDS, mem as 900M or 4G"
        raise ValueError(f"slurm: {dict(options)}: {error}; allowed: {wanted}") from error
    if len(mem_mb) > 1:
        raise ValueError(f"slurm: {dict(options)}: only one of mem, mem-per-cpu and mem-per-gpu is possible")
    return FirstRequest(mem_mb[0] if mem_mb else None, time_min)


def memory_for_script(options: Options, mem_mb: int, cpus: int, gpus: int) -> dict[str, str | None]:
    """The option that asks for `mem_mb` (10**6 bytes), in the form that the user's options have; no option for `mem: null`."""
    if options.get("mem", True) in (None, False):
        return {"mem": None}
    key = next(iter(_memory_keys(options)), "mem")
    parts = {"mem": 1, "mem_per_cpu": int(options.get("cpus_per_task", cpus)), "mem_per_gpu": max(gpus, 1)}[key]
    return {"mem": None, key: f"{math.ceil(mem_mb * 1e6 / 2**20 / parts)}M"}  # sbatch's M is 2**20 bytes


def _memory_keys(options: Options) -> list[str]:
    return [key for key in _MEMORY if options.get(key) not in (None, False)]


def for_script(options: Options, after: Sequence[str]) -> dict[str, Any]:
    """A user's options as submitit takes them, without those that are false. Time and memory come from the plan.

    Args:
        after: jobs that have to end first, in addition to those of the user's own `dependency`.
    """
    named = {key: value for key, value in options.items() if value is not False}
    dependencies = [f"afterany:{':'.join(after)}"] if after else []
    if "dependency" in named:
        dependencies.append(str(named["dependency"]))
    for key in ("time", *_MEMORY, "dependency", "setup", "python"):
        named.pop(key, None)
    return named | ({"dependency": ",".join(dependencies)} if dependencies else {})


def what_to_change(answer: str) -> str:
    """The option to change after an error message of sbatch."""
    return next((option for reason, option in _WHAT_TO_CHANGE.items() if reason in answer), "an option")


def minutes(text: str) -> float:
    """Minutes, from a time as Slurm writes it: `90`, `3:04` (minutes, seconds), `2:03:04`, `1-02`, `1-02:03:04`, `infinite`.

    Raises:
        ValueError: it is none of these.
    """
    if text.lower() in ("infinite", "unlimited"):
        return math.inf
    days, dash, rest = text.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    hours_first = parts if dash or len(parts) == 3 else [0, *parts]
    hours, mins, seconds = [*hours_first, 0, 0][:3]
    return int(days or 0) * 24 * 60 + hours * 60 + mins + seconds / 60


def megabytes(text: str) -> float:
    """Read a size as sbatch does: `900M`, `4G`, `4000` (units of 2**20 bytes). Returns it in units of 10**6 bytes.

    Raises:
        ValueError: it is none of these.
    """
    number, unit = (text[:-1], text[-1].upper()) if text[-1:].isalpha() else (text, "M")
    return float(number) * 2.0 ** {"K": 10, "M": 20, "G": 30, "T": 40}.get(unit, math.nan) / 1e6


def merged(of_command: Iterable[tuple[str, Any]], of_grid: Options) -> Options:
    """The options of the user's environment, the grid and the command line; later ones replace earlier ones.

    Raises:
        Refused: an option of the environment is not possible.
    """
    given = {**of_grid, **dict(of_command)}
    try:
        return {**from_environment(os.environ), **{key.replace("-", "_"): value for key, value in given.items()}}
    except ValueError as error:
        raise Refused(str(error)) from error
