"""Figures: what they show is what the tables say, in every kind of campaign; files have the same bytes each time."""

import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import tables
from analysis.figures.accuracy import accuracy_sheets, plot_accuracy, plot_error
from analysis.figures.campaign import sheets, with_cells
from analysis.figures.heatmap import plot_heatmap
from analysis.figures.parts import DASH
from analysis.figures.saving import save_all
from analysis.figures.sheets import Sheet, in_grid_order
from analysis.figures.spread import plot_spread
from analysis.figures.strips import plot_strips
from analysis.figures.style import STYLES, look, styled
from analysis.live import with_bounds
from analysis.merge import merge
from noisy.spec import RunSpec
from tests import synthetic

pytestmark = pytest.mark.slow

SMALL = synthetic.reliable(3, 2, ("mlp",))


def spec(activation: str = "relu", p: float = 0.0, repeat: int = 0, **changes: object) -> RunSpec:
    """A run on MNIST with two epochs."""
    fields = {"model_type": "mlp", "epochs": 2, "learning_rate": 0.001, "hidden_sizes": (64,), **changes}
    return RunSpec("mnist", activation, p=p, repeat=repeat, seed=1, batch_size=512, weight_decay=0.0, **fields)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def paper() -> Iterator[None]:
    """Figures are drawn in this style."""
    with styled("paper"):
        yield


class Drawn:
    """The tables and sheets of an invented campaign."""

    def __init__(self, folder: Path, runs: list[RunSpec], is_done: Callable[[int], bool] = lambda i: True) -> None:
        made = synthetic.campaign(folder, runs, is_done)
        self.campaign, self.store = made, folder / "results.h5"
        merged = merge(made, self.store)
        found = tables.tables_of(merged, self.store)
        self.summary = in_grid_order(found.summary, merged.planned.cells)
        self.runs = with_cells(merged.runs, self.summary)
        self.comparisons = found.comparisons

    def sheets(self) -> dict[str, Sheet]:
        return {sheet.name: sheet for sheet in sheets(self.summary, self.runs, self.comparisons, self.store)}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    """3 activations x 10 p x 3 repeats, all done."""
    return Drawn(tmp_path_factory.mktemp("figures") / "small", SMALL)


