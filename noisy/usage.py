"""What a run used, measured by its own process, because schedulers sample too rarely for runs of a minute."""

import contextlib
import resource
import sys
import time
from pathlib import Path
from typing import NamedTuple


class Usage(NamedTuple):
    """wall_s: seconds; cpu_s: CPU seconds of all threads; peak_mem_mb: peak of the resident set in 10**6 bytes."""

    wall_s: float
    cpu_s: float
    peak_mem_mb: float


class Meter:
    """Measures from its construction to `read()`."""

    def __init__(self) -> None:
        _reset_peak_memory()
        self._wall_s, self._cpu_s = time.perf_counter(), time.process_time()

    def read(self) -> Usage:
        """What was used since the construction. If the kernel cannot reset the peak memory, it is that of the whole process."""
        return Usage(time.perf_counter() - self._wall_s, time.process_time() - self._cpu_s, _peak_memory_mb())


def _reset_peak_memory() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets VmHWM to the current resident set


def resident_mb() -> float:
    """The current resident set of this process in 10**6 bytes; its peak if the kernel does not tell the current one."""
    return _memory_mb("VmRSS")


def _peak_memory_mb() -> float:
    return _memory_mb("VmHWM")


def _memory_mb(field: str) -> float:
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split(f"{field}:")[1].split()[0]) * 1024 / 1e6
    except (OSError, IndexError, ValueError):
        unit_bytes = 1 if sys.platform == "darwin" else 1024  # getrusage(2): bytes on macOS, KiB elsewhere
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit_bytes / 1e6
