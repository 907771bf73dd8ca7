"""What the live view draws, on terminals of any size."""

import io
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
from rich.console import Console

from hpc.execution.view.heatmap import draw_panels
from hpc.execution.view.panels import DONE, FAILED, RUNNING, merged, panels_of
from hpc.execution.view.screen import lines_of, screen
from hpc.execution.view.snapshot import LastRun, Snapshot
from hpc.state.runs import STATES
from noisy.runs import Runs
from tests.specs import runs, spec
from tests.synthetic import reliable

RELIABLE = Runs.of(reliable(40))
NEXT = "python -m hpc.logs --failed --output-dir results/a_name_that_is_as_long_as_some_people_like_them_to_be"
HINT = "q: leave"
ENDS = datetime.fromtimestamp(1e9 + 3600).strftime("%H:%M")
SIZES = [(80, 24), (120, 40), (60, 24), (60, 12), (40, 10), (200, 60)]


def codes(n: int) -> np.ndarray:
    """States of the reliable campaign: the first runs are done, one failed, one is running, the others wait."""
    code = np.full(n, STATES.index("queued"), np.int8)
    code[: n // 2] = DONE
    code[3], code[n // 2] = FAILED, RUNNING
    return code


def shown_of(code: np.ndarray) -> dict:
    """The part of `hpc.execution.summary.summary` that a screen shows."""
    counts = {name: int((code == i).sum()) for i, name in enumerate(STATES)}
    left = {"left_s": {"low": 3000.0, "expected": 3600.0, "high": 4200.0}, "runs_per_h": 1200.0}
    return {"runs": len(code), **counts, "given_up": 0, "at_work": {"0001": 3}, **left}


LAST = LastRun(1e9, "mlp leaky_relu", 0.125, 39, "0.9711", 61.5, "node-with-a-long-name-17")
SNAPSHOT = Snapshot(
    "results/reliable",
    1e9,
    shown_of(codes(2400)),
    panels_of(RELIABLE, codes(2400)),
    (LAST, replace(LAST, outcome="failed", is_failed=True)) * 20,
    ("0001: 80 workers at work on node1 (40), node2 (40); 1,199 of 2,400 runs done",),
    tuple(
        f"warning: shards/{i}.h5: not HDF5: it begins with b'' and this line is longer than many terminals" for i in range(9)
    ),
    NEXT,
)


def texts(shown: Snapshot, columns: int, rows: int, encoding: str = "utf-8") -> list[str]:
    lines = lines_of(shown, columns, rows, HINT, encoding)
    assert all(line.cell_len <= columns for line in lines)
    return [line.plain.rstrip() for line in lines]


@pytest.mark.parametrize(("columns", "rows"), SIZES)
def test_it_fits_and_says_what_matters(columns: int, rows: int) -> None:
    lines = texts(SNAPSHOT, columns, rows)
    assert len(lines) == rows
    assert lines[0].endswith("1,199 of 2,400 runs done, 50 %")
    assert lines[2] == "done 1,199   > running 1   queued 1,199   ! failed 1"[:columns].rstrip()
    end = f"60 min left (50 min to 70 min); ends {ENDS}"
    assert lines[3].removeprefix("1,200 runs per hour; ") == (end if columns > 40 else end[:39] + "~")
    assert lines[-1].startswith(HINT)
    assert rows < 24 or any("warning" in line for line in lines)
    assert NEXT.replace(" ", "") in "".join(lines).replace(" ", "")  # in full, to be copied


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (120, 40), (60, 24)])
def test_it_shows_the_map_and_the_last_runs(columns: int, rows: int) -> None:
    lines = texts(SNAPSHOT, columns, rows)
    assert [line.split() for line in lines if line.startswith("  ")][:1] == [["relu", "39!", *["40"] * 9]]
    assert sum("accuracy 0.9711" in line and "p=0.125" in line for line in lines) >= 2
    assert sum("failed" in line and "p=0.125" in line for line in lines) >= 1


def test_little_advice_is_shown_in_lines_and_the_rest_is_counted() -> None:
    lines = texts(SNAPSHOT, 80, 24)
    assert sum("warning: shards/" in line for line in lines) == 2
    assert any(line.strip() == "and 7 more (status prints them)" for line in lines)


def test_what_is_done_running_and_failed_is_seen_without_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=24, legacy_windows=False)
    console.print(screen(SNAPSHOT, 80, 24, HINT))
    drawn = console.file.getvalue()
    assert "\x1b[3" not in drawn and "\x1b[4" not in drawn  # neither a colour nor a background
    assert "39!" in drawn and "0>" in drawn and "▓" in drawn


