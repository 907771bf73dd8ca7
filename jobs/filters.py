"""The language for choosing runs: `activation=tanh p=0.8..0.9 status!=ok repeat<5 model_type=mlp,cnn run_id=3f2a*`.

A term is a column of results_per_run.csv, an operator and a value as the CSV writes it. A run fits if it fits every term.
`=` and `!=` accept several values separated by commas, ranges that include both ends (`0.8..` and `..5` have one end), and, for
text, patterns with `*` and `?`. An empty value means an empty field of the CSV. A value that no run has is a mistake, except a
number or a pattern in a column of results, which change while runs are trained.
"""

import difflib
import fnmatch
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jobs.columns import PLANNED, Column
from noisy.spec import shown

_TERM = re.compile(r"([^=<>!]*)(!=|<=|>=|==|=|<|>)(.*)", re.DOTALL)
_COMMA = re.compile(r",(?![^\[]*\])")  # not a comma inside [16, 8]
_ORDER: Mapping[str, Callable] = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_MOST_SHOWN = 12  # values
_MOST_COMPARED = 1000  # texts, to find the one that was probably meant
_OF_SHELL = "a shell takes < and > for itself: put the term in quotes"


class FilterError(Exception):
    """A filter is wrong. problems: a line for each wrong term."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = list(problems)


class Nothing(Exception):
    """No run fits. The message has the filter; values: for each term, a line with the values that exist."""

    def __init__(self, message: str, values: Sequence[str]) -> None:
        super().__init__(message)
        self.values = list(values)


class Term(NamedTuple):
    """One condition."""

    name: str
    sign: str
    value: str

    def __str__(self) -> str:
        return f"{self.name}{self.sign}{self.value}"


def is_term(word: str) -> bool:
    """Whether a word of a command line looks like a term."""
    return _TERM.fullmatch(word) is not None


def terms_of(words: Iterable[str], columns: Mapping[str, Column]) -> list[Term]:
    """Read words as terms.

    Raises:
        FilterError: a word is not a term, a column does not exist, a value has the wrong type, or no run has it. It names all
            problems.
    """
    found, problems = list[Term](), list[str]()
    for word in words:
        match = _TERM.fullmatch(word)
        if match is None:
            hint = f" ({_OF_SHELL})" if word in columns else ""
            problems.append(f"{shown(word)}: neither a filter nor a folder{hint}; allowed: COLUMN=VALUE, or != < <= > >=")
            continue
        term = Term(match[1].strip(), "=" if match[2] == "==" else match[2], match[3].strip())
        problem = _problem(term, columns) or _unknown_value(term, columns[term.name])
        found.append(term)
        problems += [problem] if problem else []
    if problems:
        raise FilterError(problems)
    return found


def _problem(term: Term, columns: Mapping[str, Column]) -> str:
    """What is wrong with a term; empty if nothing."""
    if term.name not in columns:
        return unknown_column(term.name, list(columns), shown(str(term)))
    column = columns[term.name]
    if not column.is_number:
        return (
            f"{shown(str(term))}: {term.name} is text; allowed: = and !=" if term.sign in _ORDER else _impossible(term, column)
        )
    numbers = [term.value] if term.sign in _ORDER else [end for value in _values(term) for end in _ends(value) if end]
    wrong = [shown(text) for text in dict.fromkeys(numbers) if _number(text) is None]
    if wrong:
        return f"{shown(str(term))}: not a number: {', '.join(wrong)}"
    return "" if term.sign in _ORDER else _backwards(term)


def _backwards(term: Term) -> str:
    """What is wrong with a range that ends before it begins; empty if there is none."""
    for low, high in map(_ends, _values(term)):
        if low and high and float(low) > float(high):
            return f"{shown(str(term))}: no number is in {low}..{high} (meant: {high}..{low}?)"
    return ""


def _impossible(term: Term, column: Column) -> str:
    """What is wrong with a value that no run of any campaign can have; empty if nothing."""
    exact = [value for value in _values(term) if not _is_pattern(value)]
    wrong = [value for value in exact if value not in column.allowed] if column.allowed else []
    if not wrong:
        return ""
    near = difflib.get_close_matches(wrong[0], column.allowed, n=1)
    meant = f" (meant: {near[0]}?)" if near else ""
    return f"{shown(str(term))}: not possible: {shown(wrong[0])}{meant}; allowed: {', '.join(column.allowed)}"


def _unknown_value(term: Term, column: Column) -> str:
    """What is wrong with a value that no run has; empty if nothing."""
    is_planned, present = term.name in PLANNED, np.unique(column.place)
    near = list[str]()
    if isinstance(column.values, np.ndarray):
        numbers = column.values[present]
        values = [term.value] if term.sign in _ORDER else _values(term)
        wrong = [value for value in values if is_planned and not _numbers_fit(term._replace(value=value), numbers).any()]
    elif column.allowed:
        return ""
    else:
        texts = {column.values[place] for place in present.tolist()}
        values = [value for value in _values(term) if is_planned or (value and not _is_pattern(value))]
        wrong = [value for value in values if _as_written(value) not in texts and not any(map(_text_test([value]), texts))]
        if wrong and len(texts) <= _MOST_COMPARED:
            near = difflib.get_close_matches(wrong[0], texts, n=1)
    if not wrong:
        return ""
    sign, meant = term.sign if term.sign in _ORDER else "=", f" (meant: {near[0]}?)" if near else ""
    named = ascii(", ".join(f"{term.name}{sign}{value}" for value in wrong))[1:-1]
    return f"{shown(str(term))}: no run has {named}{meant}; allowed: {values_of(column)}"


def unknown_column(name: str, columns: Sequence[str], where: str) -> str:
    """The message about a name that is not a column. where: the option or term with the name."""
    near = difflib.get_close_matches(name, columns, n=1)
    return f"{where}: no column {shown(name)}" + (f" (meant: {near[0]}?)" if near else f"; allowed: {', '.join(columns)}")


def matching(terms: Iterable[Term], columns: Mapping[str, Column], n_runs: int) -> np.ndarray:
    """int64 (k,), ascending: the places of the runs that fit every term.

    Raises:
        Nothing: no run fits, though there is at least one run.
    """
    terms, fits = list(terms), np.ones(n_runs, bool)
    for term in terms:
        fits &= _fits(term, columns[term.name])
    if terms and not fits.any():
        names = dict.fromkeys(term.name for term in terms)
        lines = [f"{name}: {values_of(columns[name])}" for name in names]
        raise Nothing(f"no run has {' '.join(map(str, terms))}", lines)
    return np.flatnonzero(fits)


def values_of(column: Column) -> str:
    """A text with the values that runs have in a column, or some of them if there are many."""
    texts, present = column.texts(), np.unique(column.place)
    if isinstance(column.values, np.ndarray):
        numbers = np.unique(column.values[present])
        numbers = numbers[~np.isnan(numbers)]
        if len(numbers) > _MOST_SHOWN:
            return f"{numbers[0]:g} to {numbers[-1]:g}, {len(numbers):,} values"
        present = present[np.argsort(column.values[present], kind="stable")]
    distinct = list(dict.fromkeys(texts[place] or "(empty)" for place in present.tolist()))
    more = f", and {len(distinct) - _MOST_SHOWN:,} more" if len(distinct) > _MOST_SHOWN else ""
    return ", ".join(distinct[:_MOST_SHOWN]) + more


def _fits(term: Term, column: Column) -> np.ndarray:
    """bool (n,): which runs fit a term. Each distinct value is tested once."""
    if isinstance(column.values, np.ndarray):
        of_values = _numbers_fit(term, column.values)
    else:
        fits = _text_test(_values(term))
        of_values = np.array([fits(text) for text in column.values], bool)
    return (~of_values if term.sign == "!=" else of_values)[column.place]


def _numbers_fit(term: Term, numbers: np.ndarray) -> np.ndarray:
    """bool (k,), before `!=` inverts it. NaN is neither less nor greater than any number."""
    if term.sign in _ORDER:
        return _ORDER[term.sign](numbers, _number(term.value))
    fits = np.zeros(len(numbers), bool)
    for value in _values(term):
        low, high = _ends(value)
        if not (low or high):
            fits |= np.isnan(numbers) if value != ".." else ~np.isnan(numbers)
        else:
            above = numbers >= _number(low) if low else ~np.isnan(numbers)
            fits |= above & (numbers <= _number(high)) if high else above
    return fits


def _text_test(values: Sequence[str]) -> Callable[[str], bool]:
    """A test: whether a text is one of the values, or matches one that is a pattern."""
    exact = frozenset(map(_as_written, values))
    patterns = [fnmatch.translate(value.replace("[", "[[]")) for value in exact if _is_pattern(value)]
    if not patterns:
        return exact.__contains__
    pattern = re.compile("|".join(patterns))
    return lambda text: text in exact or pattern.fullmatch(text) is not None


def _is_pattern(value: str) -> bool:
    return "*" in value or "?" in value


def _as_written(value: str) -> str:
    """A value as the CSV writes it: `[16, 8]` as `16-8`."""
    return "-".join(re.findall(r"\d+", value)) if value.startswith("[") else value


def _values(term: Term) -> list[str]:
    return ["" if value.strip() == "null" else value.strip() for value in _COMMA.split(term.value)]


def _ends(value: str) -> tuple[str, str]:
    """The ends of a range. A single number is both ends."""
    low, dots, high = value.partition("..")
    return (low, high) if dots else (value, value)


def _number(text: str) -> int | float | None:
    """Read a number as in the CSV; None if the text is not a number."""
    try:
        number = int(text) if re.fullmatch(r"[+-]?\d+", text, re.ASCII) else float(text)
    except ValueError:
        return None
    return number if text.isascii() and "_" not in text and abs(number) < 2**63 else None
