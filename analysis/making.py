"""Making a report: merge a campaign's shards; write CSVs, results.h5, figures and report.html (`noisy report`)."""

import argparse
import contextlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from analysis.comparisons import UnknownReference
from analysis.ending import ELSEWHERE, exit_with
from analysis.held import PER_RUN_CSV, Refused
from analysis.planned import MISSING
from analysis.printed import state, too_many, unexpected
from analysis.report import WATCH_EVERY_S
from analysis.writing import write
from jobs.campaign import Campaign
from jobs.commandline import the_campaign
from jobs.manifest import ManifestError

_FOR_READERS = ("methods.md", "report.html", "figures")
_WRITTEN = {  # how the output names the files
    "page": "report.html",
    "per run": PER_RUN_CSV,
    "summary": "results_summary.csv",
    "compared": "comparisons.csv",
    "methods": "methods.md",
    "merged": "results.h5",
    "figures": "figures",
}


def run(options: argparse.Namespace) -> NoReturn:
    """Make the report that a command line asks for, and exit with its status."""
    exit_with(lambda: _run(options), (ManifestError, UnknownReference), (Refused,), advice=ELSEWHERE)


def _run(options: argparse.Namespace) -> int:
    campaign = the_campaign(options.output_dir)
    made = {"to": options.to, "accept_fewer": options.accept_fewer, "filters": options.filter}
    made |= {"style": options.style, "reference": options.reference, "is_drawn": not options.no_figures}
    return report(campaign, **made) if options.watch is None else _watch(options.watch, campaign, **made)


def report(
    campaign: Campaign,
    to: Path | None = None,
    accept_fewer: bool = False,
    style: str = "paper",
    reference: str | None = None,
    is_drawn: bool = True,
    filters: Sequence[str] = (),
) -> int:
    """Write everything, then print where it is. Returns the exit status.

    Args:
        is_drawn: also write figures and pages. filters: only runs that fit these are used (jobs/filters.py).
    """
    return _report(campaign, to, accept_fewer, style, reference, is_drawn, filters)[0]


def _watch(every_s: float, campaign: Campaign, **made: Any) -> int:
    """Make the report again and again until no run is missing. Returns the last exit status. Only new shards are read.

    Args:
        every_s: seconds from the start of one report to the start of the next; 0: so that it uses at most a tenth of a core.
    """
    while True:
        started_s = time.monotonic()
        status, n_missing = _report(campaign, **made)
        if not n_missing:
            return status
        sys.stdout.flush()
        took_s = time.monotonic() - started_s
        time.sleep(max(0, every_s - took_s) if every_s else max(WATCH_EVERY_S, 10 * took_s))


def _report(
    campaign: Campaign,
    to: Path | None,
    accept_fewer: bool,
    style: str,
    reference: str | None,
    is_drawn: bool,
    filters: Sequence[str],
) -> tuple[int, int]:
    """Make one report. Returns the exit status and the number of missing runs."""
    target = to or campaign.folder
    merged, tables, n_figures = write(campaign, target, accept_fewer, style, reference, is_drawn, filters)
    notes = [*(f"note: {text}" for text in merged.notes), *unexpected(tables.summary)]
    written = (f"{what:10} {target / name}" for what, name in _WRITTEN.items() if is_drawn or name not in _FOR_READERS)
    print(*state(campaign, tables.per_run, tables.summary), *written, *too_many(n_figures), *notes, sep="\n")
    if merged.problems:  # so that other commands read these files again
        with contextlib.suppress(OSError):
            campaign.remembered.unlink()
    for text in merged.problems:
        print(f"problem: {text}", file=sys.stderr)
    status = 1 if merged.problems or tables.summary["failed"].any() else 0
    return status, int(tables.summary[MISSING].sum())
