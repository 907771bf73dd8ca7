"""noisy status: what is done, running, queued, failed, lost; when it ends; what to type next.

Each scheduler is asked at most once what is queued, and once how tasks ended. Exit status: 0 all is well; 1 runs failed, are
lost or
unknown, or a file cannot be read; 2 the input is wrong; 3 a scheduler cannot be reached, so some states are unknown.
"""

import argparse
import contextlib
import io
import json
import math
import sys
import time
from collections import Counter
from datetime import datetime, timezone
from typing import Any

import numpy as np

from hpc.console import (
    ALL_WELL,
    NO_SCHEDULER,
    SOME_FAILED,
    count,
    duration,
    exit_with,
    open_campaign,
)
from hpc.execution import underway
from hpc.execution.afterwards import lines_of, used_and_asked
from hpc.execution.cells import cell_lines
from hpc.execution.choice import EXECUTORS
from hpc.execution.next import next_command
from hpc.execution.underway import deadlines, left_s
from hpc.planning.drift import NEWEST, describe, drift
from hpc.planning.retrying import Reason
from hpc.state.chosen import chosen
from hpc.state.measured import of_campaign
from hpc.state.nodes import suspects
from hpc.state.runs import STATES, State, state
from jobs.campaign import Campaign
from jobs.commandline import Parser
from jobs.manifest import Manifest

_WATCH_EVERY_S = 10
_CLEAR = "\x1b[H\x1b[2J"  # a terminal


def main(argv: list[str] | None = None) -> None:
    """The command line above."""
    parser = Parser("status", "What is done, what is not, and when it ends.")
    parser.add_campaign()
    parser.add_argument("--cells", action="store_true", help="also print a line for each cell that is not done")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.add_argument(
        "--watch", action="store_true", help=f"show it again every {_WATCH_EVERY_S} s, until nothing is at work"
    )
    options = parser.parse_args(argv)
    exit_with(lambda: _watch(options) if options.watch else _once(options)[0])


def _watch(options: argparse.Namespace) -> int:
    """Show the state again and again while anything is at work (in place on a terminal). Returns the exit status."""
    while True:
        started_s, shown = time.monotonic(), io.StringIO()
        if sys.stdout.isatty():
            with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
                status, at_work = _once(options)
            print(f"{_CLEAR}{shown.getvalue()}", end="", flush=True)
        else:
            status, at_work = _once(options)
        if not at_work:
            return status
        time.sleep(max(_WATCH_EVERY_S, 10 * (time.monotonic() - started_s)))  # uses a tenth of a core at most


def summary(campaign: Campaign, manifest: Manifest, found: State, now_s: float) -> dict[str, Any]:
    """Everything that the command shows, for `--json`. Times in s, rates in runs per hour."""
    rate = _rate(found, now_s)
    left = left_s(found)
    return {
        "campaign": manifest.header.campaign,
        "runs": len(found.runs),
        **{name: found.count(name) for name in STATES},
        "given_up": int(found.is_given_up.sum()),
        "not_kept": sum(outcome.reason is Reason.STORAGE for outcome in found.outcomes),
        "not_begun": sum(outcome.reason is Reason.RAISED and not outcome.run_id for outcome in found.outcomes),
        "cpu_h": float(np.nansum(found.recorded.records["cpu_s"])) / 3600,
        "runs_per_h": rate[1] * 3600 if rate else None,
        "left_s": left,
        "deadlines": deadlines(found, left, EXECUTORS, now_s),
        "at_work": {f"{s.number:04d}": len(activity.tasks) for s, activity in found.activities.items()},
        "unchecked": [f"{s.number:04d}" for s, activity in found.activities.items() if not activity.is_known],
        "waiting": dict(Counter(worker.why for a in found.activities.values() for worker in a.workers if worker.why)),
        "drift": drift(of_campaign(found.recorded, found.runs)),
        "efficiency": used_and_asked(campaign, found, EXECUTORS),
        "suspects": suspects(found.known, datetime.fromtimestamp(now_s, timezone.utc)),
        "other_code": other_code(found),
        "unreadable": found.problems,
        "unreachable": found.unreachable,
    }


