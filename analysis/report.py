"""python -m analysis.report [--output-dir DIR]: merge a campaign's shards; write CSVs, results.h5 and figures.

Exit status: 0 all well, even if runs are missing; 1 runs failed, something cannot be trusted, or the last results would be
replaced by fewer; 2 the input is wrong, or a file cannot be written.
"""

import argparse
import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.figures import accuracy_figure
from analysis.held import PER_RUN_CSV, Refused
from analysis.merge import merge
from analysis.planned import MISSING
from analysis.statistics import summarise
from jobs.campaign import Campaign
from jobs.files import advice_on, publish
from jobs.manifest import ManifestError, newest_campaign
from jobs.printing import NotPrinted, printing
from noisy.spec import DATASETS, MODEL_TYPES

_ROWS_A_TIME = 20_000
# suffix of a figure -> how it is saved
_FORMATS: dict[str, dict[str, Any]] = {".pdf": {"metadata": {"CreationDate": None}}, ".png": {"dpi": 200}}


def main(argv: list[str] | None = None) -> None:
    """The command line above."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.report", description="Merge a campaign's shards; write CSVs, results.h5 and figures."
    )
    parser.add_argument("--output-dir", type=Path, help="the campaign's folder (default: the newest campaign below ./results)")
    parser.add_argument("--to", type=Path, help="write here instead, for example if the campaign's folder is read-only")
    parser.add_argument(
        "--accept-fewer", action="store_true", help="replace the last results even if runs in them have lost their shards"
    )
    options = parser.parse_args(argv)
    failure = 2
    try:
        with printing():
            campaign = Campaign(options.output_dir or newest_campaign(Path("results")))
            status = report(campaign, options.to, options.accept_fewer)
        sys.exit(status)
    except KeyboardInterrupt:
        sys.exit(130)
    except Refused as error:
        message, failure = str(error), 1
    except (ManifestError, NotPrinted) as error:
        message = str(error)
    except BrokenPipeError:  # stdout was closed (for example by `head`); all files are written
        os._exit(1)
    except OSError as error:
        todo = "".join(f"{advice}; or " for advice in [advice_on(error)] if advice) + "write elsewhere with --to DIR"
        message = f"{error.filename or 'a file'}: {error.strerror or error}; {todo}"
    print(f"error: {message}", file=sys.stderr)
    sys.exit(failure)


def report(campaign: Campaign, to: Path | None = None, accept_fewer: bool = False) -> int:
    """Write everything, then say where it is; returns the exit status."""
    target = to or campaign.folder
    names = ("results.h5", PER_RUN_CSV, "results_summary.csv")
    _refuse_other_kinds([target / name for name in names], target / "figures")
    store, per_run, per_cell = (target / name for name in names)
    merged = merge(campaign, store, accept_fewer)
    runs = merged.runs[merged.runs["status"] != MISSING]
    summary = summarise(merged.runs, merged.planned.runs.cell, merged.planned.cells)
    publish(per_run, _csv(runs))
    publish(per_cell, _csv(summary))
    figures = _write_figures(target / "figures", summary, runs)
    written = [("per run", per_run), ("summary", per_cell), ("merged", store), *(("figure", path) for path in figures)]
    places = (f"{what:10} {path}" for what, path in written)
    notes = (f"note: {text}" for text in merged.notes)
    print(*_state(campaign, runs, summary), *places, *notes, sep="\n")
    if merged.problems:  # other commands must not go on believing what they remember of these files
        with contextlib.suppress(OSError):
            campaign.remembered.unlink()
    for text in merged.problems:
        print(f"problem: {text}", file=sys.stderr)
    return 1 if merged.problems or summary["failed"].any() else 0


def _refuse_other_kinds(files: list[Path], folder: Path) -> None:
    """Before anything is written: refuse to replace a folder, a pipe or the like that is in the place of a file."""
    for path in files:
        if os.path.lexists(path) and not path.is_file():
            raise FileExistsError(errno.EEXIST, "is not a file", str(path))
    if os.path.lexists(folder) and not folder.is_dir():
        raise FileExistsError(errno.EEXIST, "is not a folder", str(folder))


def _write_figures(folder: Path, summary: pd.DataFrame, runs: pd.DataFrame) -> list[Path]:
    """A figure for each model type, in each format. Those of other model types, from an earlier grid, are removed."""
    folder.mkdir(exist_ok=True)
    written = []
    model_types = list(dict.fromkeys(summary["model_type"]))
    for model_type in model_types:
        figure = accuracy_figure(summary, runs, model_type, DATASETS[summary["dataset"].iloc[0]].n_classes)
        for suffix, options in _FORMATS.items():
            image = io.BytesIO()
            figure.savefig(image, format=suffix[1:], **options)
            written.append(folder / f"accuracy_{model_type}{suffix}")
            publish(written[-1], image.getvalue())
    for model_type in set(MODEL_TYPES) - set(model_types):
        for suffix in _FORMATS:
            (folder / f"accuracy_{model_type}{suffix}").unlink(missing_ok=True)
    return written


def _state(campaign: Campaign, runs: pd.DataFrame, summary: pd.DataFrame) -> Iterator[str]:
    n = {name: int(summary[name].sum()) for name in ("repeats", "missing", "failed", "chance", "diverged")}
    n_planned = n["repeats"] + n["missing"] + n["failed"]
    yield f"{campaign.folder}: {n['repeats']} of {n_planned} runs done, {n['missing']} missing, {n['failed']} failed"
    if n["chance"] or n["diverged"]:
        yield f"of the runs done, {n['chance']} never left chance and {n['diverged']} diverged: all count in the means"
    for run in runs[runs["status"] == "failed"].head(10).to_dict("records"):
        which = f"{run['model_type']} {run['activation']} p={run['p']:g} repeat {run['repeat']}"
        first_line, *_ = run["message"].splitlines() or [""]
        yield f"failed     {run['run_id']} {which}: {first_line}"


def _csv(table: pd.DataFrame) -> Iterator[bytes]:
    """The table as CSV, in pieces, so that the text of a million runs is never in memory at once."""
    for start in range(0, max(len(table), 1), _ROWS_A_TIME):
        yield table[start : start + _ROWS_A_TIME].to_csv(index=False, header=start == 0).encode(errors="backslashreplace")


if __name__ == "__main__":
    main()
