"""Making a report: merge a campaign's shards; write CSVs, results.h5, figures and report.html (`noisy report`)."""

import argparse
import contextlib
import errno
import itertools
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd

from analysis.comparisons import UnknownReference, reference_of
from analysis.figures.campaign import MOST_SHEETS, sheets, with_cells
from analysis.figures.saving import save_all
from analysis.figures.sheets import in_grid_order
from analysis.held import PER_RUN_CSV, Refused
from analysis.merge import Merged, merge
from analysis.methods import methods_text
from analysis.page.render import Content, page
from analysis.planned import MISSING, read_planned
from analysis.printed import state, too_many, unexpected
from analysis.report import WATCH_EVERY_S
from analysis.tables import Tables, tables_of
from jobs.campaign import Campaign
from jobs.commandline import the_campaign
from jobs.files import advice_on, publish
from jobs.filters import FilterError, Nothing
from jobs.manifest import ManifestError
from jobs.printing import NotPrinted, printing
from jobs.reading import open_regular

_ROWS_A_TIME = 20_000
_FILES = ("results.h5", PER_RUN_CSV, "results_summary.csv", "comparisons.csv", "methods.md", "report.html")
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
    failure = 2
    try:
        with printing():
            campaign = the_campaign(options.output_dir)
            made = {"to": options.to, "accept_fewer": options.accept_fewer, "filters": options.filter}
            made |= {"style": options.style, "reference": options.reference, "is_drawn": not options.no_figures}
            status = report(campaign, **made) if options.watch is None else _watch(options.watch, campaign, **made)
        sys.exit(status)
    except KeyboardInterrupt:
        sys.exit(130)
    except Refused as error:
        message, failure = str(error), 1
    except (ManifestError, NotPrinted, UnknownReference) as error:
        message = str(error)
    except FilterError as error:
        message = "\n  ".join([f"{len(error.problems)} problem{'s' * (len(error.problems) > 1)}", *error.problems])
    except Nothing as error:
        message, failure = "\n  ".join([f"{error}; the values that there are:", *error.values]), 1
    except BrokenPipeError:  # stdout was closed (for example by `head`); all files are written
        os._exit(1)
    except OSError as error:
        todo = "".join(f"{advice}; or " for advice in [advice_on(error)] if advice) + "write elsewhere with --to DIR"
        message = f"{error.filename or 'a file'}: {error.strerror or error}; {todo}"
    print(f"error: {message}", file=sys.stderr)
    sys.exit(failure)


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
    paths = {name: target / name for name in _FILES}
    _refuse_other_kinds(list(paths.values()), target / "figures")
    _refuse_reference(campaign, reference, filters)
    merged = merge(campaign, paths["results.h5"], accept_fewer, filters)
    tables = tables_of(merged, paths["results.h5"], reference)
    publish(paths[PER_RUN_CSV], _csv(tables.per_run))
    publish(paths["results_summary.csv"], _csv(tables.summary))
    publish(paths["comparisons.csv"], _csv(tables.comparisons))
    figures = 0
    if is_drawn:
        figures = _write_for_readers(campaign, merged, tables, paths, style)
    else:
        _remove_for_readers(paths)
    notes = [*(f"note: {text}" for text in merged.notes), *unexpected(tables.summary)]
    places = {**paths, "figures": target / "figures"}
    written = (f"{what:10} {places[name]}" for what, name in _WRITTEN.items() if is_drawn or name not in _FOR_READERS)
    print(
        *state(campaign, tables.per_run, tables.summary),
        *written,
        *too_many(figures),
        *notes,
        sep="\n",
    )
    if merged.problems:  # so that other commands read these files again
        with contextlib.suppress(OSError):
            campaign.remembered.unlink()
    for text in merged.problems:
        print(f"problem: {text}", file=sys.stderr)
    status = 1 if merged.problems or tables.summary["failed"].any() else 0
    return status, int(tables.summary[MISSING].sum())


def _refuse_reference(campaign: Campaign, reference: str | None, filters: Sequence[str]) -> None:
    """Refuse an unknown reference before anything is written."""
    if reference is not None:
        reference_of(list(dict.fromkeys(read_planned(campaign.manifest, filters).cells["activation"])), reference)


def _write_for_readers(campaign: Campaign, merged: Merged, tables: Tables, paths: dict[str, Path], style: str) -> int:
    """Write the figures, methods.md and report.html. Returns the number of figures."""
    summary = in_grid_order(tables.summary, merged.planned.cells)
    runs = with_cells(merged.runs, summary)
    store = paths["results.h5"]
    made = sheets(summary, runs, tables.comparisons, store)
    figures = save_all(store.with_name("figures"), itertools.islice(made, MOST_SHEETS), style)
    methods = methods_text(summary, tables.per_run, tables.comparisons)
    publish(paths["methods.md"], methods.encode(errors="backslashreplace"))
    content = Content(
        campaign.folder.resolve().name,
        summary,
        tables.per_run,
        tables.comparisons,
        figures,
        merged.problems,
        merged.notes,
        methods,
        _grid(campaign),
        style,
    )
    publish(paths["report.html"], page(content))
    return len(figures)


def _remove_for_readers(paths: dict[str, Path]) -> None:
    """Remove figures and pages that an earlier report made from other numbers."""
    if (folder := paths["results.h5"].with_name("figures")).is_dir():
        save_all(folder, [], "paper")
    for name in ("methods.md", "report.html"):
        paths[name].unlink(missing_ok=True)


def _grid(campaign: Campaign) -> str:
    """The text of grid.yaml; empty if it cannot be read."""
    with contextlib.suppress(OSError), open_regular(campaign.folder / "grid.yaml") as file:
        return file.read().decode(errors="backslashreplace")
    return ""


def _refuse_other_kinds(files: list[Path], folder: Path) -> None:
    """Before anything is written, refuse to replace a folder or a pipe that is in the place of a file."""
    for path in files:
        if os.path.lexists(path) and not path.is_file():
            raise FileExistsError(errno.EEXIST, "is not a file", str(path))
    if os.path.lexists(folder) and not folder.is_dir():
        raise FileExistsError(errno.EEXIST, "is not a folder", str(folder))


def _csv(table: pd.DataFrame) -> Iterator[bytes]:
    """The table as CSV, in pieces, so that the text of a million runs is never in memory as a whole."""
    for start in range(0, max(len(table), 1), _ROWS_A_TIME):
        yield table[start : start + _ROWS_A_TIME].to_csv(index=False, header=start == 0).encode(errors="backslashreplace")
