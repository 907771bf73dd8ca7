"""What a person sees while runs are executed: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from pathlib import Path

from tqdm import tqdm

from hpc.display import duration
from jobs.campaign import Campaign
from jobs.image import FINISHED, ShardError
from jobs.shard import Version, read_shard, version_of
from noisy.spec import spec_of

_LINE_EVERY_S = 15


class Progress:
    """Follows the shards of one submission: what it counts is what is kept.

    Time left is by estimated cost, not by count: long and short runs are not alike.
    """

    def __init__(self, campaign: Campaign, submission: int, costs_s: dict[str, float]) -> None:
        self._campaign, self._prefix, self._costs_s = campaign, f"{submission:04d}-", costs_s
        self._seen: dict[Path, Version] = {}
        self._is_done: dict[str, bool] = {}  # of every run with a record, once: whether it finished
        self._last = ""
        self._started_s = self._line_s = time.monotonic()
        layout = "{percentage:3.0f}% |{bar:12}| {elapsed}, {remaining} left; {desc}"
        shown = {
            "desc": self._text(),
            "bar_format": layout,
            "file": sys.stderr,
            "disable": not (sys.stderr and sys.stderr.isatty()),
        }
        self._bar = tqdm(total=sum(costs_s.values()), **shown)

    @property
    def n_failed(self) -> int:
        """Runs that raised."""
        return len(self._is_done) - self.n_done

    @property
    def n_done(self) -> int:
        """Runs that finished."""
        return sum(self._is_done.values())

    def update(self) -> None:
        """Read the shards that changed and show the state."""
        before = len(self._is_done)
        for path in self._campaign.shard_paths(self._prefix):
            self._read_if_changed(path)
        self._bar.set_description_str(self._text(), refresh=False)
        self._bar.n = sum(self._costs_s.get(run_id, 0) for run_id in self._is_done)
        self._bar.refresh()
        now_s = time.monotonic()
        complete = len(self._is_done) == len(self._costs_s) > before
        if self._bar.disable and (complete or now_s - self._line_s >= _LINE_EVERY_S):
            self._line_s = now_s
            print(self._text() + self._time_left(now_s), flush=True)

    def close(self) -> None:
        """Count once more from all shards, and leave the bar as it stands."""
        self._seen.clear()
        self.update()
        self._bar.close()

    def _text(self) -> str:
        return f"{self.n_done} of {len(self._costs_s)} runs done, {self.n_failed} failed{self._last}"

    def _read_if_changed(self, path: Path) -> None:
        try:
            version = version_of(path)
            if self._seen.get(path) == version:
                return
            runs = read_shard(path).runs
        except (OSError, ShardError):
            return
        self._seen[path] = version
        for record in runs:
            run_id, is_done = record["run_id"].decode(), record["status"].decode() in FINISHED
            is_news = run_id not in self._is_done or (is_done and not self._is_done[run_id])
            if run_id in self._costs_s and is_news:
                self._is_done[run_id] = is_done
                spec = spec_of(record["spec"].decode())
                outcome = f"accuracy {record['test_accuracy']:.4f}" if is_done else "failed"
                self._last = f"; last: {spec.model_type} {spec.activation} p={spec.p:g} {outcome}"

    def _time_left(self, now_s: float) -> str:
        done_s = sum(self._costs_s.get(run_id, 0) for run_id in self._is_done)
        if not done_s:
            return ""
        left_s = (sum(self._costs_s.values()) - done_s) * (now_s - self._started_s) / done_s
        return f"; {duration(left_s)} left" if left_s > 0 else ""