@pytest.fixture(scope="module")
def partial(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    """The same campaign with a third of its runs; sigmoid at p = 0.9 has none."""
    return Drawn(tmp_path_factory.mktemp("figures") / "partial", SMALL, lambda i: i % 3 == 0 and i < 87)


def test_each_kind_is_there(small: Drawn) -> None:
    kinds = ["accuracy_mlp", "overview_mlp", "error_mlp", "differences_activation_mlp", "strips_mlp", "heatmap_mlp"]
    assert list(small.sheets()) == [*kinds, "curves_mlp", "spread_mlp"]


def test_means_bars_and_dots_are_those_of_the_tables(small: Drawn) -> None:
    cells = small.summary[small.summary["activation"] == "tanh"]
    runs = small.runs[small.runs["activation"] == "tanh"]
    ax = Figure().subplots()
    assert plot_accuracy(ax, cells, runs) is ax
    (bars,) = ax.containers
    low, high = bars[1]
    np.testing.assert_allclose(np.asarray(low.get_ydata(), float), cells["ci95_low_clipped"])
    np.testing.assert_allclose(np.asarray(high.get_ydata(), float), cells["ci95_high_clipped"])
    markers = [line for line in ax.lines if line.get_marker() == look("tanh", [])["marker"]]
    assert markers[0].get_ydata().tolist() == cells["mean_test_accuracy"].tolist()
    dots = [tuple(place) for line in ax.lines if line.get_marker() in (".", "x") for place in line.get_xydata()]
    assert sorted(dots) == sorted(set(zip(runs["p"], runs["test_accuracy"], strict=True)))


def test_where_runs_are_at_chance_the_mean_of_the_others_and_the_share_stand_beside(small: Drawn) -> None:
    cells = small.summary[(small.summary["chance"] > 0) & (small.summary["n_trained"] > 0)]
    assert len(cells)
    for row in cells.index:
        one = cells.loc[[row]]
        ax = plot_accuracy(Figure().subplots(), one, small.runs)
        (dash,) = [line for line in ax.lines if line.get_markeredgewidth() == DASH["markeredgewidth"]]
        assert list(dash.get_ydata()) == [one["mean_trained_accuracy"].iloc[0]]
        words = [text.get_text() for text in plot_heatmap(Figure().subplots(), one).texts]
        n, chance = int(one["repeats"].iloc[0]), int(one["chance"].iloc[0])
        assert f"{chance}/{n} x\n({one['mean_trained_accuracy'].iloc[0]:.3f})" in words[0]
        label = plot_strips(Figure().subplots(), one, small.runs).get_xticklabels()[0].get_text()
        assert f"{chance} of {n}\nat chance" in label
    for name in ("accuracy_mlp", "overview_mlp", "error_mlp", "spread_mlp", "differences_activation_mlp"):
        axes = small.sheets()[name].draw().axes
        assert any(ax.get_ylabel() == "share at\nchance" for ax in axes), name


def test_the_error_is_one_less_the_accuracy_on_a_log_axis(small: Drawn) -> None:
    cells = small.summary[small.summary["activation"] == "relu"]
    ax = plot_error(Figure().subplots(), cells, small.runs[small.runs["activation"] == "relu"])
    assert ax.get_yscale() == "log"
    (markers,) = [line for line in ax.lines if line.get_marker() == "o" and len(line.get_ydata()) == 10]
    np.testing.assert_allclose(markers.get_ydata(), 1 - cells["mean_test_accuracy"])


def test_the_floor_of_the_spread_is_that_of_the_test_set(small: Drawn) -> None:
    cells = small.summary[small.summary["activation"] == "relu"]
    lines = [list(line.get_ydata()) for line in plot_spread(Figure().subplots(), cells).lines]
    assert cells["seed_std_explained"].tolist() in lines and cells["sample_std_test_accuracy"].tolist() in lines


def panels(sheet: Sheet) -> list[Axes]:
    return sheet.draw().axes


def check(sheet: Sheet) -> None:
    """No empty panel, no line through one point, and nothing above 1 or below 0 on an axis of accuracies."""
    for ax in panels(sheet):
        drawn = [line for line in ax.lines if len(line.get_xdata()) and line.get_linestyle() not in ("None", "")]
        assert ax.lines or ax.images or ax.collections, sheet.name
        for line in drawn:
            assert np.isfinite(np.asarray(line.get_ydata(), float)).sum() > 1, sheet.name
        if ax.get_ylabel() == "test accuracy":
            ends = [y for line in ax.lines for y in np.asarray(line.get_ydata(), float)]
            assert np.nanmin(ends) >= 0 and np.nanmax(ends) <= 1


CASES: dict[str, tuple[list[RunSpec], Callable[[int], bool]]] = {
    "one cell": ([spec(repeat=i) for i in range(3)], lambda i: True),
    "one run": ([spec()], lambda i: True),
    "no run": ([spec()], lambda i: False),
    "one p": ([spec(a, 0.3, i) for a in ("relu", "tanh") for i in range(2)], lambda i: True),
    "half a grid": ([spec(a, p / 10, i) for a in ("relu", "tanh") for p in range(10) for i in range(2)], lambda i: i < 14),
    "every other p": ([spec("relu", p / 10) for p in range(10)], lambda i: i % 2 == 0),
    "one epoch": ([spec(a, p, i, epochs=1) for a in ("relu", "tanh") for p in (0, 0.5) for i in range(2)], lambda i: True),
    "all at chance": ([spec("relu", 1.0, i) for i in range(3)], lambda i: True),
}


@pytest.mark.parametrize("name", CASES)
def test_no_panel_is_empty_and_no_line_goes_through_one_point(tmp_path: Path, name: str) -> None:
    drawn = Drawn(tmp_path / "campaign", *CASES[name])
    found = drawn.sheets()
    assert bool(found) == (name != "no run")
    for sheet in found.values():
        check(sheet)
        assert "95 %" not in sheet.caption or (drawn.summary["repeats"] > 1).any() or "share" in sheet.caption


def test_further_axes_become_panels_and_then_files(tmp_path: Path) -> None:
    runs = [
        spec(activation, p, learning_rate=rate, hidden_sizes=sizes)
        for rate in (0.001, 0.01)
        for sizes in ((64,), (32, 16))
        for activation in ("relu", "tanh")
        for p in (0.0, 0.5)
    ]
    found = Drawn(tmp_path / "axes", runs).sheets()
    assert [ax.get_title(loc="left") for ax in panels(found["overview_mlp"])] == [
        "learning rate 0.001, hidden 64",
        "learning rate 0.001, hidden 32-16",
        "learning rate 0.01, hidden 64",
        "learning rate 0.01, hidden 32-16",
    ]
    files = [name for name in found if name.startswith("accuracy")]  # 8 panels: a file for each combination
    assert files == [
        f"accuracy_mlp,learning_rate={rate},hidden_sizes={sizes}" for rate in (0.001, 0.01) for sizes in ("64", "32-16")
    ]
    assert [ax.get_title(loc="left") for ax in panels(found[files[1]])] == [
        "ReLU, learning rate 0.001, hidden 32-16",
        "tanh, learning rate 0.001, hidden 32-16",
    ]
    for sheet in found.values():
        check(sheet)


def test_panels_are_in_the_grids_order_and_named_as_in_a_paper(small: Drawn) -> None:
    figure = next(accuracy_sheets(small.summary, small.runs)).draw()
    assert [title for ax in figure.axes if (title := ax.get_title(loc="left"))] == ["ReLU", "tanh", "sigmoid"]
    assert figure.get_suptitle() == "MNIST, MLP 1024-512-256"


def test_a_partial_campaign_says_so(partial: Drawn) -> None:
    assert (partial.summary["repeats"] == 1).sum() == 29 and (partial.summary["repeats"] == 0).sum() == 1
    for sheet in partial.sheets().values():
        assert sheet.draw().get_suptitle().endswith("(29 of 90 runs)"), sheet.name
        if not sheet.name.startswith("differences"):
            assert "29 of 90 planned runs are shown; 61 missing" in sheet.caption
        assert "t interval" not in sheet.caption  # no cell has two runs
    (markers,) = [line for line in panels(partial.sheets()["accuracy_mlp"])[0].lines if line.get_marker() == "o"][-1:]
    assert markers.get_markerfacecolor() == "#ffffff"  # a cell with missing runs is open


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_full_mean_is_inside_the_stated_bounds(tmp_path: Path, share: float, small: Drawn) -> None:
    kept = np.random.default_rng(1).random(len(SMALL)) < share
    bounds = with_bounds(Drawn(tmp_path / "some", SMALL, lambda i: bool(kept[i])).summary)
    whole = small.summary["mean_test_accuracy"]
    assert (bounds["if_rest_at_chance"] - 1e-12 <= whole).all() and (whole <= bounds["if_rest_at_best"] + 1e-12).all()
    is_done = (bounds["missing"] == 0).to_numpy()
    assert (bounds["if_rest_at_chance"] == whole)[is_done].all() and (bounds["if_rest_at_best"] == whole)[is_done].all()
    assert ((bounds["if_rest_alike"] - bounds["mean_test_accuracy"]).dropna() == 0).all()


@pytest.fixture(scope="module")
def saved(small: Drawn, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two figures."""
    folder = tmp_path_factory.mktemp("saved")
    save_all(folder, some(small), "paper")
    return folder


def some(drawn: Drawn) -> list[Sheet]:
    return [drawn.sheets()[name] for name in ("accuracy_mlp", "heatmap_mlp")]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_fonts_are_embedded_as_type_42(saved: Path) -> None:
    pdf = (saved / "accuracy_mlp.pdf").read_bytes()
    assert b"/CIDFontType2" in pdf and b"/Type3" not in pdf


def test_dots_are_one_image_a_panel_and_text_is_not(saved: Path) -> None:
    svg = (saved / "accuracy_mlp.svg").read_text()
    assert 3 <= svg.count("<image") <= 6 and "<text" not in svg


@pytest.mark.slow
def test_only_what_has_changed_is_drawn_again(small: Drawn, saved: Path, tmp_path: Path) -> None:
    def times() -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir() if path.name != ".made.json"}

    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    before = times()
    save_all(tmp_path, some(small), "paper")
    assert times() == before
    (tmp_path / "heatmap_mlp.png").write_bytes(b"touched")
    save_all(tmp_path, some(small), "paper")
    changed = {name for name, time in times().items() if time != before[name]}
    assert changed == {f"heatmap_mlp.{suffix}" for suffix in ("svg", "pdf", "png", "csv")}
    assert contents(tmp_path) == contents(saved)  # the same bytes each time
    assert len(contents(saved)) == 2 * 4 + 1
    (tmp_path / "mine.pdf").write_bytes(b"mine")
    save_all(tmp_path, some(small)[1:], "slides")  # the other one is no longer made
    assert {name.split(".")[0] for name in times()} == {"heatmap_mlp", "mine"}
    assert contents(tmp_path)["heatmap_mlp.png"] != contents(saved)["heatmap_mlp.png"]


def test_a_style_is_sizes_only() -> None:
    for name, sizes in STYLES.items():
        with styled(name):
            assert mpl.rcParams["figure.figsize"][0] == (5.5 if name == "paper" else 11.0)
            assert mpl.rcParams["font.size"] == (8 if name == "paper" else 16)
        assert not [key for key in sizes if "color" in key or "family" in key]


def test_lines_differ_in_colour_marker_and_style_also_as_greys() -> None:
    looks = [look(name, []) for name in ("relu", "tanh", "sigmoid", "leaky_relu", "gelu")]
    for key in ("color", "marker", "linestyle"):
        assert len({str(one[key]) for one in looks}) == len(looks)
    greys = [float(np.dot(mpl.colors.to_rgb(one["color"]), [0.2126, 0.7152, 0.0722])) for one in looks[:2]]
    assert abs(greys[0] - greys[1]) > 0.05
    for one in looks:  # WCAG: graphics need a contrast of 3 with the page
        red, green, blue = (
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in mpl.colors.to_rgb(one["color"])
        )
        assert 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05) >= 3


def test_the_csv_has_the_numbers_of_the_figure(small: Drawn, saved: Path) -> None:
    csv = pd.read_csv(saved / "accuracy_mlp.csv", dtype=str)
    for name in ("p", "repeats", "mean_test_accuracy", "ci95_low_clipped", "ci95_high_clipped", "share_chance"):
        assert list(map(float, csv[name])) == small.summary[name].tolist(), name


def test_the_majority_class_is_that_of_the_data(digits: object) -> None:
    from analysis.figures.names import majority

    labels = digits.test_labels  # type: ignore[attr-defined]
    assert math.isclose(majority("digits"), np.bincount(labels).max() / len(labels))
    assert majority("kmnist") == 0.1


def test_runs_find_their_cells_also_when_read_back(small: Drawn, tmp_path: Path) -> None:
    small.runs.drop(columns=["cell", "row"]).to_csv(tmp_path / "runs.csv", index=False)
    small.summary.to_csv(tmp_path / "summary.csv", index=False)
    runs, summary = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("runs", "summary"))
    assert with_cells(runs, summary)["cell"].tolist() == small.runs["cell"].tolist()
