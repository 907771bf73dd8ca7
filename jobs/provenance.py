"""Where a result comes from: code, machine and versions. All are recorded with it."""

import hashlib
import os
import platform
import subprocess
from pathlib import Path

from noisy.processor import this_processor

PROJECT_ROOT = Path(__file__).resolve().parent.parent


def code_commit() -> str:
    """The git commit of the code, or `unknown` without git.

    If tracked files differ from the commit, `-dirty-` and a digest of the difference follow.
    """
    try:
        commit, changes = _git("rev-parse", "HEAD"), _git("diff", "--full-index", "--no-ext-diff", "HEAD")
        return commit + (f"-dirty-{hashlib.sha256(changes.encode()).hexdigest()[:8]}" if changes else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def machine() -> dict[str, str]:
    """Host name, CPU model, how products are computed, and versions. Results are equal if all of these but the host are."""
    from importlib.metadata import version  # slow, and most commands ask for no version

    packages = " ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "h5py"))
    return {
        "host": os.environ.get("SLURMD_NODENAME", platform.node()),
        "cpu": _cpu_model(),
        "product_route": this_processor().product_route,
        "versions": f"python {platform.python_version()} {packages}",
    }


def job() -> str:
    """This process's job in Slurm's notation, `JOB_INDEX` or `JOB`; empty without Slurm."""
    array, index = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{index}" if array else os.environ.get("SLURM_JOB_ID", "")


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _git(*arguments: str) -> str:
    # Many tasks may ask at the same time, and may be killed while they do. A `diff` that renews the index would leave its lock.
    nothing_written = ["--no-optional-locks", "-c", "diff.autoRefreshIndex=false"]
    command = ["git", *nothing_written, "-C", str(PROJECT_ROOT), *arguments]
    return subprocess.run(command, check=True, capture_output=True, encoding="utf-8", errors="replace").stdout.strip()
