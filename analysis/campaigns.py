"""Two campaigns, side by side: read them, compare them, draw them, and say what was found (`noisy compare`)."""

import argparse
import io
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pandas as pd

from analysis.agreement import Agreement, NotComparable, agreement
from analysis.ending import ELSEWHERE, exit_with
from analysis.figures.agreement import agreement_figure
from analysis.figures.style import styled
from analysis.held import Refused
from analysis.merge import look_at
from analysis.planned import CELL_FIELDS, MISSING
from jobs.archived import SUMS, ArchiveError, not_as_packed, unpacked, wrong_files
from jobs.campaign import Campaign
from jobs.files import publish
from jobs.manifest import ManifestError
from jobs.reading import brief
from jobs.typed import quoted, typed

_FORMATS: dict[str, dict] = {".pdf": {"metadata": {"CreationDate": None}}, ".png": {"metadata": {"Software": None}}}
_NEEDED = (*CELL_FIELDS, "repeat", "status", "test_accuracy")
_MOST_NAMED = 20  # cells


class Unusable(Exception):
    """A or B cannot be read. The message names every problem."""


def run(options: argparse.Namespace) -> NoReturn:
    """Compare the two campaigns that a command line names, and exit with the status."""
    exit_with(lambda: _compare(options), (Unusable, NotComparable), advice=ELSEWHERE, if_closed=2)


def _compare(options: argparse.Namespace) -> int:
    return 1 if compare(options.A, options.B, options.to, not options.unpaired).differs else 0


def compare(a: Path, b: Path, to: Path, in_pairs: bool) -> Agreement:
    """Compare two campaigns, write the files, and print what was found.

    Raises:
        Unusable: A or B cannot be read.
        NotComparable: they have nothing in common.
        OSError: a file cannot be written.
    """
    runs, problems = {}, []
    for name, path in (("A", a), ("B", b)):
        try:
            runs[name] = read_runs(path)
        except Unusable as error:
            problems.append(f"{name}: {error}")
    if problems:
        raise Unusable("\n  ".join(problems))
    found = agreement(runs["A"], runs["B"], in_pairs)
    paths = write(found, to, _short(a), _short(b))
    for name, path in (("A", a), ("B", b)):
        n_finished = int(runs[name]["test_accuracy"].notna().sum())
        print(f"{name}          {path}: {n_finished:,} finished runs")
    print(*say(found), *(f"wrote      {path}" for path in paths), sep="\n")
    return found


def read_runs(path: Path) -> pd.DataFrame:
    """Read the runs of a campaign that have a record, from a folder's shards, an archive or a CSV. Nothing is written.

    Raises:
        Unusable: it cannot be read, or has no run.
    """
    try:
        table = _read(path)
    except (ArchiveError, ManifestError, Refused) as error:
        raise Unusable(error) from error
    except (OSError, ValueError) as error:
        raise Unusable(f"{path}: cannot be read ({brief(error)})") from error
    lacking = [name for name in _NEEDED if name not in table]
    if lacking:
        raise Unusable(f"{path}: no column {', '.join(lacking)}; allowed: a results_per_run.csv of noisy report")
    table = table[table["status"] != MISSING]
    if table.empty:
        raise Unusable(f"{path}: no run has a record")
    return table


def _read(path: Path) -> pd.DataFrame:
    is_archive = (path / SUMS).exists() if path.is_dir() else tarfile.is_tarfile(path)
    if not is_archive:
        return _from_folder(path) if path.is_dir() else _from_csv(path)
    with unpacked(path) as folder:
        if wrong := wrong_files(folder):
            raise ArchiveError(f"{path}: {not_as_packed(len(wrong))}; see {typed('archive')} --check {quoted(path)}")
        return _from_csv(folder / "results_per_run.csv")


def _from_csv(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype={"hidden_sizes": str})


def write(found: Agreement, to: Path, a: str, b: str) -> list[Path]:
    """Write compare.csv and the figure into a folder, which is made if it is missing. Returns their paths."""
    to.mkdir(parents=True, exist_ok=True)
    paths = [to / "compare.csv", *(to / f"compare{suffix}" for suffix in _FORMATS)]
    publish(paths[0], found.table.to_csv(index=False, lineterminator="\n").encode(errors="backslashreplace"))
    with styled("paper"):
        figure = agreement_figure(found.table, a, b)
        for path, (suffix, options) in zip(paths[1:], _FORMATS.items(), strict=True):
            image = io.BytesIO()
            figure.savefig(image, format=suffix[1:], **options)
            publish(path, image.getvalue())
    return paths


def say(found: Agreement) -> Iterator[str]:
    """Lines that say what was found."""
    for name, (a, b) in found.differing.items():
        yield f"they differ in {name}: {a} and {b}"
    table = found.table
    untested = int(table["p_raw"].isna().sum())
    yield (
        f"cells      {len(table):,} in both, {found.only_a:,} only in A, {found.only_b:,} only in B; {untested:,} have too few "
        "runs for a test"
    )
    differing = table[table["differs"]]
    yield f"differ     {len(differing):,} of {len(table):,} by more than chance explains (Holm, 5 % for all cells together)"
    for cell in differing.head(_MOST_NAMED).to_dict("records"):
        yield f"           {_cell(cell)}"
    if len(differing) > _MOST_NAMED:
        yield f"           and {len(differing) - _MOST_NAMED:,} more: see compare.csv"
    yield f"largest    difference of means that the intervals do not exclude: {found.not_excluded:.4f}"


def _short(path: Path) -> str:
    """The name of a campaign for a title."""
    return (path.parent if path.suffix == ".csv" else path).resolve().name


def _cell(cell: dict) -> str:
    name = " ".join(str(cell[key]) for key in ("model_type", "activation") if key in cell)
    p = f" p = {cell['p']:g}" if "p" in cell else ""
    chance = f", at chance {cell['n_chance_a']} and {cell['n_chance_b']}" if cell["n_chance_a"] or cell["n_chance_b"] else ""
    n = f"{cell['n_pairs']} pairs" if cell["n_pairs"] else f"n = {cell['n_a']} and {cell['n_b']}"
    return (
        f"{name}{p}: {cell['mean_a']:.4f} and {cell['mean_b']:.4f}{chance}; difference {cell['mean_difference']:+.4f} "
        f"[{cell['ci95_low']:+.4f}, {cell['ci95_high']:+.4f}], p = {cell['p_holm']:.2g} ({cell['test']}, {n})"
    )


def _from_folder(path: Path) -> pd.DataFrame:
    merged = look_at(Campaign(path))
    for text in merged.problems:
        print(f"problem: {text}", file=sys.stderr)
    return merged.runs
