"""`--set KEY=VALUE` is as if the file had the value: the same grid, the same problems, and a file that says so."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from hpc.execution.choice import SECTIONS
from hpc.request.grid import Grid, load_grid, parse_grid
from hpc.request.yaml_file import GridError
from tests import commands
from tests.campaigns import GRID, done

FILES = {
    "the shipped one": (commands.ROOT / "grid.yaml").read_text(),
    "lists as lines": "dataset: digits  # small\nps:\n- 0.1\n- 0.2  # most\nmodels:\n  cnn:\n    epochs: 2\nmodel_types: [cnn]",
    "one mapping": "{dataset: digits, ps: [0.1], model_types: [mlp, cnn]}",
    "indented, without a last line end": "  # a comment\n  model_types: [mlp, cnn]\n  models:\n    cnn: {epochs: 2}",
    "nothing": "{}\n",
    "ended": "---\nmodel_types: [mlp, cnn]\nslurm:\n  partition: cpu # its name\n...\n",
}
SETTINGS = (
    ["ps=[0,0.5]"],
    ["repeats=3", "seed=7"],
    ["model_types=[mlp, cnn]", "models.cnn.epochs=3", "models.mlp.hidden_sizes=[[16], [32, 16]]"],
    ["slurm.mem-per-cpu=2G", "slurm.time=60", 'output_dir="a: b #c"', "max_train_samples="],
)


def plain(text: str, settings: list[str]) -> dict:
    """The slow and simple way, for correct settings of files that plain YAML reads alike."""
    values = yaml.safe_load(text)
    for setting in settings:
        path, _, value = setting.partition("=")
        *parents, last = path.split(".")
        inner = values
        for key in parents:
            inner = inner.setdefault(key, {})
        inner[last] = yaml.safe_load(value)
    return values


def bare(grid: Grid) -> Grid:
    return replace(grid, text="", settings=())


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
@pytest.mark.parametrize("settings", SETTINGS, ids=" ".join)
def test_a_setting_is_as_if_the_file_had_it(text: str, settings: list[str]) -> None:
    wanted = parse_grid(yaml.safe_dump(plain(text, settings)), SECTIONS)
    found = parse_grid(text, SECTIONS, settings=settings)
    assert bare(found) == bare(wanted)
    assert found.settings == tuple(settings)
    assert bare(parse_grid(found.text, SECTIONS)) == bare(wanted), "the campaign's own file says the same"


def test_the_rest_of_the_file_stays_as_it_was_written() -> None:
    text = FILES["the shipped one"]
    found = parse_grid(text, SECTIONS, settings=["ps=[0,0.5]", "models.cnn.epochs=3", "precision=float32"]).text
    new = {
        "ps: [0, 0.5]",
        "models: {mlp: {hidden_sizes: [1024, 512, 256], epochs: 15, batch_size: 512}, cnn: {epochs: 3, batch_size: 256}}",
        "precision: float32",
    }
    assert {*found.splitlines()} - {*text.splitlines()} == new
    gone = {*text.splitlines()} - {*found.splitlines()}
    assert sorted(line.strip()[:7] for line in gone) == ["cnn: {e", "mlp: {h", "models:", "ps: [0."]
    assert parse_grid(text, SECTIONS, settings=[]).text == text
    assert "  # small\n" in parse_grid(FILES["lists as lines"], SECTIONS, settings=["ps=[0]"]).text
    assert "most" not in parse_grid(FILES["lists as lines"], SECTIONS, settings=["ps=[0]"]).text


PROBLEMS = {
    "ps=[0,2]": "--set ps[1]: not possible: 2; allowed: a number from 0 to 1",
    "ps=0": "--set ps: not a list of values: 0; allowed: a list with at least one value, each a number from 0 to 1",
    "ps=[0,0]": "--set ps[1]: listed twice: 0; allowed: each value once",
    "repeats=1e3": "--set repeats: not possible: '1e3'; allowed: an integer from 1 to 2147483647 (YAML reads 1e3",
    "modls.cnn.epochs=3": "--set modls: unknown key (meant: models?): 'modls'; allowed: output_dir, ",
    "models.cnn.epoch=3": "--set models.cnn.epoch: unknown key (meant: epochs?): 'epoch'; allowed: epochs, ",
    "models.cnn.epochs=0": "--set models.cnn.epochs: not possible: 0; allowed: an integer from 1 to 2147483647",
    "models.cnn=3": "--set models.cnn: not a mapping: 3; allowed: key: value pairs with the keys epochs, ",
    "seed.x=3": "--set seed: not possible: {'x': 3}; allowed: an integer from 0 to 2**63 - 1",
    "repeats": "--set 'repeats': not possible; allowed: KEY=VALUE with a key and a value of a grid, such as repeats=3",
    "=3": "--set '=3': not possible; allowed: KEY=VALUE",
    "models..epochs=3": "--set 'models..epochs=3': not possible; allowed: KEY=VALUE",
    "ps=[0": "--set ps: line 1, column 3: not YAML: expected ',' or ']'",
    "ps=[0]\nseed: 3": "--set ps: line 2, column 1: not YAML: ",
    "seed=!!int 3": "--set seed: line 1, column 1: a tag: '!!int'; allowed: a plain value",
    "models.cnn={epochs: 1, epochs: 2}": "--set models.cnn: line 1: key given twice: 'epochs'",
    "slurm.array=1": "slurm: an option that this program sets: 'array'; allowed: any option of sbatch except ",
    "use_cuda=yes please": "--set use_cuda: not possible: 'yes please'; allowed: true or false",
}


@pytest.mark.parametrize("setting", PROBLEMS)
def test_what_is_wrong_is_named_by_its_setting(setting: str) -> None:
    with pytest.raises(GridError) as raised:
        parse_grid("model_types: [mlp, cnn]", SECTIONS, settings=[setting])
    (problem,) = raised.value.problems
    assert problem.removeprefix("--set " if setting.startswith("slurm") else "").startswith(PROBLEMS[setting])


def test_the_problems_of_file_and_settings_come_together() -> None:
    with pytest.raises(GridError) as raised:
        parse_grid(
            "repeats: 0\nps: [3]\nseed: -1", None, settings=["ps=[4]", "epochs=0", "ps=[0]", "models={}", "models.mlp.epochs=1"]
        )
    assert [problem.partition(":")[0] for problem in raised.value.problems] == [
        "line 1", "line 3", "--set ps", "--set models.mlp.epochs", "--set ps[0]", "--set epochs",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_campaign_keeps_what_was_set(tmp_path: Path, digits_dir: Path) -> None:
    grid, campaign = tmp_path / "grid.yaml", tmp_path / "campaign"
    grid.write_text(GRID)
    few = ("--set", "activations=[relu]", "--set", "ps=[0.5]", "--set", "models.mlp.batch_size=64")
    refused = commands.submit(grid, campaign, digits_dir, *few, "--set", "epoch=1")
    assert (refused.returncode, campaign.exists()) == (2, False)
    assert "  --set epoch: unknown key (meant: epochs?): 'epoch'; allowed:" in refused.stderr
    first = commands.submit(grid, campaign, digits_dir, *few)
    assert first.returncode == 0, first.stderr
    assert "set        activations=[relu]; ps=[0.5]; models.mlp.batch_size=64\n" in first.stdout
    wanted = load_grid(grid, SECTIONS, settings=few[1::2]).runs()
    assert done(campaign) == set(wanted.ids())
    own = commands.submit(campaign / "grid.yaml", campaign, digits_dir)
    assert "Nothing to submit: 2 of 2 runs done" in own.stdout
    shown = commands.call("hpc.calibrate", "--grid", grid, "--show", *few[:4], "--set", "hidden_sizes=[77]")
    assert "mlp 77 float32, batch 128, 1 epoch" in shown.stdout
