"""Trains runs, one at a time or together, and makes their records. A failed run gets a record too."""

import traceback
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from jobs.image import Record
from jobs.tasklog import say
from noisy.data import Data
from noisy.spec import Execution, RunSpec

if TYPE_CHECKING:
    from noisy.result import RunResult

_MESSAGE_LIMIT = 2000  # characters of a failure's message that are recorded; the log has the whole message


def groups_of(runs: Sequence[RunSpec], most: int) -> list[list[RunSpec]]:
    """Groups of at most `most` runs of one shape, in the order of their first runs. A run with own files is alone."""
    by_shape: dict[RunSpec, list[int]] = {}
    for place, run in enumerate(runs):
        by_shape.setdefault(run if run.extensions else run.shape(), []).append(place)
    groups = [places[i : i + most] for places in by_shape.values() for i in range(0, len(places), most)]
    return [[runs[place] for place in group] for group in sorted(groups)]


def execute(runs: Sequence[RunSpec], data: Data, execution: Execution) -> Iterator[Record]:
    """Train runs of one shape, and yield their records one after the other.

    An exception becomes the record of a failed run, and its traceback is written to the log. A group may fail because memory is
    too small or because of one run, so it is tried again in halves.

    Raises:
        RuntimeError: the GPU no longer works.
    """
    if not runs:
        return
    import torch  # imported here, because commands that submit tasks must not load torch

    from noisy.together import train_together
    from noisy.training import train

    message = ""
    try:
        results = [train(runs[0], data, execution)] if len(runs) == 1 else train_together(runs, data, execution)
    except Exception as error:
        say(traceback.format_exc())
        if execution.use_cuda:
            torch.cuda.synchronize()  # raises if the GPU is lost, which does not count as a failure of the run
        message = f"{type(error).__name__}: {error}"[:_MESSAGE_LIMIT]
    if not message:
        yield from map(_record, runs, results)
    elif len(runs) == 1:
        yield Record(runs[0].run_id, runs[0].canonical_json(), status="failed", message=message)
    else:
        say(f"{len(runs)} runs failed together; they are tried again in halves")
        yield from execute(runs[: len(runs) // 2], data, execution)
        yield from execute(runs[len(runs) // 2 :], data, execution)


def _record(run: RunSpec, result: "RunResult") -> Record:
    last = np.flatnonzero(~np.isnan(result.test_accuracy))[-1]  # of a diverged run: the epoch in which it diverged
    return Record(
        run.run_id,
        run.canonical_json(),
        result.status,
        test_accuracy=result.n_correct / result.n_test,
        test_loss=result.test_loss[last],
        n_correct=result.n_correct,
        n_test=result.n_test,
        n_parameters=result.n_parameters,
        wall_s=result.usage.wall_s,
        cpu_s=result.usage.cpu_s,
        peak_mem_mb=result.usage.peak_mem_mb,
        history=np.stack([result.train_loss, result.test_loss, result.test_accuracy]),
        correct=result.correct,
    )
