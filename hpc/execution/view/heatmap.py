"""The map of a campaign's cells, drawn: in each cell how many runs are done, and whether one is being trained or failed."""

from collections.abc import Sequence

import numpy as np
from rich.text import Text

from hpc.execution.view.marks import FAILED_MARK, FAILED_STYLE, RUNNING_MARK, RUNNING_STYLE, crop
from hpc.execution.view.panels import DONE, FAILED, RUNNING, Panel, merged

_SHADES = ("white on color(22)", "white on color(28)", "black on color(34)")  # up to a half done, less than all, all
_GAP = 2  # columns between panels


def draw_panels(panels: Sequence[Panel], columns: int, rows: int) -> list[Text]:
    """The lines of as many panels as there is room for; the last line says how many there are besides.

    Panels are one below the other, or beside each other if there is no room for that. If there is no room for all, those come
    first in which runs are being trained or failed, then those that are not done.
    """
    for beside in range(1, max(1, columns // _least_width(panels)) + 1):
        lines = _stack(panels, columns, beside)
        if len(lines) <= rows:
            return lines
    beside = max(1, columns // _least_width(panels))
    order = sorted(range(len(panels)), key=lambda i: (not panels[i].is_busy, panels[i].is_done, i))
    for n_shown in range(len(panels) - 1, 0, -1):
        chosen, left = [panels[i] for i in sorted(order[:n_shown])], [panels[i] for i in order[n_shown:]]
        lines = _stack(chosen, columns, beside)
        if len(lines) < rows:
            n_done = sum(panel.is_done for panel in left)
            return [
                *lines,
                Text(f"and {len(left)} more like these, {n_done} of them done (status --cells lists them)", style="dim"),
            ]
    return []


def _least_width(panels: Sequence[Panel]) -> int:
    """Columns that a panel needs at least, with the gap: room for half of its values of p."""
    return max(_label_width(panel) + _cell_width(panel) * -(-len(panel.ps) // 2) + _GAP for panel in panels)


def _stack(panels: Sequence[Panel], columns: int, beside: int) -> list[Text]:
    """The panels in rows of so many."""
    width = (columns - _GAP * (beside - 1)) // beside
    lines = []
    for start in range(0, len(panels), beside):
        drawn = [_draw(panel, width) for panel in panels[start : start + beside]]
        for i in range(max(map(len, drawn))):
            parts = [one[i] if i < len(one) else Text() for one in drawn]
            for part in parts[:-1]:
                part.pad_right(width + _GAP - part.cell_len)
            lines.append(Text.assemble(*parts))
    return lines


def _draw(panel: Panel, width: int) -> list[Text]:
    """A panel in at most so many columns: its title and the values of p, then a line for each activation."""
    label = _label_width(panel)
    shown = panel
    for n_columns in range(len(panel.ps), 0, -1):
        shown = merged(panel, n_columns)
        if label + _cell_width(shown) * len(shown.ps) <= width:
            break
    cell = _cell_width(shown)
    head = Text(crop(panel.title, label - 1).ljust(label), style="bold")
    head.append("".join(f"{p:g}".rjust(cell - 1) + " " for p in shown.ps), style="dim")
    lines = [crop_text(head, width)]
    for activation, counts in zip(shown.activations, shown.n_in, strict=True):
        line = Text(crop(f"  {activation}", label - 1).ljust(label))
        for one in counts:
            line.append_text(_cell(one, cell - 1)).append(" ")
        lines.append(crop_text(line, width))
    return lines


def crop_text(line: Text, width: int) -> Text:
    """The line in at most so many columns."""
    line.truncate(width)
    return line


def _cell(counts: np.ndarray, width: int) -> Text:
    """The number of runs done of a cell, and a mark. counts: int64 (states,)."""
    n_runs, n_done = int(counts.sum()), int(counts[DONE])
    if not n_runs:
        return Text(" " * width)
    mark = FAILED_MARK if counts[FAILED] else RUNNING_MARK if counts[RUNNING] else ""
    text = ((str(n_done) if n_done or mark else ".") + mark).rjust(width)
    if mark:
        return Text(text, style=FAILED_STYLE if counts[FAILED] else RUNNING_STYLE)
    shade = 2 if n_done == n_runs else int(2 * n_done > n_runs)
    return Text(text, style=_SHADES[shade] if n_done else "dim")


def _label_width(panel: Panel) -> int:
    return min(max(len(panel.title), *(len(name) + 2 for name in panel.activations)) + 1, 24)


def _cell_width(panel: Panel) -> int:
    """Columns of a cell, with the blank that follows."""
    most = len(str(int(panel.n_in.sum(axis=2).max(initial=1)))) + 1
    return max(most, *(len(f"{p:g}") for p in panel.ps)) + 1
