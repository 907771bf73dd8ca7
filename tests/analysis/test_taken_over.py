"""An archive takes over the figures of a report, so that they are not drawn again."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.saving import save_all, take_over
from analysis.figures.sheets import Sheet

SHEETS = [Sheet(name, name, "", pd.DataFrame({"a": [1.0]}), lambda: Figure(figsize=(1, 1))) for name in ("one", "two")]


def not_again() -> Figure:
    raise AssertionError("drawn again")


def test_figures_are_taken_over_unless_they_have_changed(tmp_path: Path) -> None:
    report, packed = tmp_path / "report", tmp_path / "packed"
    save_all(report, SHEETS, "paper")
    (report / "two.png").write_bytes(b"touched")
    (report / "mine.png").write_bytes(b"mine")
    take_over(report, packed)
    files = {f"one{suffix}" for suffix in (".svg", ".pdf", ".png", ".csv")}
    assert {path.name for path in packed.iterdir()} == files | {".made.json"}
    save_all(packed, [replace(SHEETS[0], draw=not_again), SHEETS[1]], "paper")
    assert all((packed / name).read_bytes() == (report / name).read_bytes() for name in files)
    assert (packed / "two.png").read_bytes() != b"touched"


def test_where_no_report_was_made_nothing_is_taken_over(tmp_path: Path) -> None:
    take_over(tmp_path / "nowhere", tmp_path / "packed")
    assert not (tmp_path / "packed").exists()
