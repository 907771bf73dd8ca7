"""Saving figures as PDF, PNG, SVG and CSV. A figure is drawn again only if its numbers, its style or the code changed.

`.made.json` in the folder of figures lists what was made, with digests. A file that has changed since then is made again. A
file of a figure that is no longer made is removed if it has not changed. All other files in the folder stay.
"""

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG

from analysis.figures.sheets import Sheet
from analysis.figures.style import styled
from jobs.files import publish
from jobs.reading import read_regular
from noisy.spec import MODEL_TYPES

FORMATS = (".svg", ".pdf", ".png")
_MADE = ".made.json"
_LONGEST_NAME = 120


@dataclass(frozen=True)
class Saved:
    """A figure on disk. paths: the PDF, the PNG, the SVG and the CSV; svg: the content of the SVG."""

    name: str
    heading: str
    caption: str
    paths: tuple[Path, ...]
    svg: bytes


def save_all(folder: Path, sheets: Iterable[Sheet], style: str) -> list[Saved]:
    """Make all files that are missing or not up to date, and remove those of figures that are no longer made.

    Raises:
        OSError: a file cannot be written.
    """
    folder.mkdir(exist_ok=True)
    before = _remembered(folder)
    made: dict[str, dict[str, str]] = {}
    saved = []
    with styled(style):
        for sheet in sheets:
            one, made[one.name] = _save(folder, sheet, style, before)
            saved.append(one)
    _remove(folder, before, {path.name for one in saved for path in one.paths})
    publish(folder / _MADE, json.dumps(made, indent=1, sort_keys=True).encode() + b"\n")
    return saved


def take_over(source: Path, folder: Path) -> None:
    """Copy figures from another folder, so that `save_all` does not draw them again. Figures that have changed are left out.

    Raises:
        OSError: a file cannot be written.
    """
    made = {}
    for name, files in _remembered(source).items():
        paths = [source / Path(file).name for file in files if file != "inputs"]
        if contents := _as_made(paths, files, files.get("inputs", "")):
            made[name] = files
            folder.mkdir(exist_ok=True)
            for path, content in zip(paths, contents, strict=True):
                publish(folder / path.name, content)
    if made:
        publish(folder / _MADE, json.dumps(made).encode())


def csv_bytes(table: pd.DataFrame) -> bytes:
    """A table as CSV."""
    return table.to_csv(index=False, lineterminator="\n").encode(errors="backslashreplace")


def _save(folder: Path, sheet: Sheet, style: str, before: dict[str, dict[str, str]]) -> tuple[Saved, dict[str, str]]:
    name = _file_name(sheet.name)
    table = csv_bytes(sheet.table)
    inputs = _digest(_code(), style.encode(), sheet.caption.encode(), table, *_bytes(sheet.dots))
    paths = [folder / f"{name}{suffix}" for suffix in (*FORMATS, ".csv")]
    contents = _as_made(paths, before.get(name, {}), inputs)
    if not contents:
        contents = [*_drawn(sheet), table]
        for path, content in zip(paths, contents, strict=True):
            publish(path, content)
    digests = {path.name: _digest(content) for path, content in zip(paths, contents, strict=True)}
    return Saved(name, sheet.heading, sheet.caption, tuple(paths), contents[0]), {"inputs": inputs, **digests}


def _drawn(sheet: Sheet) -> Iterator[bytes]:
    """Yield the figure in each of FORMATS, without dates, so that equal figures have equal bytes.

    The layout is computed once and the canvases are used directly, because `Figure.savefig` draws everything twice each time.
    """
    figure = sheet.draw()
    layout = figure.get_layout_engine()
    if layout:
        layout.execute(figure)
    figure.set_layout_engine("none")
    for save, metadata, fineness in (
        (FigureCanvasSVG(figure).print_svg, {"Date": None}, 0.5),  # resolution of its dots, which is for screens
        (FigureCanvasPdf(figure).print_pdf, {"CreationDate": None}, 1),
        (FigureCanvasAgg(figure).print_png, {"Software": None}, 1),
    ):
        image = io.BytesIO()
        figure.set_dpi(fineness * mpl.rcParams["savefig.dpi"])  # each format changes it
        save(image, metadata=metadata)
        yield image.getvalue()


def _as_made(paths: list[Path], made: dict[str, str], inputs: str) -> list[bytes]:
    """The contents of the files if they were made from these inputs and have not changed since; else nothing."""
    contents = []
    if made.get("inputs") == inputs:
        with suppress(OSError, ValueError):
            contents = [read_regular(path) for path in paths]
    is_same = contents and all(made.get(path.name) == _digest(one) for path, one in zip(paths, contents, strict=True))
    return contents if is_same else []


def _remembered(folder: Path) -> dict[str, dict[str, str]]:
    """name of a figure -> digest of its inputs, and names of its files -> their digests; nothing if it cannot be read."""
    try:
        found = json.loads((folder / _MADE).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    is_sound = isinstance(found, dict) and all(isinstance(files, dict) for files in found.values())
    return found if is_sound else {}


def _remove(folder: Path, before: dict[str, dict[str, str]], made: set[str]) -> None:
    """Remove files of figures that are no longer made, including those of earlier versions without `.made.json`."""
    ours = {name: digest for files in before.values() for name, digest in files.items() if name != "inputs"}
    for name in sorted(ours.keys() - made):
        path = folder / name
        if path.name == name and path.is_file() and _digest(path.read_bytes()) == ours[name]:
            path.unlink()
    if not before:
        for name in {f"accuracy_{kind}{suffix}" for kind in MODEL_TYPES for suffix in (".pdf", ".png")} - made:
            (folder / name).unlink(missing_ok=True)


def _file_name(name: str) -> str:
    """The name itself, or its beginning and a digest if it is too long for some file systems."""
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 17]}-{_digest(name.encode())[:16]}"


def _bytes(dots: Sequence[pd.Series]) -> Iterator[bytes]:
    for one in dots:
        yield one.to_numpy(float).tobytes()


@cache
def _code() -> bytes:
    """A text that changes with the code of this package and with matplotlib, which also decide how a figure looks."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return _digest(mpl.__version__.encode(), *(path.read_bytes() for path in sources)).encode()


def _digest(*contents: bytes) -> str:
    found = hashlib.sha256()
    for content in contents:
        found.update(b"%d:" % len(content))
        found.update(content)
    return found.hexdigest()
