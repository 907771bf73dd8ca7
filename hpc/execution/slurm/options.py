"""The options of sbatch: which a user may set, how they are read, what they ask for."""

import argparse
import math
import re
from collections.abc import Mapping
from typing import Any

from hpc.planning.workers import FirstRequest
from hpc.request.yaml_file import PRINTABLE
from noisy.spec import shown

Options = Mapping[str, str | int | float | bool]

# With others of these, tasks would not be found, not be executed, or not be warned and requeued at their time limit.
_OURS = (
    *("array", "chdir", "error", "input", "job-name", "no-requeue", "open-mode"),
    *("output", "parsable", "requeue", "signal", "test-only", "wrap"),
)
_WHAT_TO_CHANGE = {  # part of a reason of sbatch -> the option behind it
    "account": "account",
    "qos": "qos",
    "node configuration": "mem, cpus_per_task or gres",
    "time limit": "time",
    "partition": "partition",  # last: sbatch speaks of "account/partition combinations"
}


def option_problem(key: Any, value: Any) -> tuple[str, Any, str] | None:
    """What is wrong with an option: what, the value, what is allowed. Options become lines of a shell script."""
    if not (isinstance(key, str) and re.fullmatch(r"[a-z][a-z0-9_-]*", key)):
        return "not an option's name", key, "lower-case letters, digits, - and _, as in sbatch --help"
    if any(name.startswith(key.replace("_", "-")) for name in _OURS):  # sbatch takes abbreviations
        return "an option that is set by this suite", key, f"any option of sbatch but {', '.join(_OURS)}"
    if not (isinstance(value, str | int | float) and str(value).isprintable()):
        return "not possible", value, f"text ({PRINTABLE}), a number, true or false"
    return None


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


def first_request(options: Options) -> FirstRequest:
    """The memory and the time that options ask for.

    Raises:
        ValueError: they cannot be read; the message says what is allowed.
    """
    try:
        time_min = math.ceil(minutes(str(options["time"]))) if "time" in options else None
        mem_mb = math.floor(megabytes(str(options["mem"]))) if "mem" in options else None
    except (ValueError, OverflowError) as error:
        wanted = "time as MINUTES or HOURS:MINUTES:SECONDS, mem as 900M or 4G"
        raise ValueError(f"slurm: {dict(options)}: {error}; allowed: {wanted}") from error
    return FirstRequest(mem_mb, time_min)


def for_script(options: Options, after: str | None) -> dict[str, Any]:
    """A user's options as submitit takes them: an option that is false is left out; time and mem are asked for by the plan.

    Args:
        after: the job that has to end first, beside what the user's own `dependency` names.
    """
    named = {key.replace("-", "_"): value for key, value in options.items() if value is not False}
    dependencies = [f"afterany:{after}"] if after else []
    if "dependency" in named:
        dependencies.append(str(named["dependency"]))
    for key in ("time", "mem", "dependency"):
        named.pop(key, None)
    return named | ({"dependency": ",".join(dependencies)} if dependencies else {})


def what_to_change(answer: str) -> str:
    """The option behind a reason with which sbatch refuses."""
    return next((option for reason, option in _WHAT_TO_CHANGE.items() if reason in answer), "an option")


def minutes(text: str) -> float:
    """A time as Slurm writes it, in minutes: `90`, `3:04` (minutes, seconds), `2:03:04`, `1-02`, `1-02:03:04`, `infinite`.

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
    """A size as sbatch reads it, in 10**6 bytes: `900M`, `4G`, `4000` (of 2**20 bytes).

    Raises:
        ValueError: it is none of these.
    """
    number, unit = (text[:-1], text[-1].upper()) if text[-1:].isalpha() else (text, "M")
    return float(number) * 2.0 ** {"K": 10, "M": 20, "G": 30, "T": 40}.get(unit, math.nan) / 1e6
