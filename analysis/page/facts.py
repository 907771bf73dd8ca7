"""What the page says besides results: the design, what is missing or failed, efficiency, and where results come from."""

from collections.abc import Iterator
from datetime import datetime, timezone

import numpy as np
import pandas as pd

from analysis.datasets import info, sizes
from analysis.figures.names import OTHER_FIELDS, named, text_of

Facts = list[tuple[str, str]]  # (name, value)
_ORIGINS = (
    "code_commit", "data_digest", "versions", "host", "cpu", "product_route", "device", "cpu_threads", "runs_together"
)  # fmt: skip
_MOST_NAMED = 20


def design(summary: pd.DataFrame) -> Facts:
    """The axes of the grid and their values, and what is fixed."""
    n = summary[["repeats", "missing", "failed"]].sum(axis=1)
    facts = [
        ("model types", _listed(summary["model_type"])),
        ("activations", _listed(summary["activation"])),
        ("p", ", ".join(f"{p:g}" for p in sorted(summary["p"].unique()))),
        ("repeats", f"{n.min()}" if n.min() == n.max() else f"{n.min()} to {n.max()}"),
        ("runs", f"{n.sum():,} in {len(summary):,} cells"),
    ]
    for name in OTHER_FIELDS:
        by_model = {
            model_type: tuple(dict.fromkeys(text_of(value) for value in own[name]))
            for model_type, own in summary.groupby("model_type", sort=False, observed=True)
        }
        different = set(by_model.values())
        if len(different) == 1:
            facts.append((name.replace("_", " "), ", ".join(next(iter(different)))))
        else:
            words = "; ".join(f"{named(kind)} {', '.join(values)}" for kind, values in by_model.items() if values != ("all",))
            facts.append((name.replace("_", " "), words))
    for dataset in summary["dataset"].unique():
        if found := info(dataset):
            facts.append((named(dataset), f"{sizes(dataset)}, {found.n_classes} classes"))
    return facts


def failures(runs: pd.DataFrame) -> list[tuple[str, int, str]]:
    """The messages of failed runs, most frequent first: first line, number of runs, and which runs."""
    failed = runs[runs["status"] == "failed"]
    lines = failed["message"].astype(object).map(lambda text: (str(text).splitlines() or ["no message"])[0])
    found = []
    for line, own in failed.groupby(lines.to_numpy(), sort=False):
        some = [
            f"{run['run_id']} ({named(run['model_type'])}, {named(run['activation'])}, p = {run['p']:g}, "
            f"repeat {run['repeat']})"
            for run in own.head(_MOST_NAMED).to_dict("records")
        ]
        more = f" and {len(own) - _MOST_NAMED:,} more" if len(own) > _MOST_NAMED else ""
        found.append((str(line), len(own), ", ".join(some) + more))
    return sorted(found, key=lambda one: -one[1])


def efficiency(runs: pd.DataFrame) -> Facts:
    """Facts about CPU time, memory and workers. runs: all runs with a record."""
    if not runs["cpu_s"].notna().any():
        return []
    cpu_s, wall_s, peak_mb = (runs[name].to_numpy(float) for name in ("cpu_s", "wall_s", "peak_mem_mb"))
    facts = [("CPU time in total", f"{np.nansum(cpu_s) / 3600:,.2f} hours of {np.isfinite(cpu_s).sum():,} runs")]
    for model_type, own in runs.groupby("model_type", sort=False, observed=True):
        its = own["cpu_s"].to_numpy(float)
        if np.isfinite(its).any():
            words = f"mean {np.nanmean(its):,.1f} s, smallest {np.nanmin(its):,.1f} s, largest {np.nanmax(its):,.1f} s"
            facts.append((f"CPU time of a run, {named(model_type)}", words))
    facts.append(("CPU time / wall time of training", f"{np.nansum(cpu_s) / max(np.nansum(wall_s), 1e-9):.2f}"))
    facts.append(("largest resident set", f"{np.nanmax(peak_mb):,.0f} MB; median of the runs {np.nanmedian(peak_mb):,.0f} MB"))
    places = runs[["host", "job"]].astype(str).drop_duplicates()
    facts.append(("hosts", f"{places['host'].nunique()}"))
    n_jobs = int((places["job"] != "").sum())
    if n_jobs:
        facts.append(("jobs of the scheduler", f"{n_jobs:,}"))
    return facts


def dates(runs: pd.DataFrame) -> Facts:
    """Facts: when the first and the last run ended."""
    ended = runs["finished_at_s"].dropna()
    if not len(ended):
        return []
    first, last = (
        datetime.fromtimestamp(float(at), timezone.utc).strftime("%Y-%m-%d %H:%M UTC") for at in (ended.min(), ended.max())
    )
    return [("first and last run ended", f"{first}, {last}")]


def provenance(runs: pd.DataFrame) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    """Where results come from: each attribute with its values and their numbers of runs, most frequent first."""
    for name in _ORIGINS:
        counts = runs[name].astype(object).fillna("").value_counts()
        values = [
            (_origin(name, str(value)), int(n)) for value, n in sorted(counts.items(), key=lambda one: (-one[1], str(one[0])))
        ]
        shown = values[:_MOST_NAMED]
        if len(values) > _MOST_NAMED:
            shown.append((f"and {len(values) - _MOST_NAMED:,} more values", sum(n for _, n in values[_MOST_NAMED:])))
        if any(text for text, _ in shown):
            yield name.replace("_", " "), shown


def _origin(name: str, value: str) -> str:
    if name == "code_commit" and value not in ("", "unknown"):
        return f"{value} (with changes that are not committed)" if "-dirty-" in value else f"{value} (clean)"
    return value


def _listed(values: pd.Series) -> str:
    return ", ".join(named(value) for value in dict.fromkeys(values))
