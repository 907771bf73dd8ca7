"""What the bar shows on terminals of any width."""

from dataclasses import replace

import pytest
from tqdm import tqdm

from hpc.execution.progress import Shown, layout

FEW = Shown(25, 33, 24, 60, 0, "cnn tanh", "p=0.3", "accuracy 0.9239")
MANY = Shown(40_000, 90_000, 1200, 2400, 17, "mlp leaky_relu", "p=0.125", "accuracy 0.9239")


def shown(what: Shown, columns: int) -> str:
    """As tqdm prints it."""
    text = tqdm.format_meter(43, 100, 25, ncols=columns, bar_format=layout(what, columns), ascii=True)
    return text.rstrip()


@pytest.mark.parametrize(
    ("what", "columns", "text"),
    [
        (FEW, 120, " 43% |#####1      | 00:25, 00:33 left; 24 of 60 runs done, 0 failed; last: cnn tanh p=0.3 accuracy 0.9239"),
        (FEW, 80, " 43% |##5   | 00:33 left; 24/60 runs, 0 failed; cnn tanh p=0.3 accuracy 0.9239"),
        (FEW, 60, " 43% 00:33 left; 24/60, 0 failed; p=0.3 accuracy 0.9239"),
        (MANY, 80, " 43% 25:00:00 left; 1200/2400, 17 failed; p=0.125 accuracy 0.9239"),
        (MANY, 60, " 43% 1200/2400, 17 failed; p=0.125 accuracy 0.9239"),
        (FEW, 50, " 43% 24/60, 0 failed; p=0.3 accuracy 0.9239"),
        (MANY, 40, " 43% p=0.125 accuracy 0.9239"),
        (
            replace(FEW, left_s=None, model="", p="", outcome=""),
            80,
            " 43% |#####1      | 00:25, ? left; 24 of 60 runs done, 0 failed",
        ),
    ],
)
def test_the_text_by_width(what: Shown, columns: int, text: str) -> None:
    assert shown(what, columns) == text


@pytest.mark.parametrize("what", [FEW, MANY, replace(MANY, outcome="failed")])
def test_p_and_the_outcome_are_seen_on_any_terminal(what: Shown) -> None:
    for columns in range(40, 200):
        text = shown(what, columns)
        assert len(text) < columns
        assert f"{what.p} {what.outcome}" in text
