"""Two records of one run: where they must be equal in every bit, and a number that tells whether they are.

Equal bits are due from equal machines alone. Elsewhere training amplifies rounding, and only the law of results is the same.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

SAME_MACHINE = ("cpu", "product_route", "device", "cpu_threads", "versions")  # attributes of shards; equal here: equal bits
ALONE = ("", "1")  # `runs_together`, as text, of a run that was trained alone (older shards do not say it)
_NUMBERS = ("test_accuracy", "test_loss", "n_correct", "n_test", "n_parameters")


def must_be_equal(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether records of two shards with these attributes must be equal in every bit.

    Runs that were trained together need not be: the other runs change the order of sums, and so the rounding.
    """
    is_alone = all(str(each.get("runs_together", "")) in ALONE for each in (first, second))
    return is_alone and not differing(first, second)


def differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """In what two machines differ: names from SAME_MACHINE."""
    return [name for name in SAME_MACHINE if str(first.get(name, "")) != str(second.get(name, ""))]


def digest(row: np.void, history: np.ndarray, correct: np.ndarray) -> int:
    """64 bits that stand for all that training decides of a record.

    Args:
        row: of a shard's `runs`.
        history: float64 (3, epochs); epochs that are NaN at the end are padding.
        correct: uint8 (bytes,), one bit per test image; zeros at the end are padding.
    """
    n_epochs = np.flatnonzero(~np.isnan(history).all(axis=0)).max(initial=-1) + 1
    content = [
        bytes(row["status"]),
        *(row[name].tobytes() for name in _NUMBERS),
        np.ascontiguousarray(history[:, :n_epochs]).tobytes(),
        correct.tobytes().rstrip(b"\0"),
    ]
    return int.from_bytes(hashlib.blake2b(b"|".join(content), digest_size=8).digest(), "big")
