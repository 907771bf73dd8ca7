"""When two records of one run must be equal in every bit, and whether they are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jobs.duplicates import ALONE, SAME_MACHINE, differing, digest, must_be_equal
from jobs.files import publish
from jobs.image import Record, image
from jobs.shard import read_shard
from tests.records import ATTRIBUTES, record
from tests.specs import spec

WHOLE = {"submission": 1, "task": 0, "attempt": 0, "part": 0, "current_run": "", "schema_version": 1, **ATTRIBUTES}


def digests(folder: Path, *records: Record) -> list[int]:
    """As a reader has them. (The longest record decides the width of all of a file.)"""
    publish(folder / "shard.h5", image(list(records), WHOLE))
    shard = read_shard(folder / "shard.h5")
    return [digest(shard.runs[i], shard.history[i], shard.correct[i]) for i in range(len(records))]


@pytest.mark.parametrize("name", SAME_MACHINE)
def test_equal_bits_are_due_from_equal_machines_alone(name: str) -> None:
    assert must_be_equal(ATTRIBUTES, {**ATTRIBUTES, "host": "another", "code_commit": "another"})
    assert not must_be_equal(ATTRIBUTES, {**ATTRIBUTES, name: "another"})
    assert differing(ATTRIBUTES, {**ATTRIBUTES, name: "another"}) == [name]


def test_equal_bits_are_not_due_from_runs_that_were_trained_together() -> None:
    assert [must_be_equal({**ATTRIBUTES, "runs_together": n}, ATTRIBUTES) for n in (1, 2, 128)] == [True, False, False]
    assert "" in ALONE


CHANGES = {
    "status": {"status": "chance"},
    "test_accuracy": {"test_accuracy": 0.25},
    "test_loss": {"test_loss": np.nextafter(0.5, 1)},
    "n_correct": {"n_correct": 299},
    "n_parameters": {"n_parameters": 43},
    "history": {"history": np.linspace(0, 1 + 1e-15, 9).reshape(3, 3)},
    "bits": {"correct": np.packbits(np.arange(355) != 7)},
}


@pytest.mark.parametrize("what", CHANGES)
def test_whatever_training_decides_changes_the_digest(what: str, tmp_path: Path) -> None:
    run = spec(epochs=3)
    first, second, other = digests(tmp_path, record(run), record(run), replace(record(run), **CHANGES[what]))
    assert first == second != other


def test_times_memory_and_padding_do_not(tmp_path: Path) -> None:
    run, long = spec(epochs=3), spec(epochs=9)
    (alone,) = digests(tmp_path, record(run))
    other = record(run, wall_s=9.0, cpu_s=8.0, peak_mem_mb=7.0, finished_at_s=6.0)
    assert digests(tmp_path, other, record(long, correct=np.full(100, 255, np.uint8)))[0] == alone
