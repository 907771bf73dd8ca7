"""Many runs as one value: runs, names and texts are the same as for single runs, in the wanted order."""

import numpy as np
import pytest

from noisy.runs import Runs
from noisy.spec import spec_of
from tests.specs import runs, spec

MIXED = [spec(repeat=3, p=0.1), spec(model_type="cnn", repeat=0), spec(repeat=1, p=0.1), spec(repeat=3, p=0.2)]


def test_a_grid_comes_repeat_by_repeat() -> None:
    first = [spec(p=0.1), spec(p=0.2, repeat=5), spec(model_type="cnn"), spec(p=0.1)]
    found = Runs.of_grid(first, 2)
    order = [
        spec(p=p, repeat=repeat, model_type=model)
        for repeat in range(2)
        for p, model in ((0.1, "mlp"), (0.2, "mlp"), (0.3, "cnn"))
    ]
    assert list(found) == order
    assert found == Runs.of(order)
    assert found.cell.tolist() == [0, 1, 2] * 2
    assert found.repeat.tolist() == [0] * 3 + [1] * 3
    assert found.by_cell(lambda run: (run.p, run.repeat)) == [(0.1, 0), (0.2, 0), (0.3, 0)]
    assert len(Runs.of_grid([], 3)) == len(Runs.of_grid(first, 0)) == 0


def test_runs_are_what_they_are_one_by_one() -> None:
    found = Runs.of_records((run.run_id.encode(), run.canonical_json()) for run in MIXED)
    assert found == runs(*MIXED)
    assert list(found) == [found.at(place) for place in range(4)] == MIXED
    assert found.ids() == [run.run_id for run in MIXED]
    assert list(found.texts()) == [run.canonical_json() for run in MIXED]
    assert [spec_of(text) for text in found.texts()] == MIXED
    assert (found.cell.tolist(), found.repeat.tolist()) == ([0, 1, 0, 2], [3, 0, 1, 3])
    assert [cell.spec for cell in found.cells] == [spec(p=0.1), spec(model_type="cnn"), spec(p=0.2)]


@pytest.mark.parametrize("text", ["{}", '{"repeat":"x"}', '{"repeat":1}'])
def test_what_is_no_run_is_refused(text: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        Runs.of_records([(b"0" * 16, text)])


@pytest.mark.parametrize("places", [np.array([2, 0]), np.array([True, False, False, True]), slice(1, 3), slice(0)])
def test_some_of_them_are_taken(places: np.ndarray | slice) -> None:
    found = runs(*MIXED).take(places)
    assert list(found) == np.array(MIXED, object)[places].tolist()
    assert found.ids() == [run.run_id for run in found]


def test_places_are_found_by_name() -> None:
    wanted = np.array([MIXED[2].run_id, "f" * 16, MIXED[0].run_id, "0" * 16, MIXED[2].run_id], "S16")
    assert runs(*MIXED).places_of(wanted).tolist() == [2, -1, 0, -1, 2]
    assert runs().places_of(wanted).tolist() == [-1] * 5
    assert runs(*MIXED).places_of(wanted[:0]).tolist() == []


def test_runs_are_equal_by_name_and_order() -> None:
    assert runs(*MIXED) == runs(*MIXED)
    assert runs(*MIXED) != runs(*reversed(MIXED))
    assert runs(*MIXED) != runs(*MIXED[:3])
    assert runs(*MIXED) != MIXED
    assert runs() == runs()


def test_parts_are_put_together_again() -> None:
    whole = runs(*MIXED)
    joined = Runs.joined([whole.take(slice(2)), whole.take(slice(2, 2)), whole.take(slice(2, 4))])
    assert joined == whole
    assert list(joined) == MIXED
