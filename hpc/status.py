"""noisy status: what is done, running, queued, failed, lost; when it ends; what to type next.

Each scheduler is asked at most once what is queued, and once how tasks ended. Exit status: 0 all is well; 1 runs failed, are
lost or unknown, or a file cannot be read; 2 the input is wrong; 3 a scheduler cannot be reached, so some states are unknown.
"""

import argparse
import json
import sys
import time

from hpc.console import ALL_WELL, NO_SCHEDULER, SOME_FAILED, exit_with, open_campaign
from hpc.execution.cells import cell_lines
from hpc.execution.choice import EXECUTORS
from hpc.execution.next import next_command
from hpc.execution.summary import lines_of, lines_of_part, notes, part_of_summary, summary, warnings
from hpc.execution.view.possible import is_possible
from hpc.state.chosen import OFFERED, chosen
from hpc.state.runs import state
from jobs.commandline import Parser
from jobs.typed import typed

_WATCH_EVERY_S = 10
_KEY_S = 0.5  # between two looks at the size of the terminal; keys are seen at once


def main(argv: list[str] | None = None) -> None:
    """The command line above."""
    parser = Parser("status", "What is done, what is not, and when it ends.")
    parser.add_campaign(columns=OFFERED)
    parser.add_argument("--cells", action="store_true", help="also print a line for each cell that is not done")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.add_argument(
        "--watch",
        action="store_true",
        help=f"until nothing is at work: draw it in place (q leaves), or print it every {_WATCH_EVERY_S} s without a terminal",
    )
    options = parser.parse_args(argv)
    exit_with(lambda: _watch(options) if options.watch else _once(options)[0])


def _watch(options: argparse.Namespace) -> int:
    """Show the state while anything is at work: drawn in place on a terminal, else again and again. Returns the exit status."""
    if is_possible() and not (options.json or options.cells or options.filter):
        _view(options)
        return _once(options)[0]
    while True:
        started_s = time.monotonic()
        status, at_work = _once(options)
        print(end="", flush=True)  # whoever reads the file need not wait for a full buffer
        if not at_work:
            return status
        time.sleep(max(_WATCH_EVERY_S, 10 * (time.monotonic() - started_s)))  # uses a tenth of a core at most


def _view(options: argparse.Namespace) -> None:
    """Draw the state in place, until a key ends it or nothing is at work."""
    from hpc.execution.view.watching import LEAVE, View, Watcher  # loads what draws, which other calls need not wait for

    watcher = Watcher(open_campaign(options.output_dir)[0], EXECUTORS)
    with View(watcher, LEAVE) as view:
        while view.step(_KEY_S) and watcher.is_at_work:
            pass


def _once(options: argparse.Namespace) -> tuple[int, bool]:
    """Show the state once; returns the exit status, and whether anything is at work."""
    campaign, manifest = open_campaign(options.output_dir)
    found = state(campaign, manifest.header.campaign, manifest.runs, EXECUTORS)
    if options.filter:
        found = found.part(chosen(found, options.filter))
        shown = part_of_summary(campaign, manifest, found)
        lines = [*lines_of_part(campaign.folder, shown)]
    else:
        shown = summary(campaign, manifest, found, EXECUTORS, time.time())
        lines = [*lines_of(campaign.folder, shown), *notes(shown)]
    if options.json:
        print(json.dumps(shown, indent=1))
    else:
        print(*lines, sep="\n")
        for line in warnings(shown):
            print(line, file=sys.stderr)
        if options.cells:
            print("".join(f"  {line}\n" for line in cell_lines(found)), end="")
    if not (options.json or options.filter):
        following = next_command(campaign, found)
        if not (options.watch and typed("status") in following):  # (no advice to use --watch within --watch)
            print(f"Next: {following}", flush=True)
    if found.unreachable:
        return NO_SCHEDULER, True
    is_well = not (found.problems or len(found.places("failed", "lost", "unknown")))
    return ALL_WELL if is_well else SOME_FAILED, bool(found.activities)


if __name__ == "__main__":
    main()
