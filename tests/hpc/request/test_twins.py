"""A grid holds no training twice, under whatever values: drawn grids against every cell written down."""

import itertools
import random
import re

import numpy as np
import yaml

from hpc.request.grid import parse_grid
from hpc.request.yaml_file import GridError
from noisy.spec import RunSpec


def drawn_grid(random: random.Random) -> dict:
    """A small grid of digits, with values that are often near each other."""

    def axis(*values: object) -> list:
        return random.sample(values, random.randint(1, min(3, len(values))))

    def training() -> dict:
        axes = {
            "max_train_samples": axis(None, 1442, 1441, 100, 99),
            "batch_size": axis(1, 99, 100, 101, 1441, 1442, 1443, 5000),
            "learning_rate": axis(1, 0.3, 0.1 + 0.2, 0.30001, 1e-300, 1e300, 1e301),
            "weight_decay": axis(0, 1e-50, 0.1, 0.1 + 1e-17, 0.1 + 1e-12, 0.1 + 1e-6),
            "epochs": axis(1, 2),
        }
        return {name: axes[name] for name in random.sample(sorted(axes), random.randint(0, 3))}

    types = random.choice((["mlp"], ["cnn"], ["mlp", "cnn"]))
    ps = axis(0, 0.0, 1e-9, 1e-8, 2**-24, 0.3, 0.1 + 0.2, 0.3000001, 1, 1 - 1e-12)
    overrides = {model: training() for model in random.sample(types, random.randint(0, len(types)))}
    fixed = {"dataset": "digits", "activations": ["relu"], "repeats": 1}
    return {**fixed, "model_types": types, "ps": ps, "models": overrides, **training()}


def _as_trained(run: RunSpec) -> tuple:
    """What decides a training's numbers, written down once more."""
    images = 1442 if run.max_train_samples is None else run.max_train_samples
    p = 0 if run.p == 0 else np.float32(max(run.p, 2**-24))
    with np.errstate(over="ignore"):
        rates = np.float32(run.learning_rate), np.float32(run.weight_decay)
    return run.model_type, run.hidden_sizes, run.epochs, p, *rates, images, min(images, run.batch_size)


def test_a_grid_is_refused_if_and_only_if_it_holds_a_training_twice() -> None:
    seen = {True: 0, False: 0}
    for number in range(250):
        values = drawn_grid(random.Random(number))
        defaults: dict = {"batch_size": 128, "max_train_samples": None, "learning_rate": 0.001, "weight_decay": 0, "epochs": 5}
        cells = []
        for model in values["model_types"]:
            axes = {
                name: values["models"].get(model, {}).get(name, values.get(name, value)) for name, value in defaults.items()
            }
            axes = {name: value if isinstance(value, list) else [value] for name, value in axes.items()}
            for p, *chosen in itertools.product(values["ps"], *axes.values()):
                cells.append(RunSpec("digits", "relu", model, p, 0, 1, **dict(zip(axes, chosen, strict=True))))
        has_twins = len(set(map(_as_trained, cells))) < len(cells)
        seen[has_twins] += 1
        problems: list[str] = []
        try:
            parse_grid(yaml.safe_dump(values))
        except GridError as error:
            problems = [line for line in error.problems if ": not used: " not in line]
        assert bool(problems) == has_twins, (values, problems)
        assert all(re.search(r"\[\d\]: (the same training as .*\[\d\], |listed twice)", line) for line in problems)
        assert len(set(problems)) == len(problems)
    assert min(seen.values()) > 50, seen
