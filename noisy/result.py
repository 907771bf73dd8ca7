"""The scores of a run after each epoch, and its result."""

import math
from dataclasses import dataclass

import numpy as np

from noisy.usage import Usage

_CONSTANT_FRACTION = 0.95  # share of the test images; if one class is predicted for this share, predictions count as constant


@dataclass(frozen=True)
class RunResult:
    """The result of a run.

    status: "ok"; "chance": after every epoch, one class was predicted for at least 95 % of the test images; "diverged":
        a loss was not finite, and training stopped there.
    train_loss, test_loss, test_accuracy: float64 (epochs,); mean cross-entropy in nats over the epoch and over the
        clean test set, and fraction right in [0, 1]; NaN after an epoch that diverged.
    correct: uint8 (ceil(n_test / 8),), one bit per test image, right or wrong, after the last epoch (numpy.packbits).
    n_correct: number of test images that are right after the last epoch; n_test: number of test images.
    usage: if runs were trained together, each has an equal share of their time, and the peak memory of all of them.
    """

    status: str
    train_loss: np.ndarray
    test_loss: np.ndarray
    test_accuracy: np.ndarray
    correct: np.ndarray
    n_correct: int
    n_test: int
    n_parameters: int
    usage: Usage


class Scores:
    """The epochs of a run. diverged: a loss was not finite; later epochs do not count."""

    def __init__(self, epochs: int, test_labels: np.ndarray) -> None:
        self._labels = test_labels
        self._history = np.full((3, epochs), np.nan)
        self._n_epochs = 0
        self._constant = True
        self.diverged = False

    def add(self, train_loss: float, test_loss: float, predictions: np.ndarray) -> None:
        """Add an epoch: mean losses in nats, and the predicted class of every test image, int64 (n_test,)."""
        if self.diverged:
            return
        self._right = predictions == self._labels
        self._history[:, self._n_epochs] = train_loss, test_loss, self._right.mean()
        self._n_epochs += 1
        self._constant &= bool(np.bincount(predictions).max() >= _CONSTANT_FRACTION * len(predictions))
        self.diverged = not (math.isfinite(train_loss) and math.isfinite(test_loss))

    def result(self, n_parameters: int, usage: Usage) -> RunResult:
        """The result after the last epoch."""
        train_loss, test_loss, test_accuracy = self._history
        return RunResult(
            status="diverged" if self.diverged else "chance" if self._constant else "ok",
            train_loss=train_loss,
            test_loss=test_loss,
            test_accuracy=test_accuracy,
            correct=np.packbits(self._right),
            n_correct=int(self._right.sum()),
            n_test=len(self._right),
            n_parameters=n_parameters,
            usage=usage,
        )
