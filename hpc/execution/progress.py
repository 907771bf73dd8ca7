"""What a person sees while runs are executed: a bar on a terminal, plain lines elsewhere."""

import sys
import time

import numpy as np
from tqdm import tqdm

from hpc.console import duration
from jobs.campaign import Campaign
from jobs.recorded import Recorded
from noisy.runs import Runs

_LINE_EVERY_S = 15
_SHARE = 0.1  # of the time, at most, goes into looking at shards


class Progress:
    """Follows the shards of one submission: what it counts is what is kept.

    Time left follows the estimated cost, not the number of runs: some runs take much longer than others.
    """

    def __init__(self, campaign: Campaign, submission: int, runs: Runs, costs_s: np.ndarray) -> None:
        self._campaign, self._prefix, self._runs, self._costs_s = campaign, f"{submission:04d}-", runs, costs_s
        self._recorded = Recorded("")
        self._is_recorded, self._is_done = np.zeros(len(runs), bool), np.zeros(len(runs), bool)
        self._last = ""
        self._started_s = self._line_s = time.monotonic()
        self._next_s = 0.0
        layout = "{percentage:3.0f}% |{bar:12}| {elapsed}, {remaining} left; {desc}"
        is_hidden = not (sys.stderr and sys.stderr.isatty())
        total_s = float(costs_s.sum())
        self._bar = tqdm(total=total_s, desc=self._text(), bar_format=layout, file=sys.stderr, disable=is_hidden)

    @property
    def n_failed(self) -> int:
        """Runs that raised."""
        return int(self._is_recorded.sum()) - self.n_done

    @property
    def n_done(self) -> int:
        """Runs that finished."""
        return int(self._is_done.sum())

    def update(self) -> None:
        """Read the shards that changed and show the state; does nothing if it was called a moment ago."""
        began_s = time.monotonic()
        if began_s < self._next_s:
            return
        n_before = int(self._is_recorded.sum())
        self._read()
        self._bar.set_description_str(self._text(), refresh=False)
        self._bar.n = self._done_s()
        self._bar.refresh()
        now_s = time.monotonic()
        self._next_s = now_s + (now_s - began_s) / _SHARE
        is_complete = self._is_recorded.all() and n_before < len(self._runs)
        if self._bar.disable and (is_complete or now_s - self._line_s >= _LINE_EVERY_S):
            self._line_s = now_s
            print(self._text() + self._time_left(now_s), flush=True)

    def close(self) -> None:
        """Count once more, and leave the bar as it stands."""
        self._next_s = 0.0
        self.update()
        self._bar.close()

    def _text(self) -> str:
        return f"{self.n_done} of {len(self._runs)} runs done, {self.n_failed} failed{self._last}"

    def _read(self) -> None:
        before = self._recorded
        self._recorded = before.updated(self._campaign.shard_paths(self._prefix))
        if [source.version for source in self._recorded.sources] == [source.version for source in before.sources]:
            return
        records = self._recorded.records[self._recorded.counting]
        is_done = self._recorded.is_finished[self._recorded.counting]
        places = self._runs.places_of(records["run_id"])
        self._is_recorded[places[places >= 0]] = True
        self._is_done[places[(places >= 0) & is_done]] = True
        if len(records):
            newest = int(np.argmax(np.where(places >= 0, records["finished_at_s"], -np.inf)))
            if places[newest] >= 0:
                run, found = self._runs.at(int(places[newest])), records[newest]
                outcome = f"accuracy {found['test_accuracy']:.4f}" if is_done[newest] else "failed"
                self._last = f"; last: {run.model_type} {run.activation} p={run.p:g} {outcome}"

    def _done_s(self) -> float:
        return float(self._costs_s[self._is_recorded].sum())

    def _time_left(self, now_s: float) -> str:
        done_s = self._done_s()
        if not done_s:
            return ""
        left_s = (float(self._costs_s.sum()) - done_s) * (now_s - self._started_s) / done_s
        return f"; {duration(left_s)} left" if left_s > 0 else ""
