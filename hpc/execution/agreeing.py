"""Whether runs that were trained again agree with what they gave before. The rules are pure: no file, no clock."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

LEVEL = 0.05  # the chance that one of all runs is named though only rounding differs
SHIFT_LEVEL = 0.01  # the same, for all of them together
_LEAST_REPEATS = 3  # of a cell, for its spread


class Verdict(Enum):
    """What is found of one run."""

    BITS = "agree bit by bit"
    LAW = "agree within what differing machines explain"
    UNKNOWN = "cannot be judged"
    DIFFERS = "differ though their machines are equal"
    BEYOND = "differ by more than differing machines explain"

    @property
    def is_well(self) -> bool:
        """Whether the two records agree."""
        return self in (Verdict.BITS, Verdict.LAW)

    def of(self, n: int) -> str:
        """For so many runs, in words."""
        verb, _, rest = self.value.partition(" ")
        return f"{n} {verb}{'s' * (n == 1 and self is not Verdict.UNKNOWN)} {rest}"


@dataclass(frozen=True)
class Compared:
    """Two records of a run.

    is_equal: in every bit; must_be: whether their machines are equal; difference: of the test accuracies, new less old;
    spread: sample standard deviation of the test accuracy between the `n_repeats` repeats of the cell; step: one test image's
    part of an accuracy.
    """

    is_equal: bool
    must_be: bool
    difference: float = 0.0
    spread: float = 0.0
    n_repeats: int = 0
    step: float = 0.0


def verdicts(compared: Sequence[Compared]) -> list[Verdict]:
    """The verdict on each run.

    Rounding is amplified until a run is another draw from the law of its cell, at most. The difference of two draws, over
    sqrt(2) times the cell's standard deviation, has Student's t distribution. Its quantile is corrected for the number of runs
    (Bonferroni), so that with chance 1 - LEVEL no run is named if only rounding differs.
    """
    n_others = sum(not (each.is_equal or each.must_be) for each in compared)
    return [_verdict(each, LEVEL / max(1, n_others)) for each in compared]


def _verdict(one: Compared, level: float) -> Verdict:
    if one.is_equal:
        return Verdict.BITS
    if one.must_be:
        return Verdict.DIFFERS
    if one.n_repeats < _LEAST_REPEATS:
        return Verdict.UNKNOWN
    from scipy.special import stdtrit  # only here: it takes long to load

    most = float(stdtrit(one.n_repeats - 1, 1 - level / 2)) * math.sqrt(2) * max(one.spread, one.step)
    return Verdict.LAW if abs(one.difference) <= most else Verdict.BEYOND


def shift(compared: Sequence[Compared]) -> tuple[int, int, float]:
    """Whether runs on other machines are better, or worse, together: how many are better, of how many that are not equal, and
    the p-value of the two-sided sign test. If only rounding differs, each is better or worse with equal chance."""
    signs = [each.difference > 0 for each in compared if not each.must_be and each.difference != 0]
    n, k = len(signs), sum(signs)
    tail = sum(math.comb(n, i) for i in range(min(k, n - k) + 1))
    return k, n, min(1.0, 2 * tail / 2**n)
