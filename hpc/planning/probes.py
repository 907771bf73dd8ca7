"""Which short runs to measure so that the costs of other runs can be predicted."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import cycle

from hpc.planning.model import Knowledge, kind_of
from hpc.planning.published import PROPORTIONS, like
from hpc.planning.sizes import multiply_adds, n_weights, terms
from noisy.spec import RunSpec

_MOST = 40  # runs of each network
_SHORT = 4  # two lengths separate the cost of the start from the cost of training; this is their ratio


def unknown(cells: Iterable[RunSpec], knowledge: Knowledge) -> list[RunSpec]:
    """The runs whose costs are not known, because no similar network of their kind was measured."""
    return [run for run in cells if not knowledge.of(run)]


def probes(cells: Iterable[RunSpec], seconds: float, repeats: int = 1) -> list[RunSpec]:
    """Runs that together take about `seconds` on a common core; at least two of each network that stands for others.

    For each kind, these are the smallest and the largest network, with the smallest and the largest batch. Activations and
    values of p take turns.

    Args:
        repeats: how often each of these runs is executed; `seconds` is for one repeat.
    """
    every = list(cells)
    shapes = [shape for kind in dict.fromkeys(map(kind_of, every)) for shape in _ends([r for r in every if kind_of(r) == kind])]
    found = list[RunSpec]()
    for shape in shapes:
        variants = cycle([run for run in every if kind_of(run) == kind_of(shape)])
        lengths = cycle([_short(shape, seconds / len(shapes) / part) for part in (2, 2 * _SHORT)])
        n_before, left_s = len(found), seconds / len(shapes)
        while len(found) < n_before + 2 or (left_s > 0 and len(found) < n_before + _MOST):
            run, turn = next(lengths), next(variants)
            found.append(replace(run, activation=turn.activation, extensions=turn.extensions, p=turn.p, repeat=len(found)))
            left_s -= _typical_s(run)
    return [replace(run, repeat=run.repeat + len(found) * number) for number in range(repeats) for run in found]


def _ends(runs: list[RunSpec]) -> list[RunSpec]:
    """The smallest and the largest networks, with their smallest and largest batches."""
    sizes = sorted(runs, key=lambda run: (multiply_adds(run), n_weights(run)))
    ends = [[run for run in runs if run.hidden_sizes == end.hidden_sizes] for end in (sizes[0], sizes[-1])]
    return list(dict.fromkeys(choose(end, key=_batch).shape() for end in ends for choose in (min, max)))


def _batch(run: RunSpec) -> int:
    return min(run.batch_size, run.n_train_samples())


def _typical_s(run: RunSpec) -> float:
    return float(PROPORTIONS[like(run.model_type)] @ terms(run))


def _short(run: RunSpec, seconds: float) -> RunSpec:
    """A run with as many batches as take about `seconds` on a common core, at least one; with several epochs if tiny."""
    one, two = (replace(run, epochs=1, max_train_samples=n * _batch(run)) for n in (1, 2))
    first_s, second_s = map(_typical_s, (one, two))
    n_batches = 1 + max(0, int((seconds - first_s) / max(second_s - first_s, 1e-9)))
    epoch = replace(one, max_train_samples=min(n_batches * _batch(run), run.n_train_samples()))
    return replace(epoch, epochs=max(1, min(run.epochs, int(seconds / _typical_s(epoch)))))
