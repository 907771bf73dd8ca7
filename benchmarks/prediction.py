"""How well costs are predicted: `python -m benchmarks.prediction --data-dir DIR`, some ten minutes on a quiet core.

Short real runs on MNIST are executed by one worker. The model is fitted to some of them, and predicts the others: other batch
sizes, sample counts and epochs, and, apart from these, networks that the fit has not seen. It prints the errors of CPU seconds,
how many runs are below their 95 % bound, and the errors of memory. `--keep FILE` writes the measurements to a file, and `--from
FILE` reads them.
"""

import argparse
import json
import os
import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path

import numpy as np

from hpc.execution.local import run_locally
from hpc.planning.cost import Cost
from hpc.planning.model import Knowledge, Observation, Setting, learn
from hpc.planning.priors import estimate
from hpc.state.measured import observed
from jobs.campaign import Campaign
from jobs.files import publish
from jobs.taskfile import Task
from noisy import data
from noisy.runs import Runs
from noisy.spec import Execution, RunSpec, spec_of

# (samples, epochs) and batch sizes of the fit, and of the runs that it has not seen
FITTED, UNSEEN = ((500, 1), (2000, 2), (6000, 1)), ((1000, 1), (1500, 3), (4000, 1), (8000, 1))
BATCHES, OTHER_BATCHES = (32, 512), (64, 128, 256)
NETWORKS, OTHER_NETWORKS = ((1024, 512, 256), (256, 128)), ((512, 512), (128,), (800, 400, 200))
_RUNS_OF_WORKER = 5
ACTIVATIONS, PS = ("relu", "tanh", "sigmoid"), (0.0, 0.3, 0.9)


