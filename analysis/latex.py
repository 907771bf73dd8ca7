"""LaTeX tables of the accuracies, for booktabs."""

from collections.abc import Iterator

import pandas as pd

from analysis.collapse import mean_text
from analysis.figures.names import named, setting, varying

_ACTIVATIONS_A_TABLE = 3  # more columns do not fit on a page
_SPECIAL = {
    "\\": r"\textbackslash{}",
    **{c: "\\" + c for c in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def latex_table(summary: pd.DataFrame) -> str:
    """Tables, one for each model type and setting, with a row for each p and a column for each activation (at most three).

    A cell has mean [low, high] (n): the mean test accuracy, its 95 % t interval clipped to [0, 1], and the number of runs. If
    runs did not train, the first line of the cell says how many, and the second line is for the others.

    Args:
        summary: `analysis.statistics.summarise`; its order of values is kept.
    """
    fields = varying(summary)
    return "\n".join(
        _table(members[members["activation"].isin(some)], fields, some)
        for _, members in summary.groupby(["model_type", *fields], sort=False, dropna=False)
        for some in _parts(list(dict.fromkeys(members["activation"])))
    )


def escaped(text: str) -> str:
    """The text with LaTeX's special characters escaped."""
    return "".join(_SPECIAL.get(character, character) for character in text)


def _parts(activations: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(activations), _ACTIVATIONS_A_TABLE):
        yield activations[start : start + _ACTIVATIONS_A_TABLE]


def _table(cells: pd.DataFrame, fields: list[str], activations: list[str]) -> str:
    by_place = {(cell["p"], cell["activation"]): cell for cell in cells.to_dict("records")}
    rows = [
        " & ".join([f"{p:g}", *(_cell(by_place.get((p, activation))) for activation in activations)])
        for p in sorted(set(cells["p"]))
    ]
    first = cells.iloc[0]
    what = ", ".join(filter(None, [named(first["dataset"]), named(first["model_type"]), setting(cells, fields)]))
    collapsed = (cells["chance"] + cells["diverged"]).sum()
    lines = [
        r"\begin{table}",
        r"\centering\footnotesize",
        rf"\caption{{{escaped(_caption(what, bool(collapsed)))}}}",
        rf"\begin{{tabular}}{{l{'l' * len(activations)}}}",
        r"\toprule",
        " & ".join(["$p$", *(escaped(named(activation)) for activation in activations)]) + r" \\",
        r"\midrule",
        *(rf"{row} \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
        "",
    ]
    return "\n".join(lines)


def _caption(what: str, has_collapsed: bool) -> str:
    text = f"Accuracy on the clean test set ({what}): mean [95 % t interval] (number of runs)."
    more = " If runs did not train, their number comes first, and mean and interval are those of the others."
    return text + (more if has_collapsed else "")


def _cell(cell: dict | None) -> str:
    if cell is None or not cell["repeats"]:
        return "--"
    n, n_trained = int(cell["repeats"]), int(cell["n_trained"])
    if n == n_trained:
        return f"{mean_text(cell['mean_test_accuracy'], cell['ci95_low_clipped'], cell['ci95_high_clipped'])} ({n})"
    counts = ((cell["chance"], "at chance"), (cell["diverged"], "diverged"))
    lost = ", ".join(f"{int(count)} of {n} {word}" for count, word in counts if count)
    if not n_trained:
        return f"{lost}, mean {cell['mean_test_accuracy']:.4f}"
    trained = mean_text(cell["mean_trained_accuracy"], cell["ci95_low_trained"], cell["ci95_high_trained"])
    return rf"\shortstack[l]{{{lost}\\{trained} ({n_trained})}}"
