"""One has no plural, and what is not there is not counted."""

from pathlib import Path

import pandas as pd
import pytest

from analysis.printed import state
from analysis.wording import excluded
from hpc.execution.progress import Shown
from jobs.archived import not_as_packed
from jobs.campaign import Campaign

RUNS = pd.DataFrame({"status": ["ok", "ok"]})


def summary(chance: int, diverged: int, finished: int = 2) -> pd.DataFrame:
    return pd.DataFrame({"repeats": [finished], "missing": 0, "failed": 0, "chance": chance, "diverged": diverged})


@pytest.mark.parametrize(
    ("chance", "diverged", "lines", "sentence"),
    [
        (0, 0, [], "No run stayed at chance and none diverged."),
        (1, 0, ["of the done runs, 1 never left chance"], "1 run stayed at chance, in 1 cell. There"),
        (0, 2, ["of the done runs, 2 diverged"], "2 runs diverged, in 1 cell. There"),
        (1, 2, ["of the done runs, 1 never left chance and 2 diverged"], "1 run stayed at chance and 2 runs diverged, in 1"),
    ],
)
def test_runs_that_did_not_train_are_counted_if_there_are_any(
    chance: int, diverged: int, lines: list[str], sentence: str
) -> None:
    first, *others = state(Campaign(Path("it")), RUNS, summary(chance, diverged))
    assert first == "it: 2 of 2 runs done, 0 missing, 0 failed"
    assert others == [f"{line}; all of them count in the means" for line in lines]
    assert list(excluded(summary(chance, diverged)))[1].startswith(sentence)


def test_one_has_no_plural() -> None:
    assert next(state(Campaign(Path("it")), RUNS, summary(0, 0, finished=1))).startswith("it: 1 of 1 run done")
    assert Shown(1, None, 1, 1, 0).line == "1 of 1 run done, 0 failed"
    assert not_as_packed(1) == "1 file is not as packed" and not_as_packed(2) == "2 files are not as packed"
