"""report.html in a headless Chromium without network, by `make test-page`. axe-core comes by npm, into a temporary folder."""

import base64
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from analysis import making
from jobs.campaign import Campaign
from jobs.manifest import read_header
from noisy.spec import RunSpec
from tests import synthetic
from tests.page.browser import PROGRAM, Tab, chromium
from tests.records import failure, write_shard

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="there is no chromium: apt-get install chromium, or make test-page")
HOSTILE = '</script><script>alert(1)</script><img src=x onerror="alert(2)"> & "quoted" \' {{ 7 * 7 }} \\u003c'


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    """84 of 90 runs are done; one failed with a hostile message, on a host with a hostile name."""
    runs = synthetic.reliable(3, 3, ("mlp",))
    made = synthetic.campaign(tmp_path_factory.mktemp("page") / "hostile <b>name", runs, lambda i: i % 15 != 14)
    (made.folder / "grid.yaml").write_text(f"# {HOSTILE}\n")
    identity = read_header(made.manifest).campaign
    write_shard(made.shards, 9999, [failure(runs[14], HOSTILE)], campaign=identity, host=HOSTILE)
    assert making.report(made) == 1  # a run failed
    return made


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def page(tab: Tab, campaign: Campaign) -> Tab:
    """The page, newly opened."""
    tab.look()
    tab.said.clear()
    tab.open(campaign.folder / "report.html")
    return tab


def test_it_loads_in_silence_from_one_file(page: Tab, campaign: Campaign) -> None:
    assert page.said == []
    others = [url for url in page.requests if not url.startswith("data:image/png;base64,")]
    assert others == [(campaign.folder / "report.html").as_uri()]


def test_all_figures_are_shown(page: Tab, campaign: Campaign) -> None:
    names = {path.stem for path in (campaign.folder / "figures").glob("*.svg")}
    assert len(names) == page.value("document.querySelectorAll('figure svg').length") >= 7
    sizes = page.value(
        "Array.from(document.querySelectorAll('figure svg, figure svg image'), e => e.getBoundingClientRect().width)"
    )
    assert min(sizes) > 10
    lost = (
        "Array.from(document.querySelectorAll('figure svg use')).filter(e => !document.querySelector(e.getAttribute('href')))"
    )
    assert page.value(f"{lost}.length") == 0  # letters and markers are kept once for the whole page
    ids = page.value("Array.from(document.querySelectorAll('[id]'), e => e.id)")
    assert len(ids) == len(set(ids))
    assert page.value("document.querySelectorAll('figure svg[aria-label]').length") == len(names)


def test_nothing_hostile_is_more_than_text(page: Tab) -> None:
    assert page.value("document.querySelectorAll('script').length") == 2  # its own, and the data
    assert page.value("document.querySelectorAll('img, b, iframe, object').length") == 0
    text = page.value("document.body.innerText")
    assert text.count(HOSTILE) >= 3  # the grid, the message, the host
    page.value("document.querySelectorAll('#cells button[aria-expanded]').forEach(b => b.click())")
    assert page.value("document.querySelectorAll('tr.runs').length") == 30
    assert HOSTILE in page.value("document.getElementById('cells').textContent")
    assert page.value("document.querySelectorAll('#cells img, #cells script').length") == 0
    assert page.said == []


def column(page: Tab, place: int) -> list[str]:
    """The texts of a column of the rows that are shown."""
    rows = "Array.from(document.querySelectorAll('#cells > tbody > tr:not([hidden]):not(.runs)')"
    return page.value(f"{rows}, row => row.cells[{place}].textContent)")


