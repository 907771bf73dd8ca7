"""A terminal that the view has for itself: an alternate screen, drawn in place, and single keys. All of it is given back."""

import contextlib
import os
import select
import signal
import sys
import termios
import tty
from types import FrameType
from typing import NoReturn

from rich.console import Console, ConsoleDimensions, RenderableType
from rich.live import Live

from hpc.execution.view.possible import LEAST_SIZE, is_in_front

_ENDS = (signal.SIGTERM, signal.SIGHUP)


class Terminal:
    """The terminal of this process, from `open` to `close`. Ctrl-C and a hang-up work as everywhere.

    is_asked_to_stop: whether Ctrl-Z was typed; then `stop` is to be called.
    """

    def __init__(self) -> None:
        self._keys, self._screen = sys.stdin.fileno(), sys.stdout.fileno()
        self._console = Console(file=sys.stdout, force_terminal=True, highlight=False, markup=False, emoji=False)
        self._live: Live | None = None
        self.is_asked_to_stop = False
        self._replaced: dict[int, object] = {}

    @property
    def encoding(self) -> str:
        """Of what is drawn."""
        return sys.stdout.encoding or "ascii"

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines, as they are now."""
        try:
            size = os.get_terminal_size(self._screen)
        except OSError:  # it is gone
            return LEAST_SIZE
        return max(size.columns, 1), max(size.lines, 1)

    def open(self) -> None:
        """Begin to draw and to read keys."""
        self._mode = termios.tcgetattr(self._keys)
        for number in (*_ENDS, signal.SIGTSTP):
            if signal.getsignal(number) is signal.SIG_DFL:
                self._replaced[number] = signal.signal(number, self._suspend if number == signal.SIGTSTP else _end)
        self._begin()

    def close(self) -> None:
        """Give the terminal back as it was."""
        self._leave()
        for number, before in self._replaced.items():
            signal.signal(number, before)  # type: ignore[arg-type]
        self._replaced.clear()

    def draw(self, picture: RenderableType) -> None:
        """Draw in place: what is there is overwritten, not erased first."""
        columns, lines = self.size
        self._console.size = ConsoleDimensions(columns, lines)
        if self._live:
            with contextlib.suppress(OSError):  # the terminal may be gone
                self._live.update(picture, refresh=True)

    def key(self, wait_s: float) -> str:
        """The key that is typed within so many seconds; empty if none is."""
        try:
            if select.select([self._keys], [], [], wait_s)[0]:
                return os.read(self._keys, 1).decode("ascii", "replace") or "q"  # (nothing to read: nobody types any more)
        except OSError:  # it is gone
            return "q"
        return ""

    def stop(self) -> bool:
        """After Ctrl-Z: give the terminal back, stop, and go on after `fg`. False after `bg`: the terminal is in use."""
        self.is_asked_to_stop = False
        self._leave()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)  # this process goes on here
        signal.signal(signal.SIGTSTP, self._suspend)
        if not is_in_front(self._keys):
            return False
        self._begin()
        return True

    def _begin(self) -> None:
        tty.setcbreak(self._keys, termios.TCSANOW)
        self._live = Live(console=self._console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        self._live.start()

    def _leave(self) -> None:
        if self._live:
            with contextlib.suppress(OSError, termios.error):
                self._live.stop()
            with contextlib.suppress(OSError, termios.error):
                termios.tcsetattr(self._keys, termios.TCSANOW, self._mode)
        self._live = None

    def _suspend(self, number: int, frame: FrameType | None) -> None:
        self.is_asked_to_stop = True


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """End in order, so that the terminal is given back."""
    sys.exit(128 + number)
