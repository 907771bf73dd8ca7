"""Progress while runs are executed: the live view on a terminal, or a bar; plain lines elsewhere."""

import contextlib
import os
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from hpc.console import count, duration
from hpc.execution.view.possible import is_possible
from jobs.campaign import Campaign
from jobs.manifest import ManifestError
from jobs.recorded import Recorded
from noisy.runs import Runs

if TYPE_CHECKING:
    from hpc.execution.view.watching import View


@dataclass(frozen=True)
class Shown:
    """What is shown. left_s: None if not yet known. model, p, outcome: those of the last run; empty before the first."""

    elapsed_s: float
    left_s: float | None
    n_done: int
    n_runs: int
    n_failed: int
    model: str = ""
    p: str = ""
    outcome: str = ""

    @property
    def line(self) -> str:
        """A line with everything but the times."""
        last = f"; last: {self.model} {self.p} {self.outcome}" if self.outcome else ""
        return f"{self.n_done} of {count(self.n_runs, 'run')} done, {self.n_failed} failed{last}"


def layout(shown: Shown, columns: int) -> str:
    """A `bar_format` of tqdm that fits the terminal. If there is little room, the bar goes first, p and the outcome last.

    One column stays free, because some terminals begin a new line after a line that fills them.
    """
    elapsed, left = ("?" if s is None else tqdm.format_interval(s) for s in (shown.elapsed_s, shown.left_s))
    few, failed = f"{shown.n_done}/{shown.n_runs}", f"{shown.n_failed} failed"
    last, its_p = (f"; {shown.model} {shown.p} {shown.outcome}", f"; {shown.p} {shown.outcome}") if shown.outcome else ("", "")
    texts = (  # (columns that percentage and bar take, the bar, the text)
        (20, "|{bar:12}| ", f"{elapsed}, {left} left; {shown.line}"),
        (14, "|{bar:6}| ", f"{left} left; {few} runs, {failed}{last}"),
        (5, "", f"{left} left; {few} runs, {failed}{last}"),
        (5, "", f"{left} left; {few}, {failed}{its_p}"),
        (5, "", f"{few}, {failed}{its_p}"),
        (5, "", its_p.removeprefix("; ") or few),
    )
    bar, text = next(((bar, text) for width, bar, text in texts if width + len(text) < columns), texts[-1][1:])
    return f"{{percentage:3.0f}}% {bar}{text}"


_HINT = "q: a bar instead; Ctrl-C: stop, and keep what is done"
_LINE_EVERY_S = 15
_SHARE = 0.1  # at most this share of the time is spent on reading shards


class Progress:
    """Shows the progress of one submission. It reads the shards, so it counts only runs that are on disk.

    The time left is computed from the estimated cost, not from the number of runs: some runs take much longer than others.
    """

    def __init__(self, campaign: Campaign, submission: int, runs: Runs, costs_s: np.ndarray) -> None:
        self._campaign, self._prefix, self._runs, self._costs_s = campaign, f"{submission:04d}-", runs, costs_s
        self._recorded = Recorded("")
        self._is_recorded, self._is_done = np.zeros(len(runs), bool), np.zeros(len(runs), bool)
        self._last = ("", "", "")
        self._started_s = self._line_s = time.monotonic()
        self._next_s = 0.0
        is_hidden = not (sys.stderr and sys.stderr.isatty())
        total_s, first = float(costs_s.sum()), layout(self._shown(), self._columns())
        self._bar = tqdm(total=total_s, bar_format=first, file=sys.stderr, disable=is_hidden, dynamic_ncols=True)
        self._view = None if is_hidden else _view_of(campaign)

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
        if self._is_viewed():
            return
        began_s = time.monotonic()
        if began_s < self._next_s:
            return
        n_before = int(self._is_recorded.sum())
        self._read()
        shown = self._shown()
        self._bar.bar_format, self._bar.n = layout(shown, self._columns()), self._done_s()
        with contextlib.suppress(OSError):  # the terminal may be gone; the runs go on
            self._bar.refresh()
        now_s = time.monotonic()
        self._next_s = now_s + (now_s - began_s) / _SHARE
        is_complete = self._is_recorded.all() and n_before < len(self._runs)
        if self._bar.disable and (is_complete or now_s - self._line_s >= _LINE_EVERY_S):
            self._line_s = now_s
            print(shown.line + (f"; {duration(shown.left_s)} left" if shown.left_s else ""), flush=True)

    def close(self) -> None:
        """Count once more, and leave the bar on the screen."""
        if self._view:
            self._view.close()
        self._next_s = 0.0
        self.update()
        with contextlib.suppress(OSError):
            self._bar.close()

    def _is_viewed(self) -> bool:
        """Draw the live view, if there is one; False once it was left."""
        if not self._view:
            return False
        try:
            return self._view.step()
        except (ManifestError, OSError):  # what cannot be read now must not end what is being trained
            self._view.close()
            return False

    def _shown(self) -> Shown:
        elapsed_s, done_s = time.monotonic() - self._started_s, self._done_s()
        left_s = (float(self._costs_s.sum()) - done_s) * elapsed_s / done_s if done_s else None
        return Shown(elapsed_s, left_s, self.n_done, len(self._runs), self.n_failed, *self._last)

    @staticmethod
    def _columns() -> int:
        try:
            return os.get_terminal_size(sys.stderr.fileno()).columns or 80
        except (OSError, ValueError, AttributeError):  # no terminal
            return 80

    def _read(self) -> None:
        before = self._recorded
        with contextlib.suppress(ManifestError):  # training goes on even if the folder cannot be listed now
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
                self._last = f"{run.model_type} {run.activation}", f"p={run.p:g}", outcome

    def _done_s(self) -> float:
        return float(self._costs_s[self._is_recorded].sum())


def _view_of(campaign: Campaign) -> "View | None":
    """The live view of a campaign, drawn from now on; None where there is no terminal for it."""
    if not is_possible():
        return None
    from hpc.execution.choice import EXECUTORS  # which imports this module
    from hpc.execution.view.watching import View, Watcher  # loads what draws

    view = View(Watcher(campaign, EXECUTORS), _HINT)
    view.open()
    return view
