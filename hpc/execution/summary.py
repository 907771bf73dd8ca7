"""What `noisy status` says of a campaign: the figures as a value, and the same as lines of text."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from hpc.console import count, duration
from hpc.execution import afterwards, underway
from hpc.execution.afterwards import used_and_asked
from hpc.execution.underway import deadlines, left_s
from hpc.planning.drift import NEWEST, describe, drift
from hpc.planning.retrying import Reason
from hpc.state.known import finished_by
from hpc.state.measured import of_campaign
from hpc.state.nodes import suspects
from hpc.state.replacing import ever_recorded
from hpc.state.runs import STATES, State
from hpc.state.scheduler import Scheduler
from jobs.adopted import only_in_results
from jobs.campaign import Campaign
from jobs.manifest import Manifest
from jobs.recorded import Recorded, Source
from jobs.typed import typed


def summary(
    campaign: Campaign, manifest: Manifest, found: State, schedulers: Mapping[str, Scheduler], now_s: float
) -> dict[str, Any]:
    """Everything that the command shows, for `--json`. Times in s, rates in runs per hour."""
    rate = _rate(found, now_s)
    left = left_s(found)
    sources = ever_recorded(campaign, found.recorded)
    return {
        "campaign": manifest.header.campaign,
        "runs": len(found.runs),
        **{name: found.count(name) for name in STATES},
        "given_up": int(found.is_given_up.sum()),
        "not_kept": sum(outcome.reason is Reason.STORAGE for outcome in found.outcomes),
        "not_begun": sum(outcome.reason is Reason.RAISED and not outcome.run_id for outcome in found.outcomes),
        "cpu_h": _cpu_h(sources),
        "runs_per_h": rate[1] * 3600 if rate else None,
        "left_s": left,
        "deadlines": deadlines(found, left, schedulers, now_s),
        "at_work": {f"{s.number:04d}": len(activity.tasks) for s, activity in found.activities.items()},
        "redos": {f"{s.number:04d}": s.asked for s in found.activities if s.redo},
        "unchecked": [f"{s.number:04d}" for s, activity in found.activities.items() if not activity.is_known],
        "waiting": dict(Counter(worker.why for a in found.activities.values() for worker in a.workers if worker.why)),
        "drift": drift(of_campaign(found.recorded, found.runs)),
        "efficiency": used_and_asked(campaign, found, sources, schedulers),
        "only_in_results": _n_only_in_results(campaign, found),
        "suspects": suspects(found.known, datetime.fromtimestamp(now_s, timezone.utc)),
        "other_code": other_code(found),
        "unreadable": found.problems,
        "unreachable": found.unreachable,
    }


def _n_only_in_results(campaign: Campaign, found: State) -> int:
    """How many runs are done in results.h5 and have lost their records. It is not looked at while anything is at work."""
    if found.activities or found.count("done") == len(found.runs):
        return 0
    kept = only_in_results(campaign, finished_by(found.recorded))
    return len(kept[1]) if kept else 0


def _cpu_h(sources: Iterable[Source], run_ids: np.ndarray | None = None) -> float:
    """CPU hours of all records, or of those of some runs, S16 (n,)."""
    every = Recorded.of("", list(sources))
    records = every.records[every.distinct]
    some = records if run_ids is None else records[np.isin(records["run_id"], run_ids)]
    return float(np.nansum(some["cpu_s"])) / 3600


def part_of_summary(campaign: Campaign, manifest: Manifest, found: State) -> dict[str, Any]:
    """The same for some of the runs. What only the campaign as a whole has, such as its end, is left out."""
    return {
        "campaign": manifest.header.campaign,
        "runs": len(found.runs),
        "of_runs": len(manifest.runs),
        **{name: found.count(name) for name in STATES},
        "given_up": int(found.is_given_up.sum()),
        "cpu_h": _cpu_h(ever_recorded(campaign, found.recorded), found.runs.run_id),
        "unreadable": found.problems,
        "unreachable": found.unreachable,
    }


def other_code(found: State) -> list[str]:
    """A line for each submission whose tasks were executed by another version of the code than submitted them."""
    submitted = {each.submission.number: each.submission.code_commit for each in found.known.submitted}
    executed: dict[int, set[str]] = {}
    for source in found.recorded.sources:
        commit = submitted.get(source.task[0], "")
        if source.attributes and commit and source.attributes.get("code_commit", commit) != commit:
            executed.setdefault(source.task[0], set()).add(source.attributes["code_commit"])
    return [
        f"submission {number:04d} was submitted with code {submitted[number]}, but executed with {', '.join(sorted(commits))}"
        for number, commits in sorted(executed.items())
    ]


def lines_of(folder: Path, shown: Mapping[str, Any]) -> Iterator[str]:
    """The summary as lines of text, without what is wrong (`notes`, `warnings`)."""
    yield f"{folder}: {count(shown['runs'], 'run')}"
    yield from _states(shown)
    if shown["efficiency"]:
        yield from afterwards.lines_of(shown["efficiency"])
    if end := end_of(shown):
        yield f"  {end}"
    yield from underway.lines_of(shown["deadlines"])
    for number, n_tasks in shown["at_work"].items():
        abandon = f"{typed('submit')} --abandon {int(number)}"
        unchecked = f"; this cannot be checked from here: if you know that they are gone, {abandon}"
        note = f"; a redo of {shown['redos'][number]}" if number in shown["redos"] else ""
        note += unchecked if number in shown["unchecked"] else ""
        yield f"  submission {number}: {count(n_tasks, 'task')} at work or waiting{note}"
    for why, n_workers in shown["waiting"].items():
        yield f"    {count(n_workers, 'worker')} waiting: {why}"
    yield from (f"  {line}" for line in _troubles(shown))


def lines_of_part(folder: Path, shown: Mapping[str, Any]) -> Iterator[str]:
    """The same for `part_of_summary`."""
    yield f"{folder}: {shown['runs']:,} of {count(shown['of_runs'], 'run')}"
    yield from _states(shown)


def _states(shown: Mapping[str, Any]) -> Iterator[str]:
    for name in STATES:
        if shown[name] or name == "done":
            note = f"; {shown['given_up']} given up" if name == "failed" and shown["given_up"] else ""
            yield f"  {name:10}{shown[name]:8,}  {100 * shown[name] / shown['runs']:5.1f} %{note}"
    yield f"  CPU time  {shown['cpu_h']:8.2f}  hours used"


def end_of(shown: Mapping[str, Any]) -> str:
    """How long it still takes, with its interval; empty if nobody knows."""
    if not shown["left_s"]:
        return ""
    low, expected, high = (duration(shown["left_s"][name]) for name in ("low", "expected", "high"))
    rate = f"{shown['runs_per_h']:,.0f} runs per hour; " if shown["runs_per_h"] else ""
    return f"{rate}{expected} left ({low} to {high})"


def _troubles(shown: Mapping[str, Any]) -> Iterator[str]:
    """What went wrong with workers and nodes."""
    if shown["not_kept"] and shown["lost"]:
        why = f"{typed('logs')} --failed says why; once the cause is removed, submit again"
        yield f"{count(shown['not_kept'], 'worker')} could not keep results (disk full, no permission, share down): {why}"
    if shown["not_begun"] and shown["lost"]:
        yield f"{count(shown['not_begun'], 'worker')} failed before the first run began: see {typed('logs')} --failed"
    for node, n_tasks in shown["suspects"].items():
        yield f"node {node}: {count(n_tasks, 'worker')} ended there before they began; the next submit avoids it"


def notes(shown: Mapping[str, Any]) -> Iterator[str]:
    """What a reader should know."""
    if shown["drift"] is not None:
        yield f"note: the newest {NEWEST} runs took {describe(shown['drift'])} CPU time than was expected from earlier ones"
    yield from (f"note: {line}" for line in shown["other_code"])
    if n := shown["only_in_results"]:
        lost = f"the shards have lost the records of {count(n, 'run')}, but results.h5 has them"
        yield f"note: {lost}; {typed('submit')} with --from and this folder takes them back without training"


def warnings(shown: Mapping[str, Any]) -> Iterator[str]:
    """What cannot be read, and who cannot be asked."""
    yield from (f"warning: {problem}" for problem in shown["unreadable"])
    if shown["unreachable"]:
        yield f"warning: {shown['unreachable']}; states that depend on its answer are unknown"


def advice(shown: Mapping[str, Any]) -> list[str]:
    """All that is not as it should be, for a screen that has room for it."""
    deadlines = (line.strip() for line in underway.lines_of(shown["deadlines"]))
    return [*warnings(shown), *deadlines, *_troubles(shown), *notes(shown)]


def _rate(found: State, now_s: float) -> tuple[float, float, float] | None:
    """Runs per second since the oldest submission at work began: low, expected and high (one standard error of a count)."""
    if not found.activities:
        return None
    began_s = min(datetime.fromisoformat(submission.created).timestamp() for submission in found.activities)
    done = found.recorded.counting[found.recorded.is_finished[found.recorded.counting]]
    return rate_of(int((found.recorded.records["finished_at_s"][done] >= began_s).sum()), now_s - began_s)


def rate_of(n: int, elapsed_s: float) -> tuple[float, float, float] | None:
    """As `_rate`, from a count and a time; None if the count is small, or if a clock was set back."""
    if n < 4 or elapsed_s <= 0:
        return None
    per_s = n / elapsed_s
    return per_s * (1 - 1 / math.sqrt(n)), per_s, per_s * (1 + 1 / math.sqrt(n))
