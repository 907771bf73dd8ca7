"""The layout of a shard: a file of each version is kept here and read for ever; docs/shard.md describes the present one."""

import re
from pathlib import Path

import numpy as np
import pytest

from jobs.image import SCHEMA_VERSION, no_runs
from jobs.shard import read_shard
from tests import commands

KEPT = sorted(Path(__file__).parent.glob("schema_*.h5"))


def test_there_is_a_file_of_every_version() -> None:
    assert [path.name for path in KEPT] == [f"schema_{version}.h5" for version in range(1, SCHEMA_VERSION + 1)]


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_a_shard_of_an_earlier_day_is_read(path: Path) -> None:
    shard = read_shard(path)
    assert shard.damaged == ()
    named = {"campaign": "c0ffee", "submission": 1, "task": 2, "attempt": 0, "part": 0, "current_run": "f" * 16}
    assert {name: shard.attributes[name] for name in named} == named
    found = {name: shard.runs[name].tolist() for name in ("run_id", "status", "message", "n_correct", "n_test", "n_parameters")}
    assert found == {
        "run_id": [b"d59119a4fe4413fa", b"73a084b4900655ec", b"9ab5fc92ab290bfe"],
        "status": [b"ok", b"failed", b"chance"],
        "message": [b"", "ValueError: näh".encode(), b""],
        "n_correct": [200, 0, 36],
        "n_test": [355, 0, 355],
        "n_parameters": [42, 0, 42],
    }
    np.testing.assert_array_equal(shard.runs["test_accuracy"], [200 / 355, np.nan, 36 / 355])
    np.testing.assert_array_equal(shard.history[0, 2], [0.75, 0.875, 1.0])
    assert np.isnan(shard.history[1]).all() and np.isnan(shard.history[2, :, 2]).all()
    assert np.unpackbits(shard.correct, axis=1).sum(axis=1).tolist() == [200, 0, 36]


def test_the_documented_columns_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| `runs.(\w+)` \| (\S+) \|", (commands.ROOT / "docs" / "shard.md").read_text(), re.MULTILINE)
    dtype = no_runs().dtype
    kinds = {name: "S" if dtype[name].kind == "S" else dtype[name].name for name in dtype.names}
    assert rows == list(kinds.items())
