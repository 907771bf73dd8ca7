"""python -m analysis.report [--output-dir DIR]: merge a campaign's shards; write CSVs, results.h5 and figures.

Exit status: 0 all well, also while runs are missing; 1 runs failed or something cannot be trusted; 2 the input is wrong.
"""

import argparse
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from analysis.figures import accuracy_figure
from analysis.merge import merge
from analysis.planned import MISSING
from analysis.statistics import summarise
from jobs.campaign import Campaign
from jobs.files import publish
from jobs.manifest import ManifestError, newest_campaign
from jobs.printing import NotPrinted, printing
from noisy.spec import DATASETS

_ROWS_A_TIME = 20_000


def main(argv: list[str] | None = None) -> None:
    """The command line above."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.report", description="Merge a campaign's shards; write CSVs, results.h5 and figures."
    )
    parser.add_argument("--output-dir", type=Path, help="the campaign's folder (default: the newest campaign below ./results)")
    parser.add_argument("--to", type=Path, help="write here instead, where the campaign may not be written to")
    arguments = parser.parse_args(argv)
    try:
        with printing():
            status = report(Campaign(arguments.output_dir or newest_campaign(Path("results"))), arguments.to)
        sys.exit(status)
    except (ManifestError, NotPrinted) as error:
        message = str(error)
    except BrokenPipeError:  # stdout was closed (for example by `head`)
        os._exit(1)
    except OSError as error:
        path = error.filename2 or error.filename or arguments.output_dir
        message = f"{path}: {error.strerror or error}; write elsewhere with --to DIR"
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def report(campaign: Campaign, to: Path | None = None) -> int:
    """Write everything and say where it is; returns the exit status."""
    target = to or campaign.folder
    (target / "figures").mkdir(parents=True, exist_ok=True)
    merged = merge(campaign, target / "results.h5")
    runs = merged.runs[merged.runs["status"] != MISSING]
    summary = summarise(merged.runs, merged.planned.runs.cell, merged.planned.cells)
    _say_state(campaign, runs, summary)
    _write("per run", target / "results_per_run.csv", _csv(runs))
    _write("summary", target / "results_summary.csv", _csv(summary))
    print(f"{'merged':10} {target / 'results.h5'}")
    for model_type in dict.fromkeys(summary["model_type"]):
        n_classes = DATASETS[summary["dataset"].iloc[0]].n_classes
        figure = accuracy_figure(summary, runs, model_type, n_classes)
        for suffix, options in ((".pdf", {"metadata": {"CreationDate": None}}), (".png", {"dpi": 200})):
            image = io.BytesIO()
            figure.savefig(image, format=suffix[1:], **options)
            _write("figure", target / "figures" / f"accuracy_{model_type}{suffix}", image.getvalue())
    for text in merged.notes:
        print(f"note: {text}")
    for text in merged.problems:
        print(f"problem: {text}", file=sys.stderr)
    return 1 if merged.problems or summary["failed"].any() else 0


def _say_state(campaign: Campaign, runs: pd.DataFrame, summary: pd.DataFrame) -> None:
    n = {name: int(summary[name].sum()) for name in ("repeats", "missing", "failed", "chance", "diverged")}
    n_planned = n["repeats"] + n["missing"] + n["failed"]
    print(f"{campaign.folder}: {n['repeats']} of {n_planned} runs done, {n['missing']} missing, {n['failed']} failed")
    if n["chance"] or n["diverged"]:
        print(f"of the runs done, {n['chance']} never left chance and {n['diverged']} diverged: all count in the means")
    for run in runs[runs["status"] == "failed"].head(10).to_dict("records"):
        which = f"{run['model_type']} {run['activation']} p={run['p']:g} repeat {run['repeat']}"
        print(f"failed     {run['run_id']} {which}: {run['message'].splitlines()[0]}")


def _csv(table: pd.DataFrame) -> Iterator[bytes]:
    """In pieces: the text of a million runs is not held in memory."""
    for start in range(0, max(len(table), 1), _ROWS_A_TIME):
        yield table[start : start + _ROWS_A_TIME].to_csv(index=False, header=start == 0).encode(errors="backslashreplace")


def _write(what: str, path: Path, content: bytes | Iterator[bytes]) -> None:
    publish(path, content)
    print(f"{what:10} {path}")


if __name__ == "__main__":
    main()
