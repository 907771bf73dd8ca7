"""The names and states of a campaign's cells, as text."""

from collections.abc import Iterator

import numpy as np

from hpc.state.runs import STATES, State
from noisy.spec import RunSpec

_ALWAYS_NAMED = ("epochs", "learning_rate")  # other fields are named if the campaign has several values
_OTHERS = ("dataset", "seed", "batch_size", "weight_decay", "max_train_samples", "precision")


def cell_lines(found: State) -> Iterator[str]:
    """A line for each cell that is not done."""
    n_in = np.zeros((len(found.runs.cells), len(STATES)), int)
    np.add.at(n_in, (found.runs.cell, found.code), 1)
    names = cell_names([cell.spec for cell in found.runs.cells])
    for name, counts in zip(names, n_in.tolist(), strict=True):
        if sum(counts) != counts[STATES.index("done")]:
            yield f"{name}: " + ", ".join(f"{n} {each}" for n, each in zip(counts, STATES, strict=True) if n)


def cell_names(cells: list[RunSpec]) -> list[str]:
    """A name for each cell, different from those of the others."""
    differing = [name for name in _OTHERS if len({getattr(cell, name) for cell in cells}) > 1]
    return [_cell_name(cell, [*_ALWAYS_NAMED, *differing]) for cell in cells]


def _cell_name(cell: RunSpec, named: list[str]) -> str:
    sizes = " " + "-".join(map(str, cell.hidden_sizes)) if cell.hidden_sizes else ""
    values = ((name, getattr(cell, name)) for name in named)
    others = " ".join(f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in values)
    return f"{cell.model_type}{sizes} {cell.activation} p={cell.p:g} {others}"
