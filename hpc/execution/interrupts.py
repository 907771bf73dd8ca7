"""Signals that end a command in order: Ctrl-C, a closed terminal, `kill`."""

import signal

_ENDS = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)
_has_come = False


def end_on_signals() -> None:
    """From now on the first of these signals raises KeyboardInterrupt. Later ones do not disturb the end of the command."""
    global _has_come
    _has_come = False
    for number in _ENDS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, _interrupt)


def raise_if_interrupted() -> None:
    """Raise KeyboardInterrupt again if it was lost. Long loops call this.

    If a signal comes in the callback of a weak reference or in `__del__`, Python drops the exception (sys.unraisablehook). h5py
    and others have such callbacks.
    """
    if _has_come:
        raise KeyboardInterrupt


def _interrupt(*_: object) -> None:
    global _has_come
    if not _has_come:  # a closed terminal may send several, but the workers still have to be stopped
        _has_come = True
        raise KeyboardInterrupt