def main() -> None:
    """Measure, fit and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prediction", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--data-dir", default=os.environ.get("NOISY_DATA_DIR", "data"), help="holds MNIST/raw (default: %(default)s)")
    add("--share", type=float, default=1.0, help="of all runs, above 0, to 1 (default: %(default)s)")
    add("--keep", type=Path, help="write what was measured to this file")
    add("--from", dest="source", type=Path, help="measure nothing; read such a file")
    arguments = parser.parse_args()
    if not 0 < arguments.share <= 1:
        parser.error(f"--share: {arguments.share}: allowed: a number above 0, to 1")
    seen = _read(arguments.source) if arguments.source else _measured(arguments.data_dir, arguments.share)
    if arguments.keep:
        arguments.keep.write_text("".join(_line(one) for one in seen))
    print(f"{seen[0].cpu}, torch {seen[0].torch}; {len(seen)} runs")
    setting = Setting(seen[0].torch, cpu=seen[0].cpu, product_route=seen[0].product_route, host=seen[0].host)
    fitted = [one for one in seen if one.run in set(fit_runs())]
    known = learn(fitted, setting)
    groups = {"of these networks": unseen_runs(), "of networks never seen": unseen_networks()}
    print(f"fitted to {len(fitted)} runs of {len({one.run.shape() for one in fitted})} shapes\n")
    for name, runs in groups.items():
        some = [one for one in seen if one.run in set(runs)]
        for model_type in ("mlp", "cnn"):
            _print_errors(f"{model_type}, shapes {name}", [one for one in some if one.run.model_type == model_type], known)
    _print_errors("all shapes of these networks", [one for one in seen if one.run in set(unseen_runs())], known)
    _print_errors("all shapes that the fit has not seen", [one for one in seen if one not in fitted], known)
    _print_memory(seen, setting)


def fit_runs() -> list[RunSpec]:
    """The runs to which the model is fitted."""
    shapes = [_run("mlp", n, e, b, sizes) for sizes, b, (n, e) in product(NETWORKS, BATCHES, FITTED)]
    return [*shapes, *(_run("cnn", n, e, b) for b, (n, e) in product(BATCHES, FITTED[:2])), _run("cnn", 6000, 1, 128)]


def unseen_runs() -> list[RunSpec]:
    """Other batch sizes, sample counts and epochs of the same networks."""
    batches = (*OTHER_BATCHES, 384)
    shapes = [_run("mlp", n, e, b, sizes) for sizes, b, (n, e) in product(NETWORKS, batches, UNSEEN)]
    return shapes + [_run("cnn", n, e, b) for b, (n, e) in product(OTHER_BATCHES, UNSEEN)]


def unseen_networks() -> list[RunSpec]:
    """Networks of other sizes."""
    return [_run("mlp", n, e, b, sizes) for sizes, b, (n, e) in product(OTHER_NETWORKS, OTHER_BATCHES[:2], UNSEEN[:3])]


def _run(model_type: str, samples: int, epochs: int, batch_size: int, sizes: tuple[int, ...] | None = None) -> RunSpec:
    """A run whose activation and p depend on its other numbers, so that they vary."""
    turn = samples // 500 + epochs + batch_size // 32
    activation, p = ACTIVATIONS[turn % len(ACTIVATIONS)], PS[turn // 3 % len(PS)]
    return RunSpec("mnist", activation, model_type, p, 0, 1, epochs, batch_size, 1e-3, 0, sizes, samples)


def _measured(data_dir: str, share: float) -> list[Observation]:
    """Execute all runs with one worker, in shuffled order."""
    data.stage("mnist", data_dir)
    runs = [*fit_runs(), *unseen_runs(), *unseen_networks()]
    random.Random(1).shuffle(runs)
    runs = runs[: max(1, round(share * len(runs)))]
    with tempfile.TemporaryDirectory(prefix="prediction-") as folder:
        campaign = Campaign(Path(folder) / "campaign")
        campaign.log(1, 0).parent.mkdir(parents=True)
        campaign.shards.mkdir()
        parts = [runs[i : i + _RUNS_OF_WORKER] for i in range(0, len(runs), _RUNS_OF_WORKER)]
        place = str(Path(data_dir).resolve())
        tasks = (Task(i, "benchmark", "", place, Execution(), Runs.of(part)).line() for i, part in enumerate(parts))
        publish(campaign.tasks(1), tasks)
        problems = run_locally(campaign, 1, 1, Execution(), lambda: None)
        assert not problems, problems
        return observed(Path(folder))


def _print_errors(name: str, some: Sequence[Observation], known: Knowledge) -> None:
    if not some:
        return
    costs = [estimate(one.run, Execution(), known) for one in some]
    expected_s, high_s, low_s = (np.array([pick(cost) for cost in costs]) for pick in (_middle, _high, _low))
    measured_s = np.array([one.cpu_s for one in some])
    errors = np.abs(expected_s / measured_s - 1)
    below, within = np.mean(measured_s <= high_s), np.mean((measured_s <= high_s) & (measured_s >= low_s))
    wall_below = np.mean([one.wall_s <= cost.wall_s.high for one, cost in zip(some, costs, strict=True)])
    print(f"{name}: n = {len(some)} shapes of {measured_s.min():.2f} to {measured_s.max():.1f} CPU s")
    print(
        f"  error of CPU seconds: median {np.median(errors):.1%}, p90 {np.quantile(errors, 0.9):.1%}, most {errors.max():.1%}"
    )
    print(f"  below the 95 % bound: {below:.1%} (wall {wall_below:.1%}); within both bounds, 90 %: {within:.1%}", flush=True)


def _print_memory(seen: Sequence[Observation], setting: Setting) -> None:
    """Predict the memory of half of the workers from the other half."""
    workers = {one.worker: [other for other in seen if other.worker == one.worker] for one in seen}
    halves = list(workers.values())[::2], list(workers.values())[1::2]
    known = learn([one for ones in halves[0] for one in ones], setting)
    errors, above, n_runs = list[float](), 0, 0
    for ones in halves[1]:
        peak_mb = max(one.peak_mem_mb for one in ones)
        costs = [estimate(one.run, Execution(), known) for one in ones]
        # A forked worker has less of the libraries' memory than one that loaded them itself.
        shared_mb = ones[0].start_mb - costs[0].shared_mb
        errors.append(abs((max(cost.mem_mb.middle for cost in costs) + shared_mb) / peak_mb - 1))
        n_runs += len(ones)
        above += peak_mb > max(cost.mem_mb.high for cost in costs) + shared_mb
    if errors:
        print(f"memory of {len(errors)} workers with {n_runs} runs, from {len(halves[0])} other workers:")
        print(f"  error median {np.median(errors):.1%}, most {max(errors):.1%}; {above} workers above their request")


def _middle(cost: Cost) -> float:
    return cost.cpu_s.middle


def _high(cost: Cost) -> float:
    return cost.cpu_s.high


def _low(cost: Cost) -> float:
    return cost.cpu_s.low


def _line(one: Observation) -> str:
    return json.dumps({**asdict(one), "run": one.run.canonical_json()}) + "\n"


def _read(path: Path) -> list[Observation]:
    return list(_observations(path))


def _observations(path: Path) -> Iterator[Observation]:
    for line in path.read_text().splitlines():
        fields = json.loads(line)
        yield Observation(**{**fields, "run": spec_of(fields["run"])})


if __name__ == "__main__":
    main()
