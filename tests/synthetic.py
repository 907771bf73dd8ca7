"""Large campaigns of invented numbers that look like real ones: real manifests and shards, no training."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from jobs.campaign import Campaign
from jobs.image import Record
from jobs.manifest import write_manifest
from jobs.shard import ShardWriter
from noisy.runs import Runs
from noisy.spec import DATASETS, RunSpec
from tests.records import ATTRIBUTES

CHANCE = 0.1135
_LIMIT = {"relu": 0.93, "tanh": 0.9, "sigmoid": 0.86}  # p from which runs collapse
_GRID = "# invented\ndataset: mnist\n"


def reliable(repeats: int = 40, epochs: int = 15, model_types: Sequence[str] = ("mlp", "cnn")) -> list[RunSpec]:
    """The runs of grid.yaml, or of one like it: 3 activations x 10 p x model types x repeats."""
    return [
        RunSpec("mnist", activation, model_type, p / 10, repeat, 1234, epochs, 512, 0.001, 0.0, sizes)
        for model_type in model_types
        for sizes in [(1024, 512, 256) if model_type == "mlp" else None]
        for activation in ("relu", "tanh", "sigmoid")
        for p in range(10)
        for repeat in range(repeats)
    ]


def campaign(
    folder: Path, runs: Sequence[RunSpec], is_done: Callable[[int], bool] = lambda i: True, seed: int = 0, a_shard: int = 240
) -> Campaign:
    """A campaign in a new folder, in which the runs are done for whose place `is_done` is true."""
    made = Campaign(folder)
    folder.mkdir(parents=True)
    (folder / "grid.yaml").write_text(_GRID)
    header = write_manifest(made.manifest, Runs.of(runs), "0123456789abcdef0123456789abcdef01234567")
    add(made, header.campaign, [(i, run) for i, run in enumerate(runs) if is_done(i)], seed, a_shard)
    return made


def add(made: Campaign, campaign_id: str, runs: Sequence[tuple[int, RunSpec]], seed: int = 0, a_shard: int = 240) -> None:
    """Write shards with records of some more runs. runs: with their places in the manifest, which decide their numbers."""
    made.shards.mkdir(exist_ok=True)
    for start in range(0, len(runs), a_shard):
        some = runs[start : start + a_shard]
        host = {"campaign": campaign_id, "host": f"node{some[0][0] % 3 + 1}", "cpu": "A Processor", "job": f"12_{some[0][0]}"}
        writer = ShardWriter(made.shards, 1, some[0][0], 0, ATTRIBUTES | host)
        writer._publish([_record(run, np.random.default_rng([seed, i])) for i, run in some], "")


def _record(run: RunSpec, rng: np.random.Generator) -> Record:
    """A run as MNIST gives it: flat, then a knee, then a cliff, at which some runs stay at chance."""
    n_test = DATASETS[run.dataset].n_test
    limit = _LIMIT[run.activation] + (0.02 if run.model_type == "cnn" else 0)
    at_chance = rng.random() < 1 / (1 + np.exp(-(run.p - limit) / 0.02)) - 1e-4
    best = (
        (0.992 if run.model_type == "cnn" else 0.981)
        - 0.25 * run.p**8
        - {"relu": 0, "tanh": 0.02, "sigmoid": 0.06}[run.activation] * run.p
    )
    accuracy = CHANCE if at_chance else float(np.clip(best + rng.normal(0, 0.001 + 0.03 * run.p**10), 0, 1))
    n_correct = round(accuracy * n_test)
    bits = rng.permutation(n_test) < n_correct
    steps = np.arange(1, run.epochs + 1)
    curve = (
        np.full(run.epochs, CHANCE) if at_chance else n_correct / n_test - 0.2 * (np.exp(-steps / 3) - np.exp(-run.epochs / 3))
    )
    cpu_s = float(rng.gamma(40, 2))
    return Record(
        run.run_id, run.canonical_json(), "chance" if at_chance else "ok", "", n_correct / n_test, 2.3 * (1 - accuracy),
        n_correct,
        n_test, 670_000, 1.02 * cpu_s, cpu_s, 420.0 + 10 * rng.random(), 1.79e9 + 60 * rng.random(),
        np.stack([2 * (1 - curve), 2 * (1 - curve), curve]), np.packbits(bits),
    )  # fmt: skip
