"""Where a result comes from: code, machine and versions, recorded with it."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from noisy.processor import this_processor

PROJECT_ROOT = Path(__file__).resolve().parent.parent


def code_commit() -> str:
    """The git commit of the code, with `-dirty` if tracked files differ from it; `unknown` without git."""
    try:
        commit = _git("rev-parse", "HEAD")
        return commit + ("-dirty" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def machine() -> dict[str, str]:
    """Host name, kind of CPU, how products are computed there, and versions: where all but the host agree, bits agree."""
    packages = " ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "h5py"))
    return {
        "host": os.environ.get("SLURMD_NODENAME", platform.node()),
        "cpu": _cpu_model(),
        "product_route": this_processor().product_route,
        "versions": f"python {platform.python_version()} {packages}",
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(PROJECT_ROOT), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
