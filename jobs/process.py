"""Whether a process still runs, as far as this machine can know."""

import os
import platform
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """A process on a host.

    boot_id, start_ticks: distinguish it from a later process with the same pid; namespace: that of its pid; machine:
    distinguishes the host from others with the same name, empty if unknown; user: the uid, None if it was not yet recorded.
    """

    host: str
    boot_id: str
    pid: int
    start_ticks: int | None
    namespace: str
    machine: str = ""
    user: int | None = None

    @classmethod
    def current(cls) -> "Process":
        """This process."""
        return cls(platform.node(), _boot_id(), os.getpid(), start_ticks(os.getpid()), _namespace(), _machine(), os.getuid())

    @property
    def is_of_another_user(self) -> bool:
        """Whether the process is known to belong to another user."""
        return self.user not in (None, os.getuid())

    @classmethod
    def parent(cls) -> "Process":
        """The process that started this one."""
        return replace(cls.current(), pid=os.getppid(), start_ticks=start_ticks(os.getppid()))

    def is_alive(self) -> bool | None:
        """Whether the process still runs; None if this cannot be known from this host."""
        if self.boot_id != _boot_id():
            is_elsewhere = self.host != platform.node() or bool(self.machine and self.machine != _machine())
            return None if is_elsewhere else False  # this host was rebooted
        if self.namespace != _namespace():  # in another container of this host
            return None
        try:
            return start_ticks(self.pid) == self.start_ticks
        except PermissionError:
            return None


def start_ticks(pid: int) -> int | None:
    """Start of a process in clock ticks since boot (proc(5), field 22); None if it is gone or a zombie, 0 without /proc.

    Raises:
        PermissionError: it runs, but it belongs to another user, and this host hides it (hidepid, proc(5)).
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] in "ZX" else int(fields[19])
    except (FileNotFoundError, ProcessLookupError):
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    return None if Path("/proc/self").exists() else 0


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _machine() -> str:
    """machine-id(5)."""
    try:
        return Path("/etc/machine-id").read_text().strip()
    except OSError:
        return ""


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return platform.node()  # without Linux, a reboot cannot be noticed
