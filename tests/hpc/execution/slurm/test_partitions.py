"""Into which partitions jobs go, and tasks that are cut to what these allow."""

import math
import re

import pytest

from hpc.console import Refused
from hpc.execution.slurm.executor import chosen
from hpc.execution.slurm.programs import Partition
from hpc.planning.decision import Room, decide
from hpc.planning.workers import FirstRequest, Limits
from noisy.spec import Execution
from tests.specs import runs, spec

SHORT, LONG, DOWN = (
    Partition("short", True, True, 1000, 60),
    Partition("long", False, True, 2000, math.inf),
    Partition("down", False, False, 1000, 60),
)


@pytest.mark.parametrize(
    ("every", "named", "found"),
    [
        ([SHORT, LONG], None, [SHORT]),
        ([SHORT, LONG], "long", [LONG]),
        ([SHORT, LONG], "short,long", [SHORT, LONG]),
        ([SHORT, DOWN], "short,down", [SHORT, DOWN]),
        ([], None, []),
    ],
)
def test_partitions_are_chosen(every: list[Partition], named: str | None, found: list[Partition]) -> None:
    assert chosen(every, named) == found


@pytest.mark.parametrize(
    ("every", "named", "answer"),
    [
        ([SHORT, LONG, DOWN], "tall,short", "slurm: partition: does not exist: tall; allowed: short, long"),
        ([LONG, DOWN], None, "no default partition here; name one with --sbatch partition=NAME: long"),
        ([SHORT, DOWN], "down", "partition down: accepts no jobs now (it is not up); allowed: short"),
        ([DOWN], "down", "allowed: none that is up"),
    ],
)
def test_a_partition_that_takes_no_jobs_is_refused(every: list[Partition], named: str | None, answer: str) -> None:
    with pytest.raises(Refused, match=re.escape(answer)):
        chosen(every, named)


@pytest.mark.parametrize("time_limit_min", [math.inf, 30, 15])
def test_workers_ask_for_no_more_time_than_the_partition_allows(time_limit_min: float) -> None:
    """Six runs of some minutes, on one worker."""
    room = Room(Limits(1001, 10_000, time_limit_min=time_limit_min), 0, (), 1)
    wanted = runs(*(spec(dataset="mnist", epochs=180, repeat=repeat) for repeat in range(6)))
    decision = decide(wanted, Execution(), room, FirstRequest(), runs_per_task=6)
    asked_min = [array.resources.time_limit_min for array in decision.arrays]
    assert max(asked_min) <= time_limit_min
    assert [len(task.runs) for task in decision.whole.tasks] == [6]  # no worker has to do all of a task
    work_min = decision.whole.tasks[0].cost.wall_s.middle / 60
    assert decision.arrays[0].n_workers >= (work_min + 3) / time_limit_min
