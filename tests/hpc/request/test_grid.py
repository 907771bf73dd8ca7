"""grid.yaml: what is valid is expanded, what is not is answered with every problem at once."""

import itertools
import random
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from hpc import submit
from hpc.console import count
from hpc.execution.choice import SECTIONS
from hpc.request.grid import load_grid, parse_grid
from hpc.request.yaml_file import GridError
from noisy.spec import Execution

ROOT = Path(__file__).resolve().parents[3]


def test_defaults() -> None:
    grid = parse_grid("{}")
    assert grid.activations == ("relu", "tanh", "sigmoid")
    assert grid.ps == (0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
    assert (grid.dataset, grid.seed, grid.repeats, grid.max_workers) == ("mnist", 1234, 5, None)
    assert (str(grid.output_dir), str(grid.data_dir)) == ("results", "data")
    assert grid.execution == Execution(cpu_threads=1, data_workers=0, use_cuda=False, runs_together=1)
    run = next(grid.cells())
    assert (run.model_type, run.epochs, run.batch_size, run.hidden_sizes) == ("mlp", 5, 128, (256, 128))
    assert (run.learning_rate, run.weight_decay, run.max_train_samples) == (0.001, 0.0, None)


def test_the_reliable_campaign_has_2400_runs() -> None:
    grid = load_grid(ROOT / "grid.yaml", SECTIONS)
    runs = list(grid.runs())
    assert grid.n_runs == len(runs) == len({run.run_id for run in runs}) == 2400
    assert {(r.model_type, r.hidden_sizes, r.epochs, r.batch_size) for r in runs} == {
        ("mlp", (1024, 512, 256), 15, 512),
        ("cnn", None, 20, 256),
    }


@pytest.mark.parametrize("name", ["quickstart", "mnist_small", "mnist_check"])
def test_the_shipped_grids_are_valid(name: str) -> None:
    assert load_grid(ROOT / "grids" / f"{name}.yaml", SECTIONS).n_runs > 0


def test_every_cell_has_its_first_repeat_before_any_second() -> None:
    runs = list(load_grid(ROOT / "grid.yaml", SECTIONS).runs())
    assert [run.repeat for run in runs] == sorted(run.repeat for run in runs)


def test_runs_are_the_repeats_of_every_cell_each_under_its_own_name() -> None:
    """The texts are put together by cell; the slow way is to build every RunSpec."""
    grid = parse_grid("{model_types: [mlp, cnn], ps: [0, 0.25, 1], repeats: 11, seed: 0, learning_rate: [0.001, 1.0e-7]}")
    slow = [replace(cell, repeat=repeat) for repeat in range(grid.repeats) for cell in grid.cells()]
    assert list(grid.runs()) == slow
    assert grid.runs().ids() == [run.run_id for run in slow]
    assert list(grid.runs().texts()) == [run.canonical_json() for run in slow]
    assert len(slow) == grid.n_runs


def test_any_training_parameter_may_be_an_axis() -> None:
    grid = parse_grid(
        """
        dataset: digits
        activations: [relu]
        model_types: [mlp, cnn]
        ps: [0, 0.5]
        repeats: 2
        epochs: [1, 2]
        learning_rate: [0.1, 0.01, 0.001]
        models:
          mlp: {hidden_sizes: [[8], [16, 8]], epochs: 3}
          cnn: {max_train_samples: [null, 100], precision: [float32, bfloat16]}
        """
    )
    runs = list(grid.runs())
    assert grid.n_runs == len(set(runs)) == 2 * 2 * (3 * 2 + 2 * 3 * 2 * 2)
    assert {run.precision for run in runs if run.model_type == "mlp"} == {"float32"}
    assert {run.precision for run in runs if run.model_type == "cnn"} == {"float32", "bfloat16"}
    assert {run.hidden_sizes for run in runs if run.model_type == "mlp"} == {(8,), (16, 8)}
    assert {run.epochs for run in runs if run.model_type == "mlp"} == {3}
    assert {(run.epochs, run.max_train_samples) for run in runs if run.model_type == "cnn"} == set(
        itertools.product((1, 2), (None, 100))
    )


def test_ids_do_not_depend_on_the_order_of_keys_and_axes_nor_on_other_values() -> None:
    values = yaml.safe_load((ROOT / "grid.yaml").read_text())
    ids = set(parse_grid(yaml.safe_dump(values), SECTIONS).runs().ids())
    shuffled = list(values.items())
    random.Random(1).shuffle(shuffled)
    reordered = {key: value[::-1] if isinstance(value, list) else value for key, value in shuffled}
    assert set(parse_grid(yaml.safe_dump(reordered, sort_keys=False), SECTIONS).runs().ids()) == ids
    extended = {**values, "ps": [*values["ps"], 1.0], "max_workers": 3, "cpu_threads_per_worker": 2, "output_dir": "x"}
    assert set(parse_grid(yaml.safe_dump(extended), SECTIONS).runs().ids()) > ids


BROKEN = {
    "misspelt key": ("activation: [relu]", "activation: unknown key (meant: activations?): 'activation'; allowed: output_dir"),
    "misspelt model key": ("models: {mlp: {epoch: 3}}", "models.mlp.epoch: unknown key (meant: epochs?)"),
    "unknown model": ("models: {rnn: {}}", "models.rnn: unknown key: 'rnn'; allowed: mlp, cnn"),
    "does not apply": ("model_types: [cnn]\nmodels: {cnn: {hidden_sizes: [3]}}", "models.cnn.hidden_sizes: unknown key"),
    "key given twice": ("seed: 1\nseed: 2", "line 2: key given twice: 'seed' (first in line 1)"),
    "inner key given twice": ("models:\n  mlp: {epochs: 1, epochs: 2}", "line 2: key given twice: 'epochs'"),
    "p above 1": ("ps: [0.5, 1.5]", "ps[1]: not possible: 1.5; allowed: a number from 0 to 1"),
    "p below 0": ("ps: [-0.1]", "ps[0]: not possible: -0.1"),
    "p not a number": ("ps: [.nan]", "ps[0]: not possible: nan"),
    "value listed twice": ("ps: [0, 0.5, 0.0]", "ps[2]: listed twice: 0.0; allowed: each value once"),
    "p and its rounding error": ("ps: [0.3, 0.30000000000000004]", "ps[1]: the same training as ps[0], 0.3: 0.3000"),
    "p too small to differ": ("ps: [0, 1.0e-9, 1.0e-10]", "ps[2]: the same training as ps[1], 1e-09: 1e-10; allowed: "),
    "learning rates that are one": (
        "learning_rate: [0.001, 0.0010000000001]", "learning_rate[1]: the same training as learning_rate[0], 0.001"
    ),
    "all samples, named": (
        "dataset: digits\nmax_train_samples: [null, 1442]",
        "max_train_samples[1]: the same training as max_train_samples[0], None: 1442; allowed: each number of images once",
    ),
    "two batches of all": (
        "dataset: digits\nbatch_size: [1442, 128, 5000]",
        "batch_size[2]: the same training as batch_size[0], 1442: 5000; allowed: at most one value of 1,442 or more, because",
    ),
    "two batches of all, for one model": (
        "models: {cnn: {max_train_samples: 100}}\nmodel_types: [mlp, cnn]\nbatch_size: [100, 128]",
        "batch_size[1]: the same training as batch_size[0], 100: 128; allowed: at most one value of 100 or more",
    ),
    "two batches of all in an override": (
        "models: {mlp: {batch_size: [60000, 70000]}}", "models.mlp.batch_size[1]: the same training as models.mlp.batch_size[0]"
    ),
    "text number": ("learning_rate: 1e-3", "allowed: a number above 0 (YAML reads 1e-3 as text: write 0.001)"),
    "small text number": ("learning_rate: 2e-7", "write 2.0e-07"),
    "off": ("activations: [relu, off]", "activations[1]: not possible: False; allowed: one of relu, tanh, sigmoid"),
    "unknown activation": ("activations: [selu]", "activations[0]: not possible: 'selu'; allowed: one of relu"),
    "unknown dataset": ("dataset: cifar10", "'cifar10'; allowed: one of mnist, fashion_mnist, kmnist, digits"),
    "scalar for an axis": ("ps: 0.5", "ps: not a list of values: 0.5; allowed: a list with at least one value"),
    "empty axis": ("activations: []", "activations: not a list of values: []"),
    "no number of samples": ("max_train_samples: []", "max_train_samples: not a list of values: []; allowed: a list with at"),
    "no repeats": ("repeats: 0", "repeats: not possible: 0; allowed: an integer from 1"),
    "fractional integer": ("epochs: 2.5", "epochs: not possible: 2.5; allowed: an integer from 1"),
    "true for a number": ("batch_size: true", "batch_size: not possible: True"),
    "text for true": ("use_cuda: 'yes'", "use_cuda: not possible: 'yes'; allowed: true or false"),
    "null": ("seed: null", "seed: not possible: None; allowed: an integer from 0 to 2**63 - 1"),
    "negative seed": ("seed: -1", "seed: not possible: -1"),
    "unknown precision": ("precision: half", "precision: not possible: 'half'; allowed: one of float32, bfloat16"),
    "layer of no units": ("hidden_sizes: [[8], [0]]", "hidden_sizes[1]: not possible: [0]"),
    "too many samples": ("dataset: digits\nmax_train_samples: 60000", "60000; allowed: null or an integer from 1 to 1442"),
    "models not a mapping": ("models: [mlp]", "models: not a mapping: ['mlp']; allowed: key: value pairs with"),
    "slurm not a mapping": ("slurm: gpu", "slurm: not a mapping: 'gpu'"),
    "slurm option that is no name": ("slurm: {'a b; rm -rf': 1}", "slurm: not an option's name: 'a b; rm -rf'"),
    "slurm value of 2 lines": ('slurm: {partition: "x\\nrm -rf ~"}', "slurm.partition: not possible: 'x\\nrm -rf ~'"),
    "slurm value with an escape": ('slurm: {comment: "\\e[2J"}', "slurm.comment: not possible: '\\x1b[2J'"),
    "slurm setup": ("slurm: {setup: touch owned}", "slurm.setup: not possible: 'touch owned'; allowed: a list of shell"),
    "slurm wrap": ("slurm: {wrap: touch owned}", "slurm: an option that this program sets: 'wrap'; allowed: any"),
    "slurm array": ("slurm: {array: 0-9999}", "slurm: an option that this program sets: 'array'"),
    "slurm output, abbreviated": ("slurm: {outp: /etc/passwd}", "slurm: an option that this program sets: 'outp'"),
    "too many runs": ("repeats: 1000000000", "the grid: 21,000,000,000 runs; allowed: at most 10,000,000"),
    "not YAML": ("ps: [0.1", "line 2, column 1: not YAML"),
    "tabs": ("models:\n\tmlp: {}", "line 2, column 1: not YAML"),
    "not a mapping": ("- relu", "the file: not a mapping"),
    "empty": ("", "the file: not a mapping"),
    "code": ("seed: !!python/object/apply:os.system ['touch owned']", "line 1, column 7: a tag: '!!python/object/apply:"),
    "code, made anew": ("seed: !!python/object/new:os.system ['touch owned']", "line 1, column 7: a tag: "),
    "code, a module": ("seed: !!python/module:antigravity", "line 1, column 7: a tag: "),
    "aliases": ("epochs: &e [1, 2]\nbatch_size: *e", "line 1, column 9: an anchor: '&e'; allowed: values written out"),
    "a billion laughs": (
        "a0: &a0 [lol]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)) + "seed: *a9",
        "line 1, column 5: an anchor: '&a0'",
    ),
    "a billion merges": (
        "a0: &a0 {b: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 40)),
        "line 1, column 5: an anchor: '&a0'",
    ),
    "an alias of itself": ("ps: &a [*a]", "line 1, column 5: an anchor: '&a'"),
    "a huge file": ("#" * 200_001, "more than 200,000 bytes; allowed: the path of a grid file"),
    "a key of two lines": ('"a\\nb": 1', "'a\\nb': unknown key: 'a\\nb'"),
    "home of nobody": ("output_dir: ~no-such-user/x", "output_dir: not possible: '~no-such-user/x'"),
    "path of two lines": ('data_dir: "a\\nb"', "data_dir: not possible: 'a\\nb'; allowed: the path of a folder"),
    "nested without end": ("[" * 700, "the file: not YAML"),
    "impossible date": ("seed: 2024-13-45", "the file: not YAML"),
    "octal": ("epochs: 010", "epochs: not possible: '010'; allowed: an integer from 1"),
    "sexagesimal": ("batch_size: 2:08", "batch_size: not possible: '2:08'"),
    "a number of 6,000 digits": ("seed: " + "9" * 6000, "the file: not YAML"),
    "odd tags": ('epochs: !!int ""', "line 1, column 9: a tag: '!!int'; allowed: a plain value"),
    "sexagesimal by a tag": ('ps: [0]\nepochs: !!int "1:30"', "line 2, column 9: a tag: '!!int'"),
    "octal by a tag": ('epochs: !!int "010"', "line 1, column 9: a tag: '!!int'"),
    "a tag of its own": ("epochs: !n 5", "line 1, column 9: a tag: '!n'"),
    "a tag in full": ("epochs: !<tag:yaml.org,2002:str> 5", "line 1, column 9: a tag: '!!str'"),
    "a tag of a list": ("hidden_sizes: !!set {8, 16}", "line 1, column 15: a tag: '!!set'"),
    "octal in quotes": ('seed: 1\nepochs: "010"', "line 2: epochs: not possible: '010'"),
    "octal of Python": ("epochs: 0o10", "line 1: epochs: not possible: '0o10'"),
    "hexadecimal": ("epochs: 0x10", "line 1: epochs: not possible: '0x10'"),
    "binary": ("epochs: 0b11", "line 1: epochs: not possible: '0b11'"),
    "with underscores": ("epochs: 1_000", "line 1: epochs: not possible: '1_000'"),
    "an anchor for a number": ("seed: &1 2", "line 1, column 7: an anchor: '&1'; allowed: values written out"),
    "a merge that hides a key": ("models:\n  mlp: {<<: {epochs: 3}, epochs: 5}", "line 2, column 9: a merge: '<<'"),
    "an alias of nothing": ("seed: 1\nepochs: *e", "line 2, column 9: not YAML: found undefined alias"),
    "two documents": ("seed: 1\n---\nseed: 2", "line 2, column 1: not YAML: but found another document"),
    "a model that is not run": ("model_types: [mlp]\nmodels: {cnn: {epochs: 3}}", "line 2: models.cnn: not used: model_types"),
    "layers that are not run": ("model_types: [cnn]\nhidden_sizes: [8]", "line 2: hidden_sizes: not used: each model type"),
    "a value below another": ("epochs: 3\nmodels:\n  mlp: {epochs: 5}", "line 1: epochs: not used: each model type"),
    "a key that looks alike": ("\u0435pochs: 3", "unknown key (meant: epochs?): '\\u0435pochs' (with U+0435 CYRILLIC SMALL"),
    "a value that looks alike": ("activations: [r\u0435lu]", "'r\\u0435lu' (with U+0435 CYRILLIC SMALL LETTER IE); allowed"),
    "a space that is not seen": ('seed: "1\u200b"', "'1\\u200b' (with U+200B ZERO WIDTH SPACE)"),
    "a digit of another script": ("epochs: \u0663", "'\\u0663' (with U+0663 ARABIC-INDIC DIGIT THREE)"),
    "a minus that is none": ("seed: \u22125", "'\\u22125' (with U+2212 MINUS SIGN)"),
    "unprintable path": ('output_dir: "a\\ud800"', "output_dir: not possible"),
    "output_dir empty": ("output_dir: ''", "output_dir: not possible: ''; allowed: the path of a folder"),
}  # fmt: skip


@pytest.mark.parametrize("text, answer", BROKEN.values(), ids=BROKEN)
def test_a_broken_grid_is_answered(text: str, answer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text(text + "\n")
    with pytest.raises(SystemExit) as stop:
        submit.main(["--grid", str(path), "--output-dir", str(tmp_path / "out"), "--yes"])
    printed = capsys.readouterr()
    assert stop.value.code == 2
    assert printed.out == ""
    first, *problems = printed.err.splitlines()
    assert first == f"error: --grid {path}: {count(len(problems), 'problem')}"
    assert len(problems) == 1 or "&" in text
    assert answer in problems[0]
    assert [found.name for found in tmp_path.iterdir()] == ["grid.yaml"]


def test_problems_are_in_the_order_of_the_file_and_those_without_a_line_last() -> None:
    text = (
        "models:\n  mlp: {epochs: 0}\nps: [2]\nactivations:\n- relu\n- rleu\nsed: 1\nps: [0]\nseed: -1\n"
        + "\n" * 100
        + "use_cuda: 1\n"
    )
    with pytest.raises(GridError) as answer:
        parse_grid(text, settings=["repeats=0"])
    places = [problem.partition(":")[0] for problem in answer.value.problems]
    assert places == ["line 2", "line 6", "line 7", "line 8", "line 9", "line 110", "--set repeats"]
    assert str(answer.value).splitlines() == answer.value.problems


def test_all_problems_are_answered_at_once() -> None:
    one_line = [text for text, _ in BROKEN.values() if text.count("\n") == 0 and ": " in text and "not YAML" not in _]
    keys = {}
    for text in one_line:
        keys.setdefault(text.split(":")[0], text)
    with pytest.raises(GridError) as answer:
        parse_grid("\n".join(text for key, text in keys.items() if text != "repeats: 1000000000"))
    assert len(answer.value.problems) == len(keys) > 12


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_file_that_cannot_be_read_is_answered(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "grid.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(GridError, match=r"cannot be read: No such file|byte 0: not UTF-8 text"):
        load_grid(path, SECTIONS)
