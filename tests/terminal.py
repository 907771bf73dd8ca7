"""A command of the project on a real pseudo-terminal: what it draws, what it does with keys, and how it leaves the terminal."""

import contextlib
import fcntl
import os
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable

from tests import commands

ENTERS, LEAVES = "\x1b[?1049h", "\x1b[?1049l"  # the alternate screen
_HOME = "\x1b[H"
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_HANGS_S = 60


class OnTerminal:
    """A command of the project, or a shell, whose input, output and errors are a terminal of a size.

    shown: all that was written.
    """

    def __init__(self, *command: object, columns: int = 80, rows: int = 24, **environment: str) -> None:
        self.shown = ""
        arguments = [sys.executable, "-m", *map(str, command)] if command else ["bash", "--norc", "-i"]
        self.pid, self._terminal = os.forkpty()
        if not self.pid:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # background processes of a shell ignore it, and tests may run as one
            os.chdir(commands.ROOT)
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            others = {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", **environment}
            os.execvpe(arguments[0], arguments, {**os.environ, **others})
        self.mode = termios.tcgetattr(self._terminal)

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size, as a window manager does."""
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: str) -> None:
        """Type these keys."""
        os.write(self._terminal, keys.encode())

    def until(self, is_so: Callable[["OnTerminal"], object], timeout_s: float = _HANGS_S) -> "OnTerminal":
        """Wait until something is so of what is shown."""
        deadline_s = time.monotonic() + timeout_s
        while not is_so(self):
            assert time.monotonic() < deadline_s, self.shown
            self._read()
        return self

    def end(self) -> int:
        """Wait for the end; the exit status. Then the terminal is gone."""
        deadline_s = time.monotonic() + 2 * _HANGS_S
        while self._read():
            assert time.monotonic() < deadline_s, self.shown
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.mode_at_end = termios.tcgetattr(self._terminal)
        os.close(self._terminal)
        return status

    @property
    def screens(self) -> list[list[str]]:
        """The lines of each screen that was drawn in place, without colours."""
        drawn = self.shown.rpartition(ENTERS)[2].partition(LEAVES)[0]
        texts = (_CONTROL.sub("", part) for part in drawn.split(_HOME)[1:])
        return [text.replace("\r", "").split("\n") for text in texts if text.strip()]

    def _read(self) -> bool:
        if select.select([self._terminal], [], [], 0.1)[0]:
            with contextlib.suppress(OSError):  # the process has ended
                part = os.read(self._terminal, 2**16).decode(errors="replace")
                self.shown += part
                return bool(part)
            return False
        return True
