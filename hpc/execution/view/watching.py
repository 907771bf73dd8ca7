"""Looking at a campaign again and again, and drawing what is seen. A look reads only the shards that are new."""

import os
import time
from collections.abc import Mapping

from hpc.execution.executor import Executor
from hpc.execution.next import next_command, next_step_of
from hpc.execution.summary import summary
from hpc.execution.view.screen import screen
from hpc.execution.view.snapshot import Snapshot, snapshot
from hpc.execution.view.terminal import Terminal
from hpc.state.runs import State, state
from jobs.campaign import Campaign
from jobs.manifest import Manifest, read_manifest
from jobs.recorded import Recorded
from jobs.shard import Version, version_of

LEAVE = "q or Ctrl-C: leave, and stop nothing"
_LEAST_S, _LEAST_ASKED_S = 2, 10  # between two looks; where a scheduler is asked
_SHARE, _MOST_SHARE, _MOST_S = 0.01, 0.1, 30  # of a core, unless so much time lies between two looks; of a core, in any case


def pause_s(cpu_s: float, is_asked: bool) -> float:
    """Seconds until the next look. cpu_s: CPU time of the last one; is_asked: whether a scheduler was asked."""
    least_s = _LEAST_ASKED_S if is_asked else _LEAST_S
    return max(least_s, min(cpu_s / _SHARE, _MOST_S), cpu_s / _MOST_SHARE)


def _cpu_s() -> float:
    """CPU time of this process, and of those that it has started and that have ended: programs, readers of damaged files."""
    return sum(os.times()[:4])


class Watcher:
    """Looks at a campaign. found: the state that the last look saw."""

    found: State

    def __init__(self, campaign: Campaign, schedulers: Mapping[str, Executor]) -> None:
        self._campaign, self._schedulers = campaign, schedulers
        self._version: Version | None = None
        self._manifest: Manifest | None = None
        self._seen: Recorded | None = None

    @property
    def is_at_work(self) -> bool:
        """Whether anything may still be executed."""
        return bool(self.found.activities or self.found.unreachable)

    @property
    def is_asked(self) -> bool:
        """Whether the last look asked a scheduler."""
        names = {submission.executor for submission in self.found.activities}
        return bool(self.found.unreachable) or any(self._schedulers[name].is_asked for name in names)

    def look(self) -> Snapshot:
        """What is to be shown now.

        Raises:
            ManifestError: the campaign cannot be read.
        """
        version = version_of(self._campaign.manifest)
        if self._manifest is None or version != self._version:
            self._manifest, self._version = read_manifest(self._campaign.manifest), version
        manifest, now_s = self._manifest, time.time()
        self.found = state(self._campaign, manifest.header.campaign, manifest.runs, self._schedulers, seen=self._seen)
        self._seen = self.found.recorded
        shown = summary(self._campaign, manifest, self.found, self._schedulers, now_s)
        is_watching = next_step_of(self.found) in ("watch", "status")  # this need not advise itself
        following = "" if is_watching else next_command(self._campaign, self.found)
        return snapshot(str(self._campaign.folder), self.found, shown, now_s, following)


class View:
    """A watcher's campaign on this process's terminal, from `open` to `close`, or as a context."""

    def __init__(self, watcher: Watcher, hint: str) -> None:
        self.watcher, self._hint = watcher, hint
        self._terminal = Terminal()
        self._shown: Snapshot | None = None
        self._size = (0, 0)
        self._next_s = 0.0
        self.is_open = False

    def open(self) -> None:
        """Begin."""
        self._terminal.open()
        self.is_open = True

    def step(self, wait_s: float = 0) -> bool:
        """Wait so long for a key, or until the next look is due; look; draw what is new. False once the view is closed.

        Raises:
            ManifestError: the campaign cannot be read.
        """
        if not self.is_open:
            return False
        is_left = self._terminal.key(min(wait_s, max(0.0, self._next_s - time.monotonic()))) in ("q", "Q")
        if not is_left and self._terminal.is_asked_to_stop:
            is_left, self._next_s = not self._terminal.stop(), 0.0
        if is_left:
            self.close()
            return False
        if time.monotonic() >= self._next_s:
            began_s = _cpu_s()
            self._shown = self.watcher.look()
            self._draw()
            self._next_s = time.monotonic() + pause_s(_cpu_s() - began_s, self.watcher.is_asked)
        elif self._terminal.size != self._size:
            self._draw()
        return True

    def __enter__(self) -> "View":
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the terminal back."""
        if self.is_open:
            self.is_open = False
            self._terminal.close()

    def _draw(self) -> None:
        self._size = self._terminal.size
        if self._shown:
            self._terminal.draw(screen(self._shown, *self._size, self._hint, self._terminal.encoding))
