"""What is known about runs besides their state: logs, why they failed, where they are trained, how workers ended."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path

import numpy as np

from hpc.console import Refused, duration
from hpc.execution.choice import EXECUTORS
from hpc.planning.retrying import Outcome, tries
from hpc.state.runs import State
from jobs.campaign import Campaign
from jobs.reading import brief, read_regular
from jobs.recorded import Source
from jobs.tasklog import part_about
from jobs.typed import typed
from noisy.runs import Runs
from noisy.spec import shown

_TAIL_LINES = 30
_MOST_SHOWN = 12  # runs that fit an ambiguous run_id


@dataclass(frozen=True)
class Evidence:
    """What is known about some runs, by run_id. A run about which nothing is known is in none of these.

    failures: the message of each recorded failure; outcomes: how workers ended while they were training it; training: the
    shards that name it as the run in training (or in training when its worker ended); waits: why workers that may train it
    wait.
    """

    failures: dict[bytes, list[str]]
    outcomes: dict[bytes, list[Outcome]]
    training: dict[bytes, list[Source]]
    waits: dict[bytes, str]

    @classmethod
    def of(cls, found: State, places: np.ndarray) -> "Evidence":
        """Collect what is known about the runs at `places`, int64 (k,)."""
        wanted = found.runs.run_id[places]
        names = set(wanted.tolist())
        outcomes, training = defaultdict(list), defaultdict(list)
        for outcome in found.outcomes:
            if outcome.run_id.encode() in names:
                outcomes[outcome.run_id.encode()].append(outcome)
        for source in found.recorded.sources:
            if (run_id := str(source.attributes.get("current_run", "")).encode()) in names:
                training[run_id].append(source)
        return cls(failures_of(found, wanted), dict(outcomes), dict(training), _waits(found, wanted))


def failures_of(found: State, wanted: np.ndarray) -> dict[bytes, list[str]]:
    """For each wanted run (S16) that failed: run_id -> the message of each failure."""
    failures = defaultdict(list)
    records = found.recorded.records["run_id"]
    for record in np.flatnonzero(~found.recorded.is_finished & np.isin(records, wanted)):
        failures[records[record]].append(found.recorded.message(int(record)))
    return dict(failures)


def _waits(found: State, wanted: np.ndarray) -> dict[bytes, str]:
    waits = {}
    for each in (each for each in found.known.submitted if each.activity and each.activity.tasks):
        at_work = each.activity.tasks if each.activity else {}
        workers = each.activity.workers if each.activity else ()
        why = next((worker.why for worker in workers if worker.why), "") if not any(w.is_begun for w in workers) else ""
        holds = np.isin(each.tasks.run_id, wanted)
        for run_id, task in zip(each.tasks.run_id[holds].tolist(), each.tasks.task[holds].tolist(), strict=True):
            if task in at_work and (text := at_work[task].why or why):
                waits[run_id] = text
    return waits


def logs_of(campaign: Campaign, found: State, wanted: np.ndarray) -> dict[bytes, list[Path]]:
    """For each wanted run (S16): run_id -> the logs of the workers that executed its tasks."""
    logs = defaultdict(list)
    for each in (each for each in found.known.submitted if each.submission.executor):
        holds = np.isin(each.tasks.run_id, wanted)
        for run_id, task in zip(each.tasks.run_id[holds].tolist(), each.tasks.task[holds].tolist(), strict=True):
            for job in each.jobs_of(task, found.recorded):
                logs[run_id].append(EXECUTORS[each.submission.executor].log_of(campaign, each.submission, task, job))
    return dict(logs)


def log_parts(path: Path, run_id: str) -> list[list[str]]:
    """The parts of a log that are about one run, or the end of the log if there is no such part."""
    try:
        lines = _lines(path)
    except FileNotFoundError:
        lines = ["(no output yet)"]
    except OSError as error:
        lines = [f"(cannot be read: {brief(error)})"]
    return part_about(lines, run_id) or [lines[-_TAIL_LINES:]]


@lru_cache(maxsize=8)
def _lines(path: Path) -> list[str]:
    """The lines of a log. All runs of a worker are in one log, one after the other."""
    return read_regular(path).decode(errors="replace").splitlines()


def place_of(text: str, runs: Runs) -> int:
    """The place of the run whose run_id begins with `text`.

    Raises:
        Refused: there is no such run, or several.
    """
    places = np.flatnonzero(np.char.startswith(runs.run_id, text.encode()))
    if len(places) != 1:
        which = f"matches {len(places)} runs" if len(places) else "matches no run"
        some = [f"{runs.run_id[place].decode()}  {runs.at(place).label}" for place in places[:_MOST_SHOWN].tolist()]
        raise Refused(f"run_id: {shown(text)} {which} of this campaign; {typed('runs')} lists all", some)
    return int(places[0])


def ended(outcome: Outcome) -> str:
    """How a worker ended, in words."""
    return f"{outcome.said} on {outcome.node or 'no node'} ({_asked(outcome)})"


def job_ended(outcome: Outcome) -> str:
    """How a job ended, in words."""
    return f"job {outcome.job} on {outcome.node or 'no node'}: {outcome.said} ({_asked(outcome)})"


def _asked(outcome: Outcome) -> str:
    return f"asked for {outcome.mem_mb:.0f} MB, {outcome.time_limit_min:.0f} min"


def why(found: State, places: np.ndarray, now_s: float) -> list[str]:
    """For each of these runs, why it is not done; empty if it is done. now_s: in seconds since the epoch."""
    evidence = Evidence.of(found, places)
    names = [found.of(place) for place in places.tolist()]
    return [
        "" if name == "done" else _why(found, evidence, name, bool(found.is_given_up[place]), found.runs.run_id[place], now_s)
        for name, place in zip(names, places.tolist(), strict=True)
    ]


def _why(found: State, evidence: Evidence, name: str, is_given_up: bool, run_id: bytes, now_s: float) -> str:
    if name == "running":
        return _running(evidence.training.get(run_id, []), now_s)
    if name == "failed":
        return _failed(evidence.failures.get(run_id, []), evidence.outcomes.get(run_id, []), is_given_up)
    if name == "lost":
        ends = evidence.outcomes.get(run_id)
        return f"its worker ended: {ended(ends[-1])}" if ends else "its worker ended before this run was trained"
    if name == "queued":
        waits = evidence.waits.get(run_id)
        return f"waiting: {waits}" if waits else "waiting for its turn"
    if name == "unknown":
        return found.unreachable or "whether its worker is at work cannot be checked from here"
    return {"missing": "not submitted", "cancelled": "cancelled"}[name]


def _running(sources: list[Source], now_s: float) -> str:
    if not sources:
        return "running"
    last = max(sources, key=lambda source: source.version[2])
    began_s = last.version[2] / 1e9  # a worker writes the shard when it begins a run
    since = datetime.fromtimestamp(began_s, timezone.utc).astimezone().strftime("%Y-%m-%d %H:%M")
    return f"running on {last.attributes.get('host', 'an unknown node')} since {since} ({duration(max(0, now_s - began_s))})"


def _failed(messages: list[str], outcomes: list[Outcome], is_given_up: bool) -> str:
    """How often a run failed, whether it is left out from now on, and the first line of the last message."""
    n_tries = sum(tries(outcomes, [""] * len(messages)).values())
    often = {1: "once", 2: "twice"}.get(n_tries, f"{n_tries} times")
    said = (messages or [ended(outcome) for outcome in outcomes] or [""])[-1].splitlines() or [""]
    return f"failed {often}{' and is left out' if is_given_up else ''}: {said[0]}"
