"""What status calls cells, and what it says of code."""

import pytest

from hpc.status import cell_names, rate_of
from tests.specs import spec


def test_a_cell_is_named_by_what_it_is() -> None:
    assert cell_names([spec()]) == ["mlp 32 relu p=0.3 epochs=2 learning_rate=0.001"]
    assert cell_names([spec(model_type="cnn", epochs=7)]) == ["cnn relu p=0.3 epochs=7 learning_rate=0.001"]


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("activation", ["relu", "tanh"]),
        ("model_type", ["mlp", "cnn"]),
        ("p", [0.0, 0.25]),
        ("epochs", [1, 2]),
        ("learning_rate", [0.001, 0.0001]),
        ("hidden_sizes", [(8,), (8, 8)]),
        ("batch_size", [16, 32, 64]),
        ("weight_decay", [0.0, 1e-5]),
        ("max_train_samples", [None, 100]),
        ("precision", ["float32", "bfloat16"]),
        ("seed", [1, 2]),
        ("dataset", ["digits", "mnist"]),
    ],
)
def test_cells_that_differ_in_anything_have_different_names(field: str, values: list) -> None:
    names = cell_names([spec(**{field: value}) for value in values])
    assert len(set(names)) == len(values)


def test_a_rate_needs_some_runs_and_a_clock_that_goes_forward() -> None:
    assert rate_of(100, 50) == pytest.approx((1.8, 2.0, 2.2))
    assert rate_of(3, 50) is None
    assert rate_of(100, 0) is rate_of(100, -3600) is None
