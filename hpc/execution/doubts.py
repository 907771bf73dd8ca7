"""Checks before anything is written: runs that are too large are refused, possible mistakes need the user's consent."""

from collections.abc import Iterable

from hpc.console import Refused, count, duration
from hpc.planning.sizes import largest_that_fits, least_mem_mb
from hpc.planning.tasks import Plan
from hpc.request.changed import compare
from hpc.state.known import among, finished_by
from hpc.state.runs import State
from jobs.campaign import Campaign
from jobs.manifest import ManifestError, read_manifest
from noisy.runs import Runs
from noisy.spec import RunSpec

_LONG_S = 7 * 24 * 3600  # of a single run


def changes(campaign: Campaign, runs: Runs, found: State) -> list[str]:
    """Show what the grid changes in its campaign. Returns what the user must agree to: the grid leaves out done runs."""
    try:
        before = read_manifest(campaign.manifest).runs
    except ManifestError:  # there is no manifest, or `prepare` writes it again
        return []
    changed = compare(before, runs)
    if not (changed.n_new or len(changed.gone)):
        return []
    n_done = int(among(changed.gone, finished_by(found.recorded)).sum())
    new = "all " * (changed.n_new == len(runs)) + _are(changed.n_new, "run", "new")
    numbers = {"done run": n_done, "other run": len(changed.gone) - n_done}
    gone = [_are(n, noun, "no longer part of this grid") for noun, n in numbers.items()]
    lines = ["; ".join(part for part in (new, *gone) if not part.startswith("0 ")), *changed.lines]
    print("changed    " + "\n           ".join(lines), flush=True)
    return [f"{gone[0]} (kept, and left out of reports)"] if n_done else []


def _are(n: int, noun: str, what: str) -> str:
    return f"{count(n, noun)} {'is' if n == 1 else 'are'} {what}"


def long_runs(planned: Plan) -> list[str]:
    """What the user must agree to: a run takes more than a week."""
    longest_s = max(task.per_run.wall_s.middle for task in planned.tasks)
    return [f"a single run takes {duration(longest_s)}"] if longest_s > _LONG_S else []


def refuse_larger_than(mem_mb: float, cells: Iterable[RunSpec], who: str) -> None:
    """Refuse runs that need more than `mem_mb` of memory. who: the owner of that memory, such as "this machine has".

    Raises:
        Refused: the message names the largest run that would fit.
    """
    largest = max(cells, key=least_mem_mb)
    if least_mem_mb(largest) > mem_mb:
        sizes = f"hidden_sizes {list(largest.hidden_sizes)}, " if largest.hidden_sizes else ""
        fits = largest_that_fits(largest, mem_mb)
        needs = f"needs at least {least_mem_mb(largest) / 1000:,.1f} GB, and {who} {mem_mb / 1000:,.1f} GB"
        what = f"a run of {largest.model_type} with {sizes}batch_size {largest.batch_size}"
        raise Refused(f"{what} {needs}" + (f"; the largest that fits: {fits}" if fits else ""))
