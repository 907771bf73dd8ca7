"""The look of all figures: sizes of fonts and lines (rcParams), colours, markers and line styles."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.font_manager import FontProperties

INK, FAINT = "#000000", "#767676"  # colours of text and axes, and of lines behind the data
_ALWAYS: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that figures have the same bytes on every machine
    "mathtext.fontset": "dejavusans",
    "pdf.fonttype": 42,  # many venues reject Type 3
    "ps.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "noisy-training",  # so that equal figures have equal bytes
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#d0d0d0",
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "legend.columnspacing": 1.4,
    "lines.markeredgewidth": 0.8,
    "errorbar.capsize": 2.0,
    "savefig.dpi": 300,
    "figure.dpi": 100,
    "axes.titlelocation": "left",
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
}
STYLES: dict[str, dict[str, Any]] = {
    "paper": {
        "font.size": 8,
        "axes.titlesize": 8,
        "axes.labelsize": 8,
        "xtick.labelsize": 7,
        "ytick.labelsize": 7,
        "legend.fontsize": 7,
        "figure.titlesize": 8,
        "figure.figsize": (5.5, 1.75),  # in inches: the width of a page's text, and the height of a row of panels
        "axes.linewidth": 0.6,
        "grid.linewidth": 0.4,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "lines.linewidth": 1.1,
        "lines.markersize": 4.0,
    },
    "slides": {
        "font.size": 16,
        "axes.titlesize": 16,
        "axes.labelsize": 16,
        "xtick.labelsize": 14,
        "ytick.labelsize": 14,
        "legend.fontsize": 14,
        "figure.titlesize": 16,
        "figure.figsize": (11.0, 3.5),
        "axes.linewidth": 1.2,
        "grid.linewidth": 0.8,
        "xtick.major.width": 1.2,
        "ytick.major.width": 1.2,
        "lines.linewidth": 2.2,
        "lines.markersize": 8.0,
        "lines.markeredgewidth": 1.6,
        "errorbar.capsize": 4.0,
        "savefig.dpi": 150,
    },
}
# Okabe and Ito's colours, safe for colour-blind readers; blue is darker, so that the first ones also differ as greys.
_COLOURS = ("#005A9C", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#56B4E9")
_MARKERS = ("o", "s", "^", "D", "v", "P")
_LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.5, 1.2, 1.5)), (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)))
_PLACES = {name: i for i, name in enumerate(("relu", "tanh", "sigmoid", "leaky_relu", "gelu", "cnn"))}  # a place of its own


@contextmanager
def styled(name: str) -> Iterator[None]:
    """A context in which figures are made and saved with this style of STYLES."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_ALWAYS | STYLES[name])  # type: ignore[arg-type]
        yield


def look(name: str, among: list[str]) -> dict[str, Any]:
    """Colour, marker and line style of an activation or another value: always the same one for a known activation.

    Args:
        name: the value.
        among: all values of the figure, in order.
    """
    place = _PLACES.get(name, among.index(name) if name in among else 0) % len(_COLOURS)
    return {"color": _COLOURS[place], "marker": _MARKERS[place], "linestyle": _LINES[place]}


def shade(place: int, n: int) -> Any:
    """The colour of place 0 to n - 1 in an order, from dark to light (also in grey)."""
    return mpl.colormaps["viridis"](0.88 * place / max(1, n - 1))


def points(key: str) -> float:
    """A font size of rcParams, which may be a word, in points."""
    return float(FontProperties(size=mpl.rcParams[key]).get_size_in_points())  # type: ignore[index]
