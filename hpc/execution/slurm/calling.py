"""Call a program of Slurm with a time limit, in an environment that does not change its answers."""

import math
import os
import subprocess

from hpc.state.scheduler import SchedulerError

TIMEOUT_VARIABLE = "NOISY_SCHEDULER_TIMEOUT_S"  # the time limit; on a busy cluster a program may take half a minute
_OF_SLURM = ("SLURM_", "SBATCH_", "SQUEUE_", "SACCT_", "SACCTMGR_", "SINFO_", "SCONTROL_", "SCANCEL_", "SRUN_", "SALLOC_")
_NEEDED = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT", "SLURM_SACK_SOCKET")  # which cluster, which user


def call(*command: str, text: str | None = None) -> subprocess.CompletedProcess:
    """Call a program, whatever its exit status; `text` goes to its standard input.

    Raises:
        SchedulerError: there is no such program, or it does not answer.
    """
    timeout_s = _timeout_s()
    try:
        return subprocess.run(
            command,
            input=text or "",  # so that no program waits for a terminal
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            env=environment(),
            check=False,
        )
    except FileNotFoundError as error:
        raise SchedulerError(f"{command[0]}: no such program; is this a login node?") from error
    except subprocess.TimeoutExpired as error:
        said = last_line((error.stderr or b"").decode(errors="replace"))
        why = f" ({said})" if said else ""  # sbatch waits if the site's queue is full
        raise SchedulerError(f"{command[0]}: no answer in {timeout_s:g} s{why}; try again later") from error


def _timeout_s() -> float:
    text = os.environ.get(TIMEOUT_VARIABLE, "60")
    try:
        if 0 < float(text) < math.inf:
            return float(text)
    except ValueError:
        pass
    raise SchedulerError(f"{TIMEOUT_VARIABLE} is {text!r}; allowed: a number of seconds above 0")


def environment() -> dict[str, str]:
    """The user's environment without the variables that change what Slurm's programs do or print."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OF_SLURM) or name in _NEEDED}


def succeed(done: subprocess.CompletedProcess) -> subprocess.CompletedProcess:
    """Return the answer of a program that exited with 0.

    Raises:
        SchedulerError: it exited with something else.
    """
    if done.returncode:
        said = last_line(done.stderr) or last_line(done.stdout)
        raise SchedulerError(f"{done.args[0]} exited with {done.returncode}: {said}")
    return done


def last_line(text: str) -> str:
    """The last line that is not blank; empty if there is none."""
    return (text.strip().splitlines() or [""])[-1]
