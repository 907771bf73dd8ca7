"""noisy runs [FILTER ...]: a table of the runs of a campaign, including those without a result, and why they have none.

Exit status: 0; 1 no run fits, or a file of the campaign cannot be read; 2 the input is wrong; 3 the scheduler cannot be
reached, so some states are unknown.
"""

import argparse
import csv
import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from hpc.console import ALL_WELL, NO_SCHEDULER, SOME_FAILED, count, exit_with, open_campaign, warn_of_problems
from hpc.execution.choice import EXECUTORS
from hpc.execution.evidence import why
from hpc.state.chosen import OFFERED, all_columns
from hpc.state.runs import STATES, State, state
from jobs.columns import SPEC_FIELDS, Column, Columns
from jobs.commandline import Parser
from jobs.filters import FilterError, matching, terms_of, unknown_column

_ALWAYS = ("model_type", "activation", "p")  # other fields of a run are shown if the campaign has several values of them


def main(argv: list[str] | None = None) -> None:
    """The command line above."""
    parser = Parser("runs", "Show the runs of a campaign as a table.")
    parser.add_campaign(columns=OFFERED)
    add = parser.add_argument
    add("--columns", type=_names, metavar="A,B,...", help="show these: columns of results_per_run.csv, state, why")
    add("--by", metavar="COLUMN", help="sort by this column; runs without a value come last")
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--json", action="store_true", help="print JSON, for programs: all columns, unless --columns says otherwise"
    )
    form.add_argument("--csv", action="store_true", help="print CSV, likewise")
    options = parser.parse_args(argv)
    exit_with(lambda: _runs(options))


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _runs(options: argparse.Namespace) -> int:
    campaign, manifest = open_campaign(options.output_dir)
    found = state(campaign, manifest.header.campaign, manifest.runs, EXECUTORS)
    columns = all_columns(found)
    places = _meant(found, columns, options)
    columns |= {"why": lambda: _reasons(found, places)}
    is_plain = not (options.json or options.csv)
    names = options.columns or (_default(columns) if is_plain else list(columns))
    rows = list(zip(*(columns[name].at(places) for name in names), strict=True))
    if options.json:
        print(json.dumps([dict(zip(names, row, strict=True)) for row in rows], indent=1))
    elif options.csv:
        csv.writer(sys.stdout, lineterminator="\n").writerows([names, *rows])
    else:
        in_states = np.bincount(found.code[places], minlength=len(STATES)).tolist()
        counts = ", ".join(f"{n:,} {name}" for name, n in zip(STATES, in_states, strict=True) if n)
        print(f"{campaign.folder}: {len(places):,} of {count(len(found.runs), 'run')}: {counts}")
        print("\n".join(table(names, rows)))
    warn_of_problems(found)
    if found.unreachable:
        print(f"warning: {found.unreachable}; states that depend on its answer are unknown", file=sys.stderr)
        return NO_SCHEDULER
    return SOME_FAILED if found.problems else ALL_WELL


def _meant(found: State, columns: Columns, options: argparse.Namespace) -> np.ndarray:
    """int64 (k,): the places of the runs that fit, in the wanted order. All problems of the options are reported at once."""
    shown = [*columns, "why"]
    problems = [unknown_column(name, shown, "--columns") for name in options.columns or () if name not in shown]
    if options.by and options.by not in columns:
        problems.append(unknown_column(options.by, list(columns), "--by"))
    try:
        terms = terms_of(options.filter, columns)
    except FilterError as error:
        problems = [*error.problems, *problems]
    if problems:
        raise FilterError(problems)
    places = matching(terms, columns, len(found.runs))
    return places[_order(columns[options.by], places)] if options.by else places


def _order(column: Column, places: np.ndarray) -> np.ndarray:
    """int64 (k,): the places sorted by a column. Runs without a value come last; runs with equal values keep their order."""
    if isinstance(column.values, np.ndarray):
        return np.argsort(column.values[column.place[places]], kind="stable")
    rank = {text: i for i, text in enumerate(sorted(set(column.values), key=lambda text: (not text, text)))}
    ranks = np.array([rank[text] for text in column.values])
    return np.argsort(ranks[column.place[places]], kind="stable")


def _reasons(found: State, places: np.ndarray) -> Column:
    place = np.full(len(found.runs), -1)
    place[places] = np.arange(len(places))
    return Column([*why(found, places, time.time()), ""], place)


def _default(columns: Columns) -> list[str]:
    """The columns that the table shows by default."""
    several = {name for name in SPEC_FIELDS if len(columns[name].values) > 1}
    spec = [name for name in SPEC_FIELDS if name in several.union(_ALWAYS) and name not in (*_ALWAYS, "repeat")]
    return ["run_id", *_ALWAYS, *spec, "repeat", "state", "status", "test_accuracy", "why"]


def table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    """Lines of a table. Numbers are aligned right; the last column is not padded."""
    texts = [[_text(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(names, *texts, strict=True)]
    is_right = [any(isinstance(row[i], int | float) for row in rows) for i in range(len(names))]
    for row in [list(names), *texts]:
        cells = (
            text.rjust(width) if right else text.ljust(width) for text, width, right in zip(row, widths, is_right, strict=True)
        )
        yield "  ".join(cells).rstrip()


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else " ".join(str(value).split())


if __name__ == "__main__":
    main()
