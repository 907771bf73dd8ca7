"""How much memory this process took before it trained anything; recorded with its results, so that plans can ask for enough.

Each figure is measured once. A forked worker has the first one from its parent.
"""

from functools import cache

from noisy.usage import resident_mb


@cache
def import_mb() -> int:
    """Resident memory of the process that loaded torch, in 10**6 bytes; first called when torch and this project are loaded."""
    return round(resident_mb())


@cache
def start_mb() -> int:
    """Resident memory of this process, in 10**6 bytes; first called when the data set is loaded, before the first training."""
    return round(resident_mb())
