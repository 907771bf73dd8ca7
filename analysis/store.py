"""results.h5: the merged campaign, one array a column, with named dimensions and units."""

import io
import json
from dataclasses import asdict

import h5py
import numpy as np
import pandas as pd

from analysis.merge import Merged
from jobs.shard import HISTORY, SCHEMA_VERSION

_UNITS = {
    "wall_s": "s",
    "cpu_s": "s",
    "peak_mem_mb": "10**6 bytes",
    "finished_at_s": "seconds since 1970-01-01",
    "test_loss": "nat",
    "test_accuracy": "1",
}


def results_image(merged: Merged) -> bytes:
    """The bytes of results.h5.

    Dimensions run, epoch (counted from 1) and byte are HDF5 dimension scales, which h5netcdf and xarray know. Columns of
    `Merged.runs` are 1-D arrays over run; `history_*` float64 (run, epoch); `correct` uint8 (run, byte), numpy.packbits.
    """
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        file.attrs.update(
            schema_version=SCHEMA_VERSION, campaign=merged.header.campaign, manifest=json.dumps(asdict(merged.header))
        )
        scales = {
            "run": np.arange(len(merged.runs)),
            "epoch": np.arange(1, merged.history.shape[2] + 1),
            "byte": np.arange(merged.correct.shape[-1]),
        }
        for name, values in scales.items():
            file.create_dataset(name, data=values).make_scale(name)
        for name, column in merged.runs.items():
            _add(file, name, _plain(column), ("run",))
        for i, name in enumerate(HISTORY):
            _add(file, f"history_{name}", merged.history[:, i], ("run", "epoch"), unit=_UNITS.get(name, "nat"))
        _add(file, "correct", merged.correct, ("run", "byte"))
    return memory.getvalue()


def _add(file: h5py.File, name: str, values: np.ndarray, dimensions: tuple[str, ...], unit: str = "") -> None:
    dataset = file.create_dataset(name, data=values)
    for axis, dimension in enumerate(dimensions):
        dataset.dims[axis].attach_scale(file[dimension])
    if unit := unit or _UNITS.get(name, ""):
        dataset.attrs["units"] = unit


def _plain(column: pd.Series) -> np.ndarray:
    """Numbers as they are; anything else as fixed-length UTF-8 (empty where there is no value)."""
    if column.dtype.kind in "iuf":
        return column.to_numpy()
    texts = [b"" if pd.isna(value) else str(value).encode() for value in column]
    return np.array(texts, dtype=f"S{max([1, *map(len, texts)])}")
