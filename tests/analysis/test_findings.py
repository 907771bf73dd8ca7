"""Sentences about differences, where a setting has no value in some of the rows."""

from analysis.comparisons import compare_cells
from analysis.page.findings import differences
from noisy.spec import RunSpec
from tests.specs import spec
from tests.tables import tables


def test_all_samples_of_one_model_and_some_of_another() -> None:
    samples = {"mlp": None, "cnn": 100}
    runs = [
        spec(activation=activation, model_type=model, max_train_samples=n, repeat=repeat)
        for model, n in samples.items()
        for activation in ("relu", "tanh")
        for repeat in range(3)
    ]

    def outcome(run: RunSpec) -> tuple[str, int]:
        return "ok", 9000 + 10 * run.repeat + 5 * (run.activation == "tanh")

    per_run, summary = tables(runs, outcome)
    headings = {heading for heading, _ in differences(compare_cells(per_run, summary))}
    assert {"tanh against ReLU (MLP)", "tanh against ReLU (CNN, max train samples 100)"} <= headings
