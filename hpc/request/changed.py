"""How a grid differs from an earlier grid of the same campaign."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from noisy.runs import Runs
from noisy.spec import RunSpec

_KEYS = {"activation": "activations", "model_type": "model_types", "p": "ps", "repeat": "repeats"}  # field -> key of a grid
_WIDTH = 60  # longest text of a key's values, in characters


@dataclass(frozen=True, eq=False)
class Changed:
    """n_new: runs that only the new grid has; gone: S16 (k,), run_ids that only the old one has; lines: `key: old -> new`."""

    n_new: int
    gone: np.ndarray
    lines: list[str]


def compare(old: Runs, new: Runs) -> Changed:
    """The difference between the runs of two grids."""
    n_new = int((old.places_of(new.run_id) < 0).sum())
    gone = old.run_id[new.places_of(old.run_id) < 0]
    return Changed(n_new, gone, list(_lines(old, new)) if n_new or len(gone) else [])


def _lines(old: Runs, new: Runs) -> Iterable[str]:
    """A line for each key that differs. It names the model type if the types changed in different ways."""
    before, after = _values(old), _values(new)
    models = [model for model in before if model in after]
    if list(before) != list(after):
        yield f"model_types: {_text(before)} -> {_text(after)}"
    for name in (field.name for field in fields(RunSpec) if field.name != "model_type"):
        of_models = {model: (_text(before[model][name]), _text(after[model][name])) for model in models}
        key, pairs = _KEYS.get(name, name), dict.fromkeys(of_models.values())
        for model, (was, will_be) in of_models.items() if len(pairs) > 1 else zip([""], pairs, strict=False):
            if was != will_be:
                yield f"{f'models.{model}.' if model else ''}{key}: {was} -> {will_be}"


def _values(runs: Runs) -> dict[str, dict[str, list]]:
    """Model type -> field -> its values, ascending."""
    cells = [cell.spec for cell in runs.cells]
    repeats = [int(runs.repeat.max()) + 1] if len(runs) else []
    return {
        model: {
            field.name: sorted({getattr(cell, field.name) for cell in cells if cell.model_type == model}, key=_none_first)
            for field in fields(RunSpec)
        }
        | {"repeat": repeats}
        for model in sorted({cell.model_type for cell in cells})
    }


def _none_first(value: Any) -> tuple:
    return value is not None, value


def _text(values: Iterable) -> str:
    """The values of a key, written as in a grid."""
    listed = [_plain(value) for value in values]
    text = str(listed[0]) if len(listed) == 1 else f"[{', '.join(map(str, listed))}]"
    return text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value or "none"
    return list(value) if isinstance(value, tuple) else "null" if value is None else value
