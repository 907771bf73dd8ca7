"""What is known about costs in the place where runs will be executed, and how the rest is measured."""

import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from hpc.console import count
from hpc.execution.executor import Executor, Request
from hpc.planning.model import Knowledge, learn, name_of
from hpc.planning.priors import estimate
from hpc.planning.probes import probes, unknown
from hpc.state.measured import CALIBRATION, assumed_import_mb, observed, results_of
from jobs.campaign import Campaign
from jobs.manifest import new_id
from jobs.provenance import PROJECT_ROOT
from noisy.data import DataError, is_staged
from noisy.runs import Runs
from noisy.spec import RunSpec

_WORTH_CPU_S = 60  # of the published costs; measuring first takes some 10 s
_QUICK_S = 6  # of measured runs
_STAGE = "import sys; from noisy.data import stage; stage('digits', sys.argv[1])"


def known(executor: Executor, request: Request) -> Knowledge:
    """What the records below the campaign's folder of results say about costs where this executor runs."""
    setting = executor.setting(request.grid.execution)
    return learn(observed(results_of(request.campaign)), setting, assumed_import_mb())


def measured(request: Request, executor: Executor, runs: Runs) -> tuple[Request, bool]:
    """Measure unknown costs of these runs on this machine, if that is worth the time.

    Returns the request, changed so that nothing is measured again, and whether something was measured.
    """
    missing, after = _worth_measuring(known(executor, request), request, runs), replace(request, calibrate_with=None)
    if not missing:
        return after, False
    how = f"some {_QUICK_S + 4} s; --no-calibrate skips this"
    print(f"measuring  {', '.join(missing)}: not yet measured here ({how})", flush=True)
    if said := _measure(request):
        print(f"note: measuring failed: {said}", file=sys.stderr)
    return after, not said


def never_measured(request: Request, runs: Runs) -> list[str]:
    """The kinds of these runs, in words, of which no record tells the costs."""
    return _names(unknown(_cells(runs), request.knowledge))


def basis(request: Request, runs: Runs) -> str:
    """A line of text: what the costs of these runs are based on."""
    cells = _cells(runs)
    if request.grid.execution.use_cuda:
        return "assumed: GPUs were not yet measured"
    known_kinds = {name_of(run): found for run in cells if (found := request.knowledge.of(run))}
    seen = {name: f"{count(found.n_runs, 'run')} on {count(found.n_hosts, 'host')}" for name, found in known_kinds.items()}
    words = [f"{name} measured ({text})" for name, text in seen.items()]
    words += [
        f"{name} unknown: {'a wide guess' if is_own else 'published costs'}"
        for name, is_own in dict.fromkeys((name_of(run), run.has_own_model) for run in unknown(cells, request.knowledge))
    ]
    is_assumed = any(found.wall.is_assumed for found in known_kinds.values())
    return "; ".join(words) + ("; its range is assumed, since few runs or hosts were measured" if is_assumed else "")


def calibration(request: Request, executor: Executor, seconds: float, repeats: int, only_missing: bool) -> Request | None:
    """A request for a campaign of short runs that shows what runs cost; None if nothing is missing.

    The grid's data set is used if it is there, else digits.

    Args:
        seconds: CPU time of all runs together, on a common core.
        repeats: how often each of them is executed.
        only_missing: measure only what was never measured where this executor runs.
    """
    grid, campaign = request.grid, Campaign(results_of(request.campaign) / CALIBRATION / new_id())
    cells = _cells(request.runs)
    if only_missing:
        cells = unknown(cells, known(executor, request))
    if not cells:
        return None
    data_dir = request.data_dir
    if not grid.own.own_data and not _is_there(grid.dataset, data_dir):  # an own data set is staged by `submit`
        grid, data_dir = replace(grid, dataset="digits"), campaign.folder.parent.resolve() / "data"
        data_dir.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-c", _STAGE, str(data_dir)], cwd=PROJECT_ROOT, check=True, capture_output=True)
        cells = [replace(run, dataset="digits", max_train_samples=None) for run in cells]
    short = Runs.of(probes(cells, seconds, repeats))
    return replace(request, grid=grid, campaign=campaign, data_dir=data_dir, runs=short, yes=True, calibrate_with=None)


def _cells(runs: Runs) -> list[RunSpec]:
    used = set(runs.cell.tolist())
    return [cell.spec for place, cell in enumerate(runs.cells) if place in used]


def _worth_measuring(knowledge: Knowledge, request: Request, runs: Runs) -> list[str]:
    """The kinds of runs whose costs are not known, if there are enough runs to make measuring worth the time."""
    if request.grid.execution.use_cuda:
        return []
    cells = [cell.spec for cell in runs.cells]
    n_of = [0] * len(cells)
    for place in runs.cell.tolist():
        n_of[place] += 1
    left = [(run, n) for run, n in zip(cells, n_of, strict=True) if n and not knowledge.of(run)]
    cpu_s = sum(estimate(run, request.grid.execution).cpu_s.high * n for run, n in left)
    return _names(run for run, _ in left) if cpu_s > _WORTH_CPU_S else []


def _names(cells: Iterable[RunSpec]) -> list[str]:
    return list(dict.fromkeys(map(name_of, cells)))


def _measure(request: Request) -> str:
    """Measure on this machine, in another process. Returns why this failed; empty if it did not."""
    assert request.calibrate_with
    command = [sys.executable, "-m", "hpc.calibrate", "--missing", "--seconds", str(_QUICK_S), "--executor", "local"]
    command += ["--grid", str(request.calibrate_with.absolute()), "--output-dir", str(request.campaign.folder.absolute())]
    command += [word for setting in request.grid.settings for word in ("--set", setting)]
    done = subprocess.run(
        [*command, "--data-dir", str(request.data_dir)], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False
    )
    return "" if not done.returncode else (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]


def _is_there(dataset: str, data_dir: Path) -> bool:
    try:
        return is_staged(dataset, data_dir)
    except DataError:
        return False
