"""Runs of one shape on a GPU, alone and together: `python -m benchmarks.together`.

Prints runs per hour for each number of runs trained together, and how long the reliable campaign (grid.yaml) takes at the best
of them on one card. `--cpu` measures the same computation where it is not meant to run, on a sixtieth of the images.
"""

import argparse
import os
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch

from hpc.execution.choice import SECTIONS
from hpc.request.grid import load_grid
from jobs.execute import groups_of
from noisy import data
from noisy.spec import Execution, RunSpec
from noisy.together import train_together

_GRID = Path(__file__).resolve().parent.parent / "grid.yaml"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.together", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--data-dir", default=os.environ.get("NOISY_DATA_DIR", "data"), help="holds MNIST/raw (default: %(default)s)")
    add("--sizes", type=int, nargs="+", default=[1, 8, 32, 128], help="runs trained together, 1 to 1200 (default: %(default)s)")
    add("--repeats", type=int, default=3, help="measurements of each, in alternation (default: %(default)s)")
    add("--data-workers", type=int, default=2, help="threads that draw noise ahead (default: %(default)s)")
    add("--precision", choices=("float32", "bfloat16"), default="float32")
    add("--cpu", action="store_true", help="on the CPU, on a sixtieth of the images")
    options = parser.parse_args()
    if not options.cpu and not torch.cuda.is_available():
        parser.error("no GPU here; --cpu measures the same computation on the CPU")
    if options.repeats < 1 or not all(1 <= size <= 1200 for size in options.sizes):
        parser.error(f"--repeats {options.repeats} --sizes {options.sizes}: allowed: integers of at least 1, sizes up to 1200")
    try:
        mnist = data.stage("mnist", options.data_dir)
    except data.DataError as error:
        parser.error(str(error))
    if options.cpu:
        mnist = replace(mnist, test_images=mnist.test_images[:167], test_labels=mnist.test_labels[:167])
    execution = Execution(data_workers=options.data_workers, use_cuda=not options.cpu)
    place = "CPU, 1 thread" if options.cpu else torch.cuda.get_device_name()
    print(f"{place}, torch {torch.__version__}, {options.precision}; medians of n = {options.repeats} in alternation")
    print(f"{'':34}{'together':>9}{'s an epoch':>12}{'runs an hour':>14}{'gain':>7}{'memory, GB':>12}")
    runs = list(load_grid(_GRID, SECTIONS).runs())
    campaign_s = 0.0
    for shape in groups_of(runs, len(runs)):
        seconds = _measure([replace(run, precision=options.precision) for run in shape], options, mnist, execution)
        run_s = {size: one * shape[0].epochs / size for size, (one, _) in seconds.items()}
        for size, (epoch_s, memory_gb) in seconds.items():
            gain = run_s[min(run_s)] / run_s[size]
            name = f"{shape[0].model_type} {shape[0].hidden_sizes or ''}, batch {shape[0].batch_size}"
            print(f"{name:34}{size:9}{epoch_s:12.2f}{3600 / run_s[size]:14.0f}{gain:7.1f}{memory_gb:12.1f}", flush=True)
        campaign_s += len(shape) * min(run_s.values())
    print(f"the reliable campaign of {len(runs)} runs on this device: {campaign_s / 3600:.1f} h")


def _measure(
    shape: list[RunSpec], options: argparse.Namespace, mnist: data.Data, execution: Execution
) -> dict[int, tuple[float, float]]:
    """Number of runs together -> seconds of an epoch on all images, and GB of the device at most."""
    n_images = 1_000 if options.cpu else None
    found: dict[int, list[tuple[float, float]]] = {size: [] for size in options.sizes}
    for i in range(options.repeats):
        for size, measured in found.items():
            runs = [replace(run, max_train_samples=n_images) for run in shape[:size]]
            warm_up = (1,) if i == 0 else ()  # not counted: libraries load their kernels
            *_, short, long = (_seconds([replace(run, epochs=n) for run in runs], mnist, execution) for n in (*warm_up, 1, 3))
            memory_gb = 0.0 if options.cpu else torch.cuda.max_memory_allocated() / 1e9
            measured.append(((long - short) / 2 * 60_000 / runs[0].n_train_samples(), memory_gb))  # start-up cancels
    return {size: (median(s for s, _ in measured), max(gb for _, gb in measured)) for size, measured in found.items()}


def _seconds(runs: list[RunSpec], mnist: data.Data, execution: Execution) -> float:
    if execution.use_cuda:
        torch.cuda.reset_peak_memory_stats()
    start_s = time.perf_counter()
    train_together(runs, mnist, execution)
    return time.perf_counter() - start_s


if __name__ == "__main__":
    main()
