"""Makes report.html from numbers, figures and text."""

import base64
import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup

from analysis.expected import flags
from analysis.figures.campaign import with_cells
from analysis.figures.names import named, network
from analysis.figures.saving import Saved
from analysis.page import cells, facts, findings
from analysis.page.markdown import html
from analysis.page.svg import Inliner

_MOST_SVG_BYTES = 1_100_000  # size of all figures in the page; further figures are only named (they are in their files)
_MOST_GRID_CHARACTERS = 100_000
_HERE = Path(__file__).parent


@dataclass(frozen=True, eq=False)
class Content:
    """The parts of a page.

    name: that of the campaign's folder; summary: in the grid's order; runs: every run with a record; comparisons, problems,
    notes: as in the report; figures: those on disk; methods: the text of methods.md; grid: that of grid.yaml; style: that of
    the figures.
    """

    name: str
    summary: pd.DataFrame
    runs: pd.DataFrame
    comparisons: pd.DataFrame
    figures: list[Saved]
    problems: list[str]
    notes: list[str]
    methods: str
    grid: str
    style: str


def page(content: Content) -> bytes:
    """The bytes of the page. Equal contents give equal bytes."""
    summary, runs = content.summary, content.runs
    inliner = Inliner()
    figures, left_out = _figures(content.figures, inliner)
    script = (_HERE / "page.js").read_text("utf-8")
    css = (_HERE / "page.css").read_text("utf-8") + inliner.css()
    counts = {name: int(summary[name].sum()) for name in ("repeats", "missing", "failed", "chance", "diverged")}
    n_cells = min(len(summary), cells.MOST_CELLS)
    has_runs = len(runs) <= cells.MOST_RUNS
    with_cell = with_cells(runs if has_runs else runs[:0], summary, is_finished_only=False)  # a copy
    text = _template().render(
        title=f"{network(summary)}: {content.name}",
        name=content.name,
        counts=counts,
        n_planned=counts["repeats"] + counts["missing"] + counts["failed"],
        data=", ".join(named(name) for name in summary["dataset"].unique()),
        policy=_policy(css, script),
        css=Markup(css),
        script=Markup(script),
        glyphs=inliner.glyphs(),
        figures=figures,
        left_out=left_out,
        shapes=list(findings.shapes(summary)),
        differences=list(findings.differences(content.comparisons)),
        flags=flags(summary)["text"].tolist(),
        headings=cells.headings(summary),
        rows=list(cells.rows(summary)),
        n_cells=len(summary),
        runs_json=cells.runs_json(with_cell, n_cells),
        has_runs=has_runs,
        has_ids=len(runs) <= cells.MOST_IDS,
        design=facts.design(summary),
        failures=facts.failures(runs),
        problems=content.problems,
        notes=content.notes,
        efficiency=facts.efficiency(runs),
        dates=facts.dates(runs),
        provenance=list(facts.provenance(runs)),
        methods=html(re.sub(r"\A# .*\n", "", content.methods), level=2),
        grid=content.grid[:_MOST_GRID_CHARACTERS],
        commits=[str(one) for one in runs["code_commit"].astype(object).dropna().unique() if one],
        style=content.style,
    )
    return text.encode(errors="backslashreplace")


def _figures(figures: list[Saved], inliner: Inliner) -> tuple[list[tuple[Saved, Markup]], list[Saved]]:
    """The figures for which there is room, each with its HTML element, and the other figures."""
    shown, left_out, n_bytes = [], [], 0
    for number, figure in enumerate(figures):
        element = inliner.inline(figure.svg, f"{figure.heading}. The numbers are in {figure.name}.csv.", number)
        n_bytes += len(element)
        if n_bytes <= _MOST_SVG_BYTES:
            shown.append((figure, element))
        else:
            left_out.append(figure)
    return shown, left_out


def _policy(css: str, script: str) -> str:
    """A content security policy: nothing is loaded from elsewhere, and only these styles and this script are allowed."""
    allowed = {"style-src": css, "script-src": script}
    hashes = (f"{name} 'sha256-{_hash(text)}'" for name, text in allowed.items())
    return "; ".join(["default-src 'none'", *hashes, "img-src data:", "base-uri 'none'", "form-action 'none'"])


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["thousands"] = "{:,}".format
    return environment.get_template("page.html")
