"""Whether the live view can be drawn. This is asked before what draws it is loaded."""

import os
import sys

LEAST_SIZE = 40, 10  # columns, lines; below, plain lines are better


def is_possible() -> bool:
    """Whether input and output are one terminal that can be drawn on, and this process may use it now."""
    try:
        keys, screen = sys.stdin.fileno(), sys.stdout.fileno()
        if not (os.isatty(keys) and os.isatty(screen)) or os.environ.get("TERM", "dumb") in ("dumb", "unknown", ""):
            return False
        size = os.get_terminal_size(screen)
        return (size.columns >= LEAST_SIZE[0] and size.lines >= LEAST_SIZE[1]) and is_in_front(keys)
    except (OSError, ValueError, AttributeError):
        return False


def is_in_front(terminal: int) -> bool:
    """A process in the background is stopped when it changes the terminal."""
    return os.tcgetpgrp(terminal) == os.getpgrp()