def part_of_summary(manifest: Manifest, found: State) -> dict[str, Any]:
    """The same for some of the runs. What only the campaign as a whole has, such as its end, is left out."""
    is_theirs = np.isin(found.recorded.records["run_id"], found.runs.run_id)
    return {
        "campaign": manifest.header.campaign,
        "runs": len(found.runs),
        "of_runs": len(manifest.runs),
        **{name: found.count(name) for name in STATES},
        "given_up": int(found.is_given_up.sum()),
        "cpu_h": float(np.nansum(found.recorded.records["cpu_s"][is_theirs])) / 3600,
        "unreadable": found.problems,
        "unreachable": found.unreachable,
    }


def _once(options: argparse.Namespace) -> tuple[int, bool]:
    """Show the state once; returns the exit status, and whether anything is at work."""
    campaign, manifest = open_campaign(options.output_dir)
    found = state(campaign, manifest.header.campaign, manifest.runs, EXECUTORS)
    if options.filter:
        found = found.part(chosen(found, options.filter))
        shown = part_of_summary(manifest, found)
    else:
        shown = summary(campaign, manifest, found, time.time())
    if options.json:
        print(json.dumps(shown, indent=1))
    else:
        (_show_part if options.filter else _show)(campaign, shown)
        if options.cells:
            print("".join(f"  {line}\n" for line in cell_lines(found)), end="")
    if not (options.json or options.filter):
        following = next_command(campaign, found)
        if not (options.watch and "noisy status" in following):  # (no advice to use --watch within --watch)
            print(f"Next: {following}", flush=True)
    if found.unreachable:
        return NO_SCHEDULER, True
    is_well = not (found.problems or len(found.places("failed", "lost", "unknown")))
    return ALL_WELL if is_well else SOME_FAILED, bool(found.activities)


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


def _show_part(campaign: Campaign, shown: dict[str, Any]) -> None:
    print(f"{campaign.folder}: {shown['runs']:,} of {count(shown['of_runs'], 'run')}")
    _show_states(shown)
    _warn(shown)


def _show_states(shown: dict[str, Any]) -> None:
    for name in STATES:
        if shown[name] or name == "done":
            note = f"; {shown['given_up']} given up" if name == "failed" and shown["given_up"] else ""
            print(f"  {name:10}{shown[name]:8,}  {100 * shown[name] / shown['runs']:5.1f} %{note}")
    print(f"  CPU time  {shown['cpu_h']:8.2f}  hours used")


def _warn(shown: dict[str, Any]) -> None:
    for problem in shown["unreadable"]:
        print(f"warning: {problem}", file=sys.stderr)
    if shown["unreachable"]:
        print(f"warning: {shown['unreachable']}; states that depend on its answer are unknown", file=sys.stderr)


def _show(campaign: Campaign, shown: dict[str, Any]) -> None:
    print(f"{campaign.folder}: {count(shown['runs'], 'run')}")
    _show_states(shown)
    for line in lines_of(shown["efficiency"]) if shown["efficiency"] else ():
        print(line)
    if shown["left_s"]:
        low, expected, high = (duration(shown["left_s"][name]) for name in ("low", "expected", "high"))
        rate = f"{shown['runs_per_h']:,.0f} runs per hour; " if shown["runs_per_h"] else ""
        print(f"  {rate}{expected} left ({low} to {high})")
    for line in underway.lines_of(shown["deadlines"]):
        print(line)
    for number, n_tasks in shown["at_work"].items():
        abandon = f"noisy submit --abandon {int(number)}"
        unchecked = f"; this cannot be checked from here: if you know that they are gone, {abandon}"
        note = unchecked if number in shown["unchecked"] else ""
        print(f"  submission {number}: {count(n_tasks, 'task')} at work or waiting{note}")
    for why, n_workers in shown["waiting"].items():
        print(f"    {count(n_workers, 'worker')} waiting: {why}")
    if shown["not_kept"] and shown["lost"]:
        why = "noisy logs --failed says why; once the cause is removed, submit again"
        print(f"  {count(shown['not_kept'], 'worker')} could not keep results (disk full, no permission, share down): {why}")
    if shown["not_begun"] and shown["lost"]:
        print(f"  {count(shown['not_begun'], 'worker')} failed before the first run began: see noisy logs --failed")
    for node, n_tasks in shown["suspects"].items():
        print(f"  node {node}: {count(n_tasks, 'worker')} ended there before they began; the next submit avoids it")
    if shown["drift"] is not None:
        print(f"note: the newest {NEWEST} runs took {describe(shown['drift'])} CPU time than was expected from earlier ones")
    for line in shown["other_code"]:
        print(f"note: {line}")
    _warn(shown)


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


if __name__ == "__main__":
    main()
