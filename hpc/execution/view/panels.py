"""The cells of a campaign as panels: a row for each activation, a column for each p, and the states of its runs."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hpc.state.runs import STATES
from noisy.runs import Runs
from noisy.spec import RunSpec

_FURTHER = tuple(
    each.name for each in dataclasses.fields(RunSpec) if each.name not in ("activation", "model_type", "p", "repeat")
)
DONE, RUNNING, FAILED = (STATES.index(name) for name in ("done", "running", "failed"))


@dataclass(frozen=True, eq=False)
class Panel:
    """The cells of one model type and one value of each further axis.

    title: what they have in common; activations, ps: of its rows and columns; n_in: int64 (rows, columns, states), how many
    runs of each cell are in each of STATES: zeros where the grid has no such cell.
    """

    title: str
    activations: tuple[str, ...]
    ps: tuple[float, ...]
    n_in: np.ndarray

    @property
    def is_busy(self) -> bool:
        """Whether a run of it is being trained, or failed."""
        return bool(self.n_in[:, :, [RUNNING, FAILED]].any())

    @property
    def is_done(self) -> bool:
        """Whether all its runs are done."""
        return bool(self.n_in.sum() == self.n_in[:, :, DONE].sum())


def panels_of(runs: Runs, code: np.ndarray) -> tuple[Panel, ...]:
    """The panels of a campaign, in the order of its grid.

    Args:
        code: int8 (n,), the place in STATES of each run.
    """
    n_cells = len(runs.cells)
    n_in = np.bincount(runs.cell * len(STATES) + code, minlength=n_cells * len(STATES)).reshape(n_cells, len(STATES))
    specs = [cell.spec for cell in runs.cells]
    used = np.flatnonzero(n_in.any(axis=1)).tolist()
    groups: dict[tuple, list[int]] = {}
    for place in used:
        key = (specs[place].model_type, *(getattr(specs[place], name) for name in _FURTHER))
        groups.setdefault(key, []).append(place)
    by_model: dict[str, list[RunSpec]] = {}
    for place in used:
        by_model.setdefault(specs[place].model_type, []).append(specs[place])
    named = {model_type: _varying(own) for model_type, own in by_model.items()}
    return tuple(_panel([specs[place] for place in places], n_in[places], named) for places in groups.values())


def _varying(specs: Sequence[RunSpec]) -> list[str]:
    """The further axes of which there are several values."""
    return [name for name in _FURTHER if len({getattr(spec, name) for spec in specs}) > 1]


def _panel(specs: Sequence[RunSpec], n_in: np.ndarray, named: dict[str, list[str]]) -> Panel:
    """n_in: int64 (k, states), of each of these cells."""
    activations = tuple(dict.fromkeys(spec.activation for spec in specs))
    ps = tuple(sorted({spec.p for spec in specs}))
    table = np.zeros((len(activations), len(ps), len(STATES)), int)
    for spec, counts in zip(specs, n_in, strict=True):
        table[activations.index(spec.activation), ps.index(spec.p)] += counts
    first = specs[0]
    words = [first.model_type, *(f"{name}={_shown(getattr(first, name))}" for name in named[first.model_type])]
    return Panel(" ".join(words), activations, ps, table)


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return "-".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else "all" if value is None else str(value)


def merged(panel: Panel, most_columns: int) -> Panel:
    """The panel with at most so many columns: neighbouring p are counted together, under the first of them."""
    width = -(-len(panel.ps) // max(1, most_columns))
    if width == 1:
        return panel
    starts = np.arange(0, len(panel.ps), width)
    return Panel(panel.title, panel.activations, panel.ps[::width], np.add.reduceat(panel.n_in, starts, axis=1))
