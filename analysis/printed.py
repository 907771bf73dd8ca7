"""What a report prints: the progress of the campaign, and what is not as expected."""

from collections.abc import Iterator

import pandas as pd

from analysis.expected import flags
from analysis.figures.campaign import MOST_SHEETS
from jobs.campaign import Campaign
from jobs.printing import count

_MOST_FLAGS = 10


def state(campaign: Campaign, runs: pd.DataFrame, summary: pd.DataFrame) -> Iterator[str]:
    """Lines: how many runs are done, missing and failed, and the first failures."""
    n = {name: int(summary[name].sum()) for name in ("repeats", "missing", "failed", "chance", "diverged")}
    n_planned = n["repeats"] + n["missing"] + n["failed"]
    yield f"{campaign.folder}: {n['repeats']:,} of {count(n_planned, 'run')} done, {n['missing']} missing, {n['failed']} failed"
    odd = [f"{n[name]:,} {what}" for name, what in (("chance", "never left chance"), ("diverged", "diverged")) if n[name]]
    if odd:
        yield f"of the done runs, {' and '.join(odd)}; all of them count in the means"
    for run in runs[runs["status"] == "failed"].head(10).to_dict("records"):
        which = f"{run['model_type']} {run['activation']} p={run['p']:g} repeat {run['repeat']}"
        first_line, *_ = run["message"].splitlines() or [""]
        yield f"failed     {run['run_id']} {which}: {first_line}"


def unexpected(summary: pd.DataFrame) -> Iterator[str]:
    """Lines on cells whose accuracy is not in the expected range."""
    found = list(flags(summary)["text"])
    yield from (f"note: not as expected: {text}" for text in found[:_MOST_FLAGS])
    if len(found) > _MOST_FLAGS:
        yield f"note: and {len(found) - _MOST_FLAGS:,} more that are not as expected"


def too_many(n_figures: int) -> Iterator[str]:
    """A line if figures were left out."""
    if n_figures == MOST_SHEETS:
        yield f"note: only the first {MOST_SHEETS} figures were drawn; the numbers of all cells are in results_summary.csv"
