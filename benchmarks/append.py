"""The cost of writing a record: `python -m benchmarks.append`.

It compares the project's ShardWriter (new file, fsync, rename, fsync of the folder; jobs/shard.py) with a plain HDF5 file that
is held open, extended in place and flushed, with and without an fsync. Each writer has its own file. They append in alternation
in one process, because the speed of a shared disk drifts. A new part of a shard begins every 256 records, and the project's
cost is highest just before. At 1,000 records, the current part has 232.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import h5py
import numpy as np

from jobs.image import Record
from jobs.provenance import machine
from jobs.shard import ShardWriter, read_shard
from noisy.spec import RunSpec

SIZES = (10, 100, 1000)  # records before the first measured append
TRAINING_S = 60
Append = Callable[[Record], None]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.append", description=__doc__.split("\n")[0])
    parser.add_argument("--dir", type=Path, default=Path(), help="measured on this folder's file system (default: here)")
    parser.add_argument("--repeats", type=int, default=21, help="appends measured of each kind (default: %(default)s)")
    arguments = parser.parse_args()
    if not 1 <= arguments.repeats <= SIZES[1] - SIZES[0]:
        parser.error(f"--repeats: {arguments.repeats}: allowed: an integer from 1 to {SIZES[1] - SIZES[0]}")
    if not arguments.dir.is_dir():
        parser.error(f"--dir: no such folder {str(arguments.dir)!r}")
    print(f"{machine()['cpu']}, h5py {h5py.__version__}, HDF5 {h5py.version.hdf5_version}")
    print(f"ms per append, medians of n = {arguments.repeats} each, in alternation (and percent of {TRAINING_S} s of training)")
    with tempfile.TemporaryDirectory(dir=arguments.dir, prefix="append-") as folder:
        _measure(Path(folder), arguments.repeats)


def _measure(folder: Path, repeats: int) -> None:
    writers = _writers(folder)
    print(f"{'records':>8}" + "".join(f"{name:>24}" for name in writers))
    n_records = 0
    for size in SIZES:
        for number in range(n_records, size):
            for append in writers.values():
                append(_record(number))
        n_records = size + repeats
        times_s = [[_seconds(append, _record(number)) for append in writers.values()] for number in range(size, n_records)]
        middle_s = [median(column) for column in zip(*times_s, strict=True)]
        print(f"{size:8,}" + "".join(f"{1000 * s:14.2f} ({100 * s / TRAINING_S:.4f})" for s in middle_s), flush=True)


def _writers(folder: Path) -> dict[str, Append]:
    attributes = {"campaign": "benchmark"}
    sample, project = ShardWriter(folder, 1, 0, 0, attributes), ShardWriter(folder, 1, 1, 0, attributes)
    sample.append(_record(SIZES[-1]))
    (path,) = folder.iterdir()
    shard = read_shard(path)
    row = {"runs": shard.runs, "history": shard.history, "correct": shard.correct}
    return {
        "project": project.append,
        "flush": _plain(folder / "flush.h5", row, synced=False),
        "flush + fsync": _plain(folder / "fsync.h5", row, synced=True),
    }


def _plain(path: Path, row: dict[str, np.ndarray], synced: bool) -> Append:
    """The same datasets, extended by the same row each time. The arrays of the row are (1, ...)."""
    file = h5py.File(path, "w")
    for name, values in row.items():
        file.create_dataset(name, (0, *values.shape[1:]), values.dtype, maxshape=(None, *values.shape[1:]))

    def append(_: Record) -> None:
        for name, values in row.items():
            dataset = file[name]
            dataset.resize(len(dataset) + 1, axis=0)
            dataset[-1:] = values
        file.flush()
        if synced:
            os.fsync(file.id.get_vfd_handle())

    return append


def _record(number: int) -> Record:
    """15 to 20 epochs and 10,000 test images."""
    random = np.random.default_rng(number)
    spec = RunSpec("mnist", "relu", "mlp", 0.3, number, 1234, 15 + number % 6, 512, 1e-3, 0.0, hidden_sizes=(1024, 512, 256))
    return Record(
        spec.run_id,
        spec.canonical_json(),
        "ok",
        test_accuracy=0.98,
        test_loss=0.1,
        n_correct=9_800,
        n_test=10_000,
        history=random.random((3, spec.epochs)),
        correct=random.integers(0, 256, 1_250, np.uint8),
    )


def _seconds(append: Append, record: Record) -> float:
    start_s = time.perf_counter()
    append(record)
    return time.perf_counter() - start_s


if __name__ == "__main__":
    main()
