"""The expected end of a running campaign, from the times of its own runs; whether a deadline is kept, and what helps."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

import numpy as np

from hpc.console import duration
from hpc.planning.priors import estimate
from hpc.request.deadline import kept_deadline
from hpc.state.runs import State
from hpc.state.scheduler import Activity, Scheduler
from hpc.state.submissions import Submission
from noisy.runs import Runs
from noisy.spec import Execution

_LEAST_DONE = 4  # runs; fewer say too little
_LEAST_SPREAD = 0.05  # share of the time left, because workers come and go


def left_s(found: State) -> dict[str, float] | None:
    """Seconds until the last run ends: low, expected, high (one standard error of a count); None if too little is known."""
    records = found.recorded.records[found.recorded.counting]
    is_open = np.isin(np.arange(len(found.runs)), found.places("running", "queued"))
    n_workers = sum(_workers(*pair) for pair in found.activities.items())
    n_done = int(np.isfinite(records["wall_s"]).sum())
    if not is_open.any() or n_done < _LEAST_DONE or not n_workers:
        return None
    run_s = _run_s(found.runs, records)
    is_running = np.isin(np.arange(len(found.runs)), found.places("running"))
    work_s = float(run_s[is_open].sum() - run_s[is_running].sum() / 2)
    expected_s = max(work_s / n_workers, float(run_s[is_open].max()) / 2)
    spread = max(_LEAST_SPREAD, 1 / math.sqrt(n_done))
    return {"low": expected_s * (1 - spread), "expected": expected_s, "high": expected_s * (1 + spread)}


def _workers(submission: Submission, activity: Activity) -> int:
    """Number of workers at work; before the first of them begins, the number that is planned."""
    n_begun = sum(worker.is_begun for worker in activity.workers if worker.job)
    return min(n_begun or submission.workers, submission.workers)


def _run_s(runs: Runs, records: np.ndarray) -> np.ndarray:
    """float64 (n,), in s: the wall time of each run, which is the mean over done runs of the same shape.

    If there are none, it is the estimate times the ratio of measured to estimated time of all done runs.
    """
    guessed = np.array(runs.by_cell(lambda run: estimate(run, Execution()).wall_s.middle))
    shapes = runs.by_cell(lambda run: run.shape())
    measured = defaultdict(list)
    places = runs.places_of(records["run_id"])
    is_known = (places >= 0) & np.isfinite(records["wall_s"])
    cells = runs.cell[places[is_known]]
    for cell, wall_s in zip(cells.tolist(), records["wall_s"][is_known].tolist(), strict=True):
        measured[shapes[cell]].append(wall_s)
    ratio = float(records["wall_s"][is_known].sum() / guessed[cells].sum())
    means = {shape: float(np.mean(walls_s)) for shape, walls_s in measured.items()}
    return np.array([means.get(shape, ratio * guess) for shape, guess in zip(shapes, guessed, strict=True)])[runs.cell]


def deadlines(found: State, left: Mapping[str, float] | None, schedulers: Mapping[str, Scheduler], now_s: float) -> list[dict]:
    """For each submission at work with a deadline: the seconds left, whether it will be kept, and what to type if not."""
    said = []
    for submission, activity in found.activities.items():
        deadline = kept_deadline(submission.deadline)
        if deadline is None:
            continue
        now, began = datetime.fromtimestamp(now_s, timezone.utc), _began(found, submission)
        until_s = deadline.left_s(now, began)
        verdict = "unknown" if left is None else _verdict(left, until_s)
        wanted = math.ceil(_workers(submission, activity) * left["high"] / until_s) if left and until_s > 0 else 0
        is_late = verdict in ("doubtful", "missed")
        more = schedulers[submission.executor].more_workers(submission, wanted) if is_late and wanted else ""
        said.append({"submission": submission.number, "left_s": until_s, "kept": verdict, "workers": wanted, "type": more})
    return said


def _verdict(left: Mapping[str, float], until_s: float) -> str:
    if left["high"] <= until_s:
        return "kept"
    return "doubtful" if left["expected"] <= until_s else "missed"


def _began(found: State, submission: Submission) -> datetime | None:
    """The first start of a submission's runs; None before the first end."""
    own = found.recorded.records[found.recorded.task[:, 0] == submission.number]
    began_s = own["finished_at_s"] - own["wall_s"]
    began_s = began_s[np.isfinite(began_s)]
    return datetime.fromtimestamp(float(began_s.min()), timezone.utc) if len(began_s) else None


def lines_of(said: list[dict[str, Any]]) -> Iterator[str]:
    """The same as lines of text."""
    for each in said:
        until = f"in {duration(each['left_s'])}" if each["left_s"] > 0 else f"{duration(-each['left_s'])} ago"
        what = {
            "kept": "it will be kept",
            "doubtful": "it may be missed",
            "missed": "it will be missed",
            "unknown": "it is not yet known whether it will be kept",
        }[each["kept"]]
        is_late = each["kept"] in ("doubtful", "missed")
        need = f"; {each['workers']} workers would be enough" if is_late and each["workers"] else ""
        yield f"  deadline of submission {each['submission']:04d}: {until}; {what}{need}"
        if each["type"]:
            yield f"    type: {each['type']}"
