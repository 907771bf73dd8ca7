"""The time of one worker: how much is left, how fast the worker is, and therefore which runs it begins."""

import math
import time
from dataclasses import dataclass

from jobs.taking import ANYBODY, NO_PACE, Need, Pace, Taker, may_begin


@dataclass
class Shift:
    """What a worker knows about itself.

    end_s: when its runs must have ended, on the clock time.monotonic(); infinite without a time limit. is_fresh: whether it has
    not yet begun a run; n_recorded: the number of runs that it recorded; is_warned: whether it was told to end.
    """

    taker: Taker = ANYBODY
    end_s: float = math.inf
    pace: Pace = NO_PACE
    is_fresh: bool = True
    n_recorded: int = 0
    is_warned: bool = False

    @property
    def left_s(self) -> float:
        """Seconds that are left; infinite without a time limit."""
        return self.end_s - time.monotonic()

    def begins(self, need: Need, n_runs: int) -> bool:
        """Whether the worker begins `n_runs` runs of a task, which are trained together."""
        is_begun = may_begin(self.left_s, self.pace.needed_s(need, n_runs), self.is_fresh)
        self.is_fresh = self.is_fresh and not is_begun
        return is_begun

    def ended(self, need: Need, n_runs: int, wall_s: float) -> None:
        """Take into account how long these runs took."""
        self.pace = self.pace.after(wall_s / n_runs, need.expected_s)
