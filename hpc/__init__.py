"""What a login node does: plan, submit, watch. Knows `jobs`; never loads torch.

`hpc.Campaign` is the Python interface (hpc/api.py). It is loaded when it is first used, since commands do without it.
"""

from typing import Any

__all__ = ["Campaign", "ManifestError", "Refused", "SchedulerError"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from hpc import api

    return getattr(api, name)
