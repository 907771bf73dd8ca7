"""Memory of this process before it trains anything. It is recorded with the results, so that plans can ask for enough.

Each value is measured once. A forked worker inherits the first one from its parent.
"""

from functools import cache

from noisy.usage import resident_mb


@cache
def import_mb() -> int:
    """Resident memory in 10**6 bytes; to be called first when torch and this project are loaded."""
    return round(resident_mb())


@cache
def start_mb() -> int:
    """Resident memory in 10**6 bytes; to be called first when the data set is loaded, before the first training."""
    return round(resident_mb())
