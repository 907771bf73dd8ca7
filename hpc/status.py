"""python -m hpc.status: what is done, running, queued, failed, lost; when it ends; what to type next.

At most one call of squeue and one of sacct. Exit status: 0 all well; 1 runs failed or are lost; 2 the input is wrong;
3 Slurm cannot be reached: what depends on it is shown as unknown.
"""

import argparse
import json
import math
import os
import sys
import time
from collections import Counter, defaultdict
from datetime import datetime
from typing import Any

from hpc.display import count, duration, quoted, report_command
from hpc.outcomes import NOT_KEPT
from hpc.selection import add_campaign_option, open_campaign
from hpc.state import STATES, State, state
from jobs.campaign import Campaign
from jobs.manifest import Manifest, ManifestError
from noisy.spec import spec_of

_WATCH_EVERY_S = 10


def main(argv: list[str] | None = None) -> None:
    """The command line above."""
    parser = argparse.ArgumentParser(prog="python -m hpc.status", description="What is done, what is not, and when it ends.")
    add_campaign_option(parser)
    parser.add_argument("--cells", action="store_true", help="also a line for each cell that is not done")
    parser.add_argument("--json", action="store_true", help="the same for programs")
    parser.add_argument("--watch", action="store_true", help=f"again every {_WATCH_EVERY_S} s, until nothing is at work")
    options = parser.parse_args(argv)
    try:
        while True:
            started_s = time.monotonic()
            status, at_work = _once(options)
            if not (options.watch and at_work):
                sys.exit(status)
            time.sleep(max(_WATCH_EVERY_S, 10 * (time.monotonic() - started_s)))  # a tenth of a core at most
    except ManifestError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # whoever read the output has gone: nobody is left to be told
        os._exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def summary(manifest: Manifest, found: State, now_s: float) -> dict[str, Any]:
    """Everything that the command shows, for `--json`. Times in s, rates in runs per hour."""
    rate = _rate(found, now_s)
    n_left = found.count("running") + found.count("queued")
    left_s = [n_left / per_s for per_s in rate] if rate and n_left else None
    return {
        "campaign": manifest.header.campaign,
        "runs": len(found.runs),
        **{name: found.count(name) for name in STATES},
        "given_up": len(found.given_up),
        "not_kept": sum(outcome.state == NOT_KEPT for outcome in found.outcomes),
        "cpu_h": found.recorded.cpu_s / 3600,
        "runs_per_h": rate[1] * 3600 if rate else None,
        "left_s": dict(zip(("high", "expected", "low"), left_s, strict=True)) if left_s else None,
        "at_work": {f"{s.number:04d}": len(activity.tasks) for s, activity in found.activities.items()},
        "unreadable": found.recorded.unreadable,
        "unreachable": found.unreachable,
    }


def _once(options: argparse.Namespace) -> tuple[int, bool]:
    """Show the state once; returns the exit status, and whether anything is at work."""
    campaign, manifest = open_campaign(options.output_dir)
    found = state(campaign, manifest.header.campaign, manifest.runs)
    shown = summary(manifest, found, time.time())
    if options.json:
        print(json.dumps(shown, indent=1))
    else:
        _show(campaign, shown)
        if options.cells:
            _show_cells(manifest, found)
        print(f"Next: {_next(campaign, found)}", flush=True)
    if found.unreachable:
        return 3, True
    return int(bool(found.count("failed") or found.count("lost"))), bool(found.activities)


def _show(campaign: Campaign, shown: dict[str, Any]) -> None:
    print(f"{campaign.folder}: {count(shown['runs'], 'run')}")
    for name in STATES:
        if shown[name] or name == "done":
            note = f"; {shown['given_up']} given up" if name == "failed" and shown["given_up"] else ""
            print(f"  {name:10}{shown[name]:8,}  {100 * shown[name] / shown['runs']:5.1f} %{note}")
    print(f"  CPU time  {shown['cpu_h']:8.2f}  hours used")
    if shown["left_s"]:
        low, expected, high = (duration(shown["left_s"][name]) for name in ("low", "expected", "high"))
        print(f"  {shown['runs_per_h']:,.0f} runs per hour; {expected} left ({low} to {high})")
    for number, n_tasks in shown["at_work"].items():
        print(f"  submission {number}: {count(n_tasks, 'task')} at work or waiting")
    if shown["not_kept"] and shown["lost"]:
        print(f"  {count(shown['not_kept'], 'task')} could not keep results (disk full or quota): make room, and submit again")
    for problem in shown["unreadable"]:
        print(f"warning: {problem}", file=sys.stderr)
    if shown["unreachable"]:
        print(f"warning: {shown['unreachable']}; what depends on it is unknown", file=sys.stderr)


def _show_cells(manifest: Manifest, found: State) -> None:
    cells: dict[str, Counter] = defaultdict(Counter)
    for run_id, its_state in found.runs.items():
        run = spec_of(manifest.runs[run_id])
        cells[_cell_name(run.model_type, run.hidden_sizes, run.activation, run.p, run.epochs, run.learning_rate)][
            its_state
        ] += 1
    for name, states in cells.items():
        if set(states) != {"done"}:
            print(f"  {name}: " + ", ".join(f"{states[each]} {each}" for each in STATES if states[each]))


def _cell_name(
    model_type: str, hidden_sizes: tuple[int, ...] | None, activation: str, p: float, epochs: int, rate: float
) -> str:
    sizes = " " + "-".join(map(str, hidden_sizes)) if hidden_sizes else ""
    return f"{model_type}{sizes} {activation} p={p:g} epochs={epochs} learning_rate={rate:g}"


def _rate(found: State, now_s: float) -> tuple[float, float, float] | None:
    """Runs per second (low, expected, high: one standard error of a count) since the oldest submission at work began."""
    if not found.activities:
        return None
    began_s = min(datetime.fromisoformat(submission.created).timestamp() for submission in found.activities)
    n = sum(finished_s >= began_s for finished_s in found.recorded.done.values())
    if n < 4:
        return None
    per_s = n / max(now_s - began_s, 1)
    return per_s * (1 - 1 / math.sqrt(n)), per_s, per_s * (1 + 1 / math.sqrt(n))


def _next(campaign: Campaign, found: State) -> str:
    if found.unreachable:
        return f"python -m hpc.status --output-dir {quoted(campaign.folder)} (again, when Slurm answers)"
    if found.count("failed"):
        return f"python -m hpc.logs --failed --output-dir {quoted(campaign.folder)}"
    if found.activities:
        return f"python -m hpc.status --watch --output-dir {quoted(campaign.folder)}"
    if found.count("done") < len(found.runs):
        return f"python -m hpc.submit --grid {quoted(campaign.grid)} --output-dir {quoted(campaign.folder)}"
    return report_command(campaign)


if __name__ == "__main__":
    main()
