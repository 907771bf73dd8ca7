"""python -m jobs.probe: print what this machine gives a process, as `MARK` and one line of JSON."""

import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MARK = "probe: "
_PERIOD_US = "100000"  # period of a CPU quota, if version 1 of control groups does not tell it
_NO_LIMIT = 2**60  # bytes; version 1 writes a number near 2**63 for no limit


def memory_limit_mb(groups: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """The smallest memory limit of this process's control groups, in 10**6 bytes; None without one, or if none can be read."""
    texts = _limits("memory", "memory.limit_in_bytes", "memory.max", groups, root)
    found = [int(text) for text in texts if text.isdecimal() and int(text) < _NO_LIMIT]
    return min(found) / 1e6 if found else None


def cores_limit(groups: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """The smallest quota of CPU time of this process's control groups, in cores; None as in `memory_limit_mb`."""
    texts = [text.split() for text in _limits("cpu", "cpu.cfs_quota_us", "cpu.max", groups, root)]
    found = [int(text[0]) / int((text[1:] or [_PERIOD_US])[0]) for text in texts if text and text[0].isdecimal()]
    return min(found) if found else None


def _limits(controller: str, of_1: str, of_2: str, groups: Path, root: Path) -> Iterator[str]:
    """The contents of one file in each control group of this process and in the groups above.

    of_1, of_2: the file's name in version 1 and version 2 of control groups.
    """
    for line in groups.read_text().splitlines() if groups.is_file() else []:
        _, controllers, path = line.split(":", 2)
        if not controllers or controller in controllers.split(","):
            top, name = (root / controller, of_1) if controllers else (root, of_2)
            place = top / path.lstrip("/")
            files = (folder / name for folder in (place, *place.parents) if folder.is_relative_to(top))
            yield from (file.read_text().strip() for file in files if os.access(file, os.R_OK))


def measured() -> dict[str, Any]:
    """Node, versions, times in s, cores, memory limit and free scratch room in 10**6 bytes (None: there is none)."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])  # since boot
    python_s = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    started_s = time.monotonic()
    import torch

    try:
        scratch_mb = shutil.disk_usage(tempfile.gettempdir()).free / 1e6
    except OSError:
        scratch_mb = None
    return {
        "node": os.environ.get("SLURMD_NODENAME", platform.node()),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "python_s": python_s,
        "torch_s": time.monotonic() - started_s,
        "cores": len(os.sched_getaffinity(0)),
        "memory_limit_mb": memory_limit_mb(),
        "scratch_mb": scratch_mb,
    }


if __name__ == "__main__":
    print(MARK + json.dumps(measured()), flush=True)
