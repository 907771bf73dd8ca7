"""How much of the spread between repeats comes only from counting errors on a finite test set.

Each run is right or wrong on each of N test images. Even if all trained networks were equally good, their accuracies would
differ, because on hard images a run is right or wrong by chance. If these errors were independent between images, the accuracy
would have the variance

    explained = sum over images of v_i / N**2,    v_i = c_i (n - c_i) / (n (n - 1)),

where c_i of n runs are right on image i (v_i is the sample variance of right or wrong). Theorem 2 of K. Jordan, "On the
variance of neural network training with respect to test sets and distributions" (ICLR 2024): the variance of the accuracy on
the whole distribution of images, of which the test set is a sample, is estimated without bias by

    genuine = N / (N - 1) (s**2 - explained),

where s**2 is the sample variance of the n accuracies. The estimate can be negative.
"""

import numpy as np
import pandas as pd

from analysis.bits import Bits, error_variance
from jobs.image import FINISHED


def split(sample_std: np.ndarray, explained: np.ndarray, n_test: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split the spread of each cell into two parts.

    Args:
        sample_std: float (cells,), sample standard deviation of the accuracies.
        explained: float (cells,), the variance from `explained_variance`.
        n_test: int (cells,), images of the test set.

    Returns:
        genuine, explained: standard deviations, float64 (cells,), NaN if an argument is NaN; is_truncated: bool (cells,),
        whether the estimated variance was negative, so that genuine is 0.
    """
    genuine = n_test / np.maximum(n_test - 1, 1) * (sample_std**2 - explained)
    return np.sqrt(np.maximum(genuine, 0)), np.sqrt(explained), genuine < 0


def explained_variance(runs: pd.DataFrame, cell: np.ndarray, n_cells: int, bits: Bits) -> np.ndarray:
    """The variance of the accuracy that independent errors on the test images explain.

    Args:
        runs: `analysis.merge.Merged.runs`, a row for each row of the file.
        cell: int (n,), the cell of each run.
        n_cells: the number of all cells.
        bits: those of the same results.h5.

    Returns:
        float64 (n_cells,), squared fractions; NaN for fewer than two finished runs, or if bits and n_correct differ.

    Raises:
        OSError: the file cannot be read.
    """
    rows = np.flatnonzero(runs["status"].isin(FINISHED))
    n_correct, n_test = (runs[name].to_numpy()[rows] for name in ("n_correct", "n_test"))
    largest = np.zeros(n_cells)
    np.maximum.at(largest, cell[rows], n_test)
    return error_variance(bits, rows, cell[rows], n_correct, n_cells) / np.where(largest > 0, largest, np.nan) ** 2