def test_with_colours_the_map_is_shaded() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=24, color_system="256", _environ={})
    console.print(screen(SNAPSHOT, 80, 24, HINT))
    assert {"\x1b[30;48;5;34m", "\x1b[37;41m", "\x1b[30;43m"} <= {
        part + "m" for part in console.file.getvalue().replace("\x1b", "m\x1b").split("m")
    }


def test_a_terminal_that_knows_ascii_only_gets_ascii_only() -> None:
    named = replace(SNAPSHOT, folder="ergebnisse/prüfung\x1b[31m\n", advice=("warning: naïve", "\x07bell"))
    drawn = "\n".join(texts(named, 80, 24, "ascii"))
    assert drawn.isascii()
    assert "\x1b" not in drawn and "\x07" not in drawn
    assert r"pr\xfcfung?[31m?" in drawn
    assert "####" in drawn and "...." in drawn


def test_a_campaign_without_a_run_that_ended_is_drawn() -> None:
    new = Snapshot("results/x", 1e9, {**shown_of(np.full(2400, 2, np.int8)), "left_s": None, "at_work": {}})
    assert texts(new, 80, 24)[2:4] == ["queued 2,400", "nothing is at work"]


def test_each_run_is_in_one_cell_of_the_map() -> None:
    panels = panels_of(RELIABLE, codes(2400))
    assert [panel.title for panel in panels] == ["mlp", "cnn"]
    assert all(panel.activations == ("relu", "tanh", "sigmoid") and len(panel.ps) == 10 for panel in panels)
    assert sum(panel.n_in for panel in panels).sum(axis=(0, 1)).tolist() == [shown_of(codes(2400))[name] for name in STATES]
    assert [panel.is_busy for panel in panels] == [True, True]
    done = panels_of(RELIABLE, np.zeros(2400, np.int8))
    assert [(panel.is_busy, panel.is_done) for panel in done] == [(False, True)] * 2


def test_further_axes_are_panels_and_are_named() -> None:
    axes = runs(
        *(spec(model_type=model, epochs=epochs) for model, several in (("mlp", (1, 2)), ("cnn", (3,))) for epochs in several)
    )
    panels = panels_of(axes, np.zeros(3, np.int8))
    assert [panel.title for panel in panels] == ["mlp epochs=1", "mlp epochs=2", "cnn"]
    sizes = panels_of(runs(spec(hidden_sizes=(8, 4)), spec(hidden_sizes=(8,))), np.zeros(2, np.int8))
    assert [panel.title for panel in sizes] == ["mlp hidden_sizes=8-4", "mlp hidden_sizes=8"]


def test_a_cell_that_the_grid_does_not_have_is_blank() -> None:
    (panel,) = panels_of(runs(spec(activation="relu", p=0.0), spec(activation="tanh", p=0.5)), np.zeros(2, np.int8))
    lines = [line.plain for line in draw_panels([panel], 80, 10)]
    assert [line.split() for line in lines] == [["mlp", "0", "0.5"], ["relu", "1"], ["tanh", "1"]]
    assert lines[2].index("1") > lines[1].index("1")


def test_many_values_of_p_are_counted_together_where_there_is_no_room() -> None:
    (panel,) = panels_of(runs(*(spec(p=i / 100) for i in range(101))), np.zeros(101, np.int8))
    for most in (101, 50, 7, 1):
        assert len(merged(panel, most).ps) <= most
        assert merged(panel, most).n_in.sum() == 101
    drawn = [line.plain for line in draw_panels([panel], 60, 10)]
    assert all(len(line) <= 60 for line in drawn)
    assert sum(map(int, drawn[1].split()[1:])) == 101


def test_of_too_many_panels_those_with_news_are_shown() -> None:
    axes = runs(*(spec(epochs=i) for i in range(1, 31)))
    code = np.zeros(30, np.int8)
    code[17], code[29] = RUNNING, FAILED
    drawn = [line.plain for line in draw_panels(panels_of(axes, code), 30, 9)]
    assert len(drawn) <= 9
    assert any("epochs=18" in line for line in drawn) and any("epochs=30" in line for line in drawn)
    assert drawn[-1] == "and 26 more like these, 26 of them done (status --cells lists them)"


def test_panels_are_beside_each_other_where_they_do_not_fit_below() -> None:
    panels = panels_of(RELIABLE, codes(2400))
    assert len(draw_panels(panels, 120, 8)) == 8
    assert len(draw_panels(panels, 120, 7)) == 4


def test_a_very_low_terminal_keeps_the_keys() -> None:
    lines = texts(SNAPSHOT, 40, 8)
    assert len(lines) == 8
    assert lines[0].endswith("50 %") and lines[-1].startswith(HINT)