def test_the_table_sorts_and_filters(page: Tab, campaign: Campaign) -> None:
    headings = page.value("Array.from(document.querySelectorAll('#cells thead th'), e => e.textContent)")
    mean = headings.index("mean")
    click = f"document.querySelectorAll('#cells thead button')[{mean}].click()"
    page.value(click)
    shown = [float(text) for text in column(page, mean)]
    assert shown == sorted(shown) and len(shown) == 30
    page.value(click)
    assert [float(text) for text in column(page, mean)] == shown[::-1]
    assert page.value(f"document.querySelectorAll('#cells thead th')[{mean}].getAttribute('aria-sort')") == "descending"
    page.value(
        "filter = document.getElementById('filter'); filter.value = 'tanh 0.9'; filter.dispatchEvent(new Event('input'))"
    )
    assert column(page, headings.index("p")) == ["0.9"] and column(page, 1) == ["tanh"]
    assert page.value("document.getElementById('count').textContent") == "1 of 30 cells"
    page.value("filter.value = ''; document.getElementById('odd').click()")
    summary = pd.read_csv(campaign.folder / "results_summary.csv")
    odd = summary[["missing", "failed", "chance", "diverged"]].sum(axis=1) > 0
    assert 0 < len(column(page, 0)) == odd.sum() < 30


def test_a_cell_opens_to_its_runs(page: Tab, campaign: Campaign) -> None:
    name = "runs of MLP, ReLU, p = 0.3"
    page.value(f"document.querySelector('[aria-label=\"{name}\"]').click()")
    lines = page.value(
        "Array.from(document.querySelectorAll('tr.runs tbody tr'), r => Array.from(r.cells, c => c.textContent))"
    )
    csv = pd.read_csv(campaign.folder / "results_per_run.csv", keep_default_na=False)
    own = csv[(csv["activation"] == "relu") & (csv["p"] == 0.3)].sort_values("repeat")
    assert [line[1] for line in lines] == [f"{float(value):.4f}" for value in own["test_accuracy"]]
    assert [line[5] for line in lines] == own["run_id"].tolist()
    page.value(f"document.querySelector('[aria-label=\"{name}\"]').click()")
    assert page.value("document.querySelectorAll('tr.runs').length") == 0


@pytest.mark.parametrize("is_dark", [False, True])
@pytest.mark.parametrize("width", [360, 1100])
def test_no_part_is_wider_than_the_window(page: Tab, width: int, is_dark: bool) -> None:
    page.look(width, is_dark)
    assert page.value("document.documentElement.scrollWidth") == width
    colours = page.value("[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]")
    assert colours == (["rgb(22, 24, 28)", "rgb(232, 232, 232)"] if is_dark else ["rgb(255, 255, 255)", "rgb(27, 27, 27)"])


def test_it_prints_on_a4(page: Tab) -> None:
    pdf = base64.b64decode(page.call("Page.printToPDF", preferCSSPageSize=True, printBackground=True)["data"])
    boxes = {tuple(map(float, match)) for match in re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", pdf)}
    assert {(round(width), round(height)) for width, height in boxes} == {(595, 842)}
    assert 5 <= len(re.findall(rb"/Type /Page\b", pdf)) <= 30


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core."""
    if not shutil.which("npm"):
        pytest.skip("there is no npm, which brings axe-core")
    folder = tmp_path_factory.mktemp("npm")
    command = ["npm", "install", "--no-save", "--prefix", str(folder), "axe-core@4"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


@pytest.mark.parametrize("is_dark", [False, True])
def test_axe_finds_no_violation(page: Tab, axe: str, is_dark: bool) -> None:
    page.look(is_dark=is_dark)
    page.value("document.querySelector('#cells button[aria-expanded]').click()")
    page.value(axe + "; 0")
    found = page.value(
        "axe.run().then(r => r.violations.map(v => v.id + ': ' + v.nodes.map(n => n.html.slice(0, 200)).join(' | ')))"
    )
    assert found == []
    tags = "{runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']}"
    assert page.value(f"axe.run({tags}).then(r => r.passes.length)") > 15


def test_a_large_page_is_small(tmp_path: Path) -> None:
    """20 cells of 5,000 runs each: 100,000 runs."""
    runs = [
        RunSpec("mnist", activation, "mlp", p / 10, repeat, 1, 2, 512, 0.001, 0.0, (64,))
        for activation in ("relu", "tanh")
        for p in range(10)
        for repeat in range(5_000)
    ]
    made = synthetic.campaign(tmp_path / "large", runs, a_shard=5_000)
    assert making.report(made) == 0
    content = (made.folder / "report.html").read_bytes()
    assert len(content) <= 3_000_000
    making.report(made)
    assert (made.folder / "report.html").read_bytes() == content
