"""Nodes that swallow tasks are told from bad luck."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from hpc.planning.retrying import Outcome, Reason
from hpc.planning.tasks import Plan, plan
from hpc.state.known import Known, Submitted
from hpc.state.nodes import suspects
from hpc.state.submissions import Submission
from jobs.recorded import Recorded
from jobs.shard import ShardWriter
from jobs.taskfile import TaskRuns
from noisy.spec import Execution
from tests.records import ATTRIBUTES, record
from tests.specs import runs, spec

NOW = datetime(2026, 1, 2, tzinfo=timezone.utc)


@pytest.fixture
def known(tmp_path: Path) -> Callable[..., Known]:
    """What is known when tasks ended on these nodes; task 0 recorded a run on node1."""
    writer = ShardWriter(tmp_path, 1, 0, 0, ATTRIBUTES)
    writer.append(record(spec()))
    recorded = Recorded("").updated(sorted(tmp_path.glob("*.h5")))
    planned = Plan(plan(runs(spec()), 1, Execution()).tasks, 1, Execution())

    def made(*ends: tuple[int, str, Reason], age: timedelta = timedelta(0)) -> Known:
        submission = Submission.by_this_process(1, "c0ffee", "slurm", planned)
        submission = replace(submission, created=(NOW - age).isoformat(), is_claimed=False)
        outcomes = [Outcome(task, "", reason, "FAILED", node, "17", 1000, 10) for task, node, reason in ends]
        return Known(recorded, [Submitted(submission, TaskRuns.__new__(TaskRuns), (), ended=outcomes)])

    return made


def test_two_tasks_that_did_not_begin_make_a_suspect(known: Callable[..., Known]) -> None:
    ends = ((1, "n3", Reason.RAISED), (2, "n3", Reason.CLUSTER), (3, "n2", Reason.RAISED))
    assert suspects(known(*ends), NOW) == {"n3": 2}
    assert suspects(known(*ends, age=timedelta(days=2)), NOW) == {}


@pytest.mark.parametrize(
    "ends",
    [
        ((1, "n3", Reason.CANCELLED), (2, "n3", Reason.CANCELLED)),
        ((1, "n3", Reason.MEMORY), (2, "n3", Reason.TIME)),
        ((0, "n3", Reason.RAISED), (0, "n3", Reason.RAISED)),  # it had begun
        ((1, "", Reason.UNKNOWN), (2, "", Reason.UNKNOWN)),
        ((1, "node1", Reason.RAISED), (2, "node1", Reason.RAISED)),  # the only node that ever succeeded
    ],
)
def test_others_do_not(known: Callable[..., Known], ends: tuple) -> None:
    assert suspects(known(*ends), NOW) == {}
