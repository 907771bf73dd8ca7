"""compare_cells: which cells are compared, and each number against scipy or by hand."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.bits import open_bits
from analysis.columns import COMPARISONS
from analysis.comparisons import UnknownReference, compare_cells
from analysis.merge import merge
from analysis.planned import Planned, cells_of
from analysis.statistics import summarise
from jobs.campaign import Campaign
from jobs.manifest import Header, write_manifest
from noisy.runs import Runs
from noisy.spec import RunSpec
from tests.records import record, write_shard
from tests.specs import spec

N_TEST = 10_000


def tables(runs: list[RunSpec], outcome: Callable[[RunSpec], tuple[str, int]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """per_run and summary of runs, from their status and number of correct test images."""
    planned = Runs.of(runs)
    columns = Planned(Header("c0ffee", "", "", 0.0) if False else None, planned, cells_of(planned)).columns()  # type: ignore[arg-type]
    status, n_correct = zip(*map(outcome, runs), strict=True)
    numbers = {"n_correct": n_correct, "test_accuracy": np.array(n_correct) / N_TEST, "n_test": N_TEST}
    per_run = pd.DataFrame({**columns, "status": status, **numbers, "test_loss": 0.1, "cpu_s": 1.0})
    return per_run, summarise(per_run, planned.cell, cells_of(planned))


def ok(run: RunSpec) -> tuple[str, int]:
    """Around 0.9, different for each run."""
    return "ok", 9_000 + int(run.run_id[:4], 16) % 500
