"""Tests that take permissions away need this, because root could still read and write."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

_VERSION, _PASSES_OVER_RIGHTS = 0x20080522, 0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH (capabilities(7))


@contextmanager
def like_any_user() -> Iterator[None]:
    """In this process, permissions of files and folders count, as they do for any user except root."""
    if os.geteuid():
        yield
        return
    libc, header, before = ctypes.CDLL(None, use_errno=True), (ctypes.c_uint32 * 2)(_VERSION, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, before) == 0, os.strerror(ctypes.get_errno())
    without = (ctypes.c_uint32 * 6)(*before)
    without[0] &= ~_PASSES_OVER_RIGHTS
    assert libc.capset(header, without) == 0, os.strerror(ctypes.get_errno())
    try:
        yield
    finally:
        assert libc.capset(header, before) == 0, os.strerror(ctypes.get_errno())
