"""What the live view shows of a campaign at one moment, as plain values."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpc.console import count
from hpc.execution.summary import advice
from hpc.execution.view.panels import Panel, panels_of
from hpc.state.known import Submitted, among, finished_by
from hpc.state.runs import State
from jobs.recorded import Recorded

_MOST_LAST = 40  # more than a screen has lines


@dataclass(frozen=True)
class LastRun:
    """A run that ended. ended_at_s: in seconds of the epoch; name: model type and activation; outcome: `failed`, or the
    accuracy and, unless it is ok, the status."""

    ended_at_s: float
    name: str
    p: float
    repeat: int
    outcome: str
    wall_s: float
    host: str
    is_failed: bool = False


@dataclass(frozen=True)
class Snapshot:
    """One moment of a campaign.

    folder: of the campaign; at_s: when it was looked at, in seconds of the epoch; shown: `hpc.execution.summary.summary`;
    panels: the map of cells; last: the runs that ended last, the newest first; workers: a line for each submission at work;
    advice: a line for each thing that is not as it should be; following: what to type next.
    """

    folder: str
    at_s: float
    shown: Mapping[str, Any]
    panels: tuple[Panel, ...] = ()
    last: tuple[LastRun, ...] = ()
    workers: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    following: str = ""


def snapshot(folder: str, found: State, shown: Mapping[str, Any], at_s: float, following: str = "") -> Snapshot:
    """What is shown of a state."""
    return Snapshot(
        folder,
        at_s,
        shown,
        panels_of(found.runs, found.code),
        tuple(last_runs(found)),
        tuple(worker_lines(found)),
        tuple(advice(shown)),
        following,
    )


def last_runs(found: State) -> Iterator[LastRun]:
    """The runs of the campaign that ended last, the newest first."""
    records = found.recorded.records
    newest = np.argsort(-records["finished_at_s"], kind="stable")[:_MOST_LAST]
    places = found.runs.places_of(records["run_id"][newest])
    for record, place in zip(newest[places >= 0].tolist(), places[places >= 0].tolist(), strict=True):
        run, one = found.runs.at(place), records[record]
        is_failed = not found.recorded.is_finished[record]
        status = one["status"].decode()
        outcome = "failed" if is_failed else f"{one['test_accuracy']:.4f}" + ("" if status == "ok" else f" {status}")
        host = str(found.recorded.sources[int(found.recorded.source[record])].attributes.get("host", ""))
        name = f"{run.model_type} {run.activation}"
        wall_s, ended_at_s = float(one["wall_s"]), float(one["finished_at_s"])
        yield LastRun(ended_at_s, name, run.p, run.repeat, outcome, wall_s, host, is_failed)


def worker_lines(found: State) -> Iterator[str]:
    """Who is at work on each submission that has not ended, and how far it is."""
    finished = finished_by(found.recorded)
    hosts = _hosts(found.recorded)
    for each in found.known.submitted:
        if each.activity and each.activity.tasks:
            n_done = int(among(each.tasks.run_id, finished).sum())
            n_runs = max(each.submission.n_runs, len(each.tasks.run_id))
            yield f"{each.submission.number:04d}: {_at_work(each, hosts)}; {n_done:,} of {count(n_runs, 'run')} done"


def _at_work(submitted: Submitted, hosts: Mapping[tuple[int, int], str]) -> str:
    """`4 workers at work on node1 (3), node2 (1), 2 waiting (Priority)`."""
    activity, submission = submitted.activity, submitted.submission
    assert activity
    if not activity.is_known:
        return "nobody can see from here whether it is at work"
    begun = [task for task, one in activity.tasks.items() if one.is_begun]
    places = Counter(host for task in begun if (host := hosts.get((submission.number, task), "")))
    jobs = [worker for worker in activity.workers if worker.job]
    n_begun = sum(worker.is_begun for worker in jobs) if jobs else min(submission.workers, len(activity.tasks))
    text = f"{count(n_begun, 'worker')} at work"
    if places:
        text += " on " + ", ".join(f"{host} ({n})" for host, n in sorted(places.items()))
    if n_waiting := len(jobs) - sum(worker.is_begun for worker in jobs):
        why = ", ".join(sorted({worker.why for worker in jobs if worker.why}))
        text += f", {n_waiting} waiting" + (f" ({why})" if why else "")
    return text


def _hosts(recorded: Recorded) -> dict[tuple[int, int], str]:
    """(submission, task) -> the host of its last attempt, without its domain."""
    return {source.task: str(source.attributes.get("host", "")).split(".")[0] for source in recorded.sources}
