"""Whether runs take more or less CPU time than earlier runs of their campaign suggest."""

import math
from collections.abc import Iterable

import numpy as np

from hpc.planning.model import Observation, Setting, learn
from hpc.planning.sizes import terms

NEWEST = 30  # runs that are compared with earlier ones
_NOTABLE = 0.10


def drift(observations: Iterable[Observation]) -> float | None:
    """The median of measured over expected CPU seconds, minus 1, of the newest runs; None unless it is beyond 10 %.

    Each run is compared with the cost that earlier runs on its kind of host predict. With fewer than 30 such runs, the result
    is None.
    """
    ordered = sorted(observations, key=lambda one: one.finished_at_s)
    earlier, newest = ordered[:-NEWEST], ordered[-NEWEST:]
    settings = [Setting(one.torch, one.cpu_threads, one.cpu, one.product_route) for one in newest]
    known = {setting: learn(earlier, setting) for setting in set(settings)}
    residuals = []
    for one, setting in zip(newest, settings, strict=True):
        if (measured := known[setting].of(one.run)) and one.cpu_s > 0:
            expected_s = float(measured.coefficients @ terms(one.run)) * math.exp(measured.cpu.centre)
            residuals.append(math.log(one.cpu_s / expected_s))
    if len(residuals) < NEWEST:
        return None
    found = math.exp(float(np.median(residuals))) - 1
    return found if abs(found) > _NOTABLE else None


def describe(change: float) -> str:
    """`12 % more` or `12 % less`."""
    return f"{abs(change):.0%}".replace("%", " %") + (" more" if change > 0 else " less")
