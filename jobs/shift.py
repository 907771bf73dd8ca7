"""The time of one worker: how much of it is left, how fast the worker is, and so which runs it begins."""

import math
import time
from dataclasses import dataclass

from jobs.taking import ANYBODY, NO_PACE, Need, Pace, Taker, may_begin


@dataclass
class Shift:
    """What a worker knows of itself.

    end_s: when its runs have to have ended, by time.monotonic(); infinite without a time limit. is_fresh: whether it has begun
    no run yet; n_recorded: how many runs it recorded; is_warned: whether it was told to end.
    """

    taker: Taker = ANYBODY
    end_s: float = math.inf
    pace: Pace = NO_PACE
    is_fresh: bool = True
    n_recorded: int = 0
    is_warned: bool = False

    @property
    def left_s(self) -> float:
        """The time that is left."""
        return self.end_s - time.monotonic()

    def begins(self, need: Need, n_runs: int) -> bool:
        """Whether it begins so many runs of a task, trained together."""
        is_begun = may_begin(self.left_s, self.pace.needed_s(need, n_runs), self.is_fresh)
        self.is_fresh = self.is_fresh and not is_begun
        return is_begun

    def ended(self, need: Need, n_runs: int, wall_s: float) -> None:
        """Take note of how long these runs took."""
        self.pace = self.pace.after(wall_s / n_runs, need.expected_s)
