"""The figure beside which a plan is laid: one array element for each run."""

from dataclasses import replace

import pytest

from hpc.planning.alone import one_run_each
from hpc.planning.deadline import end_of
from hpc.planning.tasks import plan
from noisy.spec import Execution, RunSpec
from tests.specs import runs

MLP = RunSpec("mnist", "relu", "mlp", 0.1, 0, 0, 15, 512, 0.001, 0, (1024, 512, 256))


def test_each_run_pays_the_start_of_its_own_element() -> None:
    planned = plan(runs(*(replace(MLP, repeat=i) for i in range(40))), 4, Execution())
    alone = one_run_each(planned)
    assert alone.n_elements == 40
    assert alone.cpu_s.middle == pytest.approx(planned.cpu_s.middle + 40 * planned.start_s.middle)
    assert alone.mem_mb == 4 * 2000
    assert alone.end.expected_s > end_of(planned).expected_s + 9 * planned.start_s.middle
    assert alone.starts_per_min == pytest.approx(40 / (alone.end.expected_s / 60))
