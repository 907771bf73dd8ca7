"""Keeping the C library's allocator from giving memory back to the kernel after every batch."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # mallopt(3)


def keep_freed_memory() -> None:
    """Let freed memory be used again instead of returned and faulted in anew, in this process from here on.

    Changes no number; spares page faults, which cost a CNN's training most beside its arithmetic. Does nothing where there
    is no glibc, or where it refuses: the second setting alone would make things worse.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt") and libc.mallopt(_M_MMAP_THRESHOLD, 2**25):  # the most that every glibc allows
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
