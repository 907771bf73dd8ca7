"""What to do next, from the states of runs."""

import pytest

from hpc.execution.next import next_step
from hpc.state.runs import STATES


@pytest.mark.parametrize(
    ("counts", "is_at_work", "step"),
    [
        ({"done": 8}, False, "report"),
        ({"missing": 8}, False, "submit"),
        ({"done": 7, "missing": 1}, False, "submit"),
        ({"done": 3, "lost": 5}, False, "submit"),
        ({"done": 3, "running": 2, "queued": 3}, True, "watch"),
        ({"queued": 8}, True, "watch"),
        ({"done": 3, "queued": 3, "missing": 2}, True, "watch"),
        ({"done": 3, "unknown": 5}, True, "watch"),  # on a host that cannot be seen from here
        ({"failed": 8}, False, "logs"),
        ({"done": 7, "failed": 1}, False, "logs"),
        ({"done": 3, "failed": 1, "missing": 4}, False, "logs"),
        ({"done": 3, "failed": 1, "running": 4}, True, "logs"),
        ({"done": 3, "cancelled": 5}, False, "report"),
        ({"done": 3, "cancelled": 4, "missing": 1}, False, "submit"),
        ({"cancelled": 8}, False, "report"),
    ],
)
def test_the_next_step(counts: dict[str, int], is_at_work: bool, step: str) -> None:
    every = dict.fromkeys(STATES, 0) | counts
    assert next_step(every, is_at_work, is_silent=False) == step
    assert next_step(every, is_at_work, is_silent=True) == "status"
