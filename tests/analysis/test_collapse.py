"""A cell with a run at chance never shows mean and interval alone; what is not as expected is flagged."""

import pytest

from analysis.collapse import accuracy_text
from analysis.expected import FLAGS, flags
from noisy.spec import RunSpec
from tests.specs import spec
from tests.tables import N_TEST, Outcome, good, tables


def shown(statuses: list[str], n_correct: int = 9_000) -> str:
    """The text for a cell whose runs have these statuses."""
    counts = {"chance": 1_135, "diverged": 2_000}
    runs = [spec(repeat=i) for i in range(len(statuses))]
    _, summary = tables(runs, lambda run: (statuses[run.repeat], counts.get(statuses[run.repeat], n_correct + run.repeat)))
    return accuracy_text(summary.iloc[0])


def test_the_words_for_a_cell() -> None:
    assert shown(["ok"] * 3) == "0.9001 [0.8999, 0.9003] (n = 3)"
    assert shown(["ok"]) == "0.9000 (n = 1)"
    assert shown(["missing"]) == "no runs"
    assert shown(["ok", "ok", "ok", "chance"]) == (
        "1 of 4 at chance (25 %; 5 to 70 %); the 3 that trained: 0.9001 [0.8999, 0.9003]; all: 0.7035"
    )
    assert shown(["chance", "diverged", "ok"]) == (
        "1 of 3 at chance (33 %; 6 to 79 %), 1 diverged; the 1 that trained: 0.9002; all: 0.4046"
    )
    assert shown(["chance", "chance"]) == "2 of 2 at chance (100 %; 34 to 100 %); all: 0.1135"
    assert shown(["ok", "diverged"]) == "1 of 2 diverged; the 1 that trained: 0.9000; all: 0.5500"


def reliable(**changes: object) -> RunSpec:
    """A run with the MLP of grid.yaml on MNIST."""
    fields = {"dataset": "mnist", "p": 0.0, "epochs": 15, "batch_size": 512, "hidden_sizes": (1024, 512, 256)}
    return spec(**{**fields, **changes})


@pytest.mark.parametrize(
    ("run", "outcome", "what"),
    [
        (reliable(), ("ok", 9_800), None),
        (reliable(), ("ok", 9_700), "mean accuracy of the runs that trained"),
        (reliable(), ("ok", 9_880), "mean accuracy of the runs that trained"),
        (reliable(hidden_sizes=(16,)), ("ok", 9_700), None),  # another network: nothing is known
        (reliable(epochs=1), ("ok", 9_500), None),
        (reliable(max_train_samples=100), ("ok", 5_000), None),
        (reliable(p=0.5), ("ok", 9_700), None),
        (reliable(p=0.5), ("ok", 9_300), "mean accuracy of the runs that trained"),
        (reliable(p=0.5, activation="sigmoid"), ("ok", 9_300), None),
        (reliable(model_type="cnn", hidden_sizes=None), ("ok", 9_900), None),
        (reliable(model_type="cnn", hidden_sizes=None), ("ok", 9_800), "mean accuracy of the runs that trained"),
        (reliable(), ("chance", 1_135), "share of runs at chance without noise"),
        (reliable(p=0.95), ("chance", 1_135), None),
        (reliable(p=0.95), ("chance", 3_000), "mean accuracy of the runs at chance"),
        (reliable(p=1.0), ("ok", 1_000), None),
        (reliable(p=1.0), ("ok", 9_000), "mean accuracy after training on noise only"),
        (reliable(), ("missing", 0), None),
    ],
)
def test_what_is_not_as_expected_is_flagged(run: RunSpec, outcome: Outcome, what: str | None) -> None:
    _, summary = tables([run], lambda _: outcome)
    found = flags(summary)
    assert list(found.columns) == list(FLAGS)
    assert list(found["what"]) == ([what] if what else [])
    if what == "mean accuracy of the runs that trained":
        assert found["value"].iloc[0] == pytest.approx(outcome[1] / N_TEST, abs=1e-12)
        assert f"{outcome[1] / N_TEST:.4f}; expected: " in found["text"].iloc[0]


def test_a_flag_names_its_cell() -> None:
    runs = [reliable(repeat=i, activation=name) for i in range(3) for name in ("relu", "tanh")]
    _, summary = tables(runs, lambda run: good(run) if run.activation == "tanh" else ("ok", 9_800))
    (flag,) = flags(summary).to_dict("records")
    assert summary.loc[flag["row"], "activation"] == "tanh"
    assert flag["text"].startswith("mlp tanh p = 0 on mnist (n = 3): mean accuracy of the runs that trained 0.9")
