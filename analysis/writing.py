"""Writing all files of a report into a folder."""

import contextlib
import errno
import itertools
import os
from collections.abc import Sequence
from pathlib import Path

from analysis.comparisons import reference_of
from analysis.figures.campaign import MOST_SHEETS, sheets, with_cells
from analysis.figures.saving import save_all
from analysis.figures.sheets import in_grid_order
from analysis.held import PER_RUN_CSV
from analysis.merge import Merged, merge
from analysis.methods import methods_text
from analysis.page.render import Content, page
from analysis.planned import read_planned
from analysis.tables import Tables, csv_of, tables_of
from jobs.campaign import Campaign
from jobs.files import publish
from jobs.reading import open_regular

_FILES = ("results.h5", PER_RUN_CSV, "results_summary.csv", "comparisons.csv", "methods.md", "report.html")


def write(
    campaign: Campaign,
    target: Path,
    accept_fewer: bool = False,
    style: str = "paper",
    reference: str | None = None,
    is_drawn: bool = True,
    filters: Sequence[str] = (),
) -> tuple[Merged, Tables, int]:
    """Write them; returns what is in them, and how many figures there are.

    Args:
        target: the folder. Others: as in `analysis.report.report`.

    Raises:
        ManifestError, Refused, UnknownReference, FilterError, Nothing: no report can be made.
        OSError: a file cannot be written.
    """
    paths = {name: target / name for name in _FILES}
    _refuse_other_kinds(list(paths.values()), target / "figures")
    _refuse_reference(campaign, reference, filters)
    merged = merge(campaign, paths["results.h5"], accept_fewer, filters)
    tables = tables_of(merged, paths["results.h5"], reference)
    for name, table in tables.named().items():
        publish(paths[name], csv_of(table))
    if is_drawn:
        return merged, tables, _write_for_readers(campaign, merged, tables, paths, style)
    _remove_for_readers(paths)
    return merged, tables, 0


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
