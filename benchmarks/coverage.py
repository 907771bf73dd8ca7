"""Do the intervals and tests of the report hold what they say? `python -m benchmarks.coverage > docs/statistics.md`.

Simulated cells with a known truth, through the functions of `analysis`. Coverage: how often an interval holds the truth; it
should be 0.95. Wilson's is computed, not simulated. Deterministic: the same command prints the same page.
"""

import argparse
import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from scipy import stats

from analysis.bits import variance_of_counts
from analysis.intervals import clopper_pearson, t_half_width, wilson
from analysis.paired import paired
from analysis.pairs import Finished
from analysis.sampling import split
from benchmarks.coverage_page import page

SIZES = (5, 10, 40)
CHANCE = 0.1135  # accuracy on MNIST of always answering "1"
SHARE = 0.05  # of runs that collapse
N_CONTRASTS = 20  # two activations against a reference, at ten p
_TRIALS_A_TIME = 2_000

Law = tuple[Callable[[np.random.Generator, tuple[int, int]], np.ndarray], float]  # draws accuracies of this shape; their mean


def _collapsing(chance: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return np.where(chance.random(shape) < SHARE, CHANCE, chance.normal(0.7, 0.04, shape))


LAWS: dict[str, Law] = {
    "normal": (lambda chance, shape: chance.normal(0.9, 0.01, shape), 0.9),
    "normal, near 1": (lambda chance, shape: chance.normal(0.995, 0.004, shape), 0.995),
    "skewed (gamma, skewness 1)": (lambda chance, shape: 1 - 0.025 * chance.standard_gamma(4, shape), 0.9),
    "strongly skewed (exponential, skewness 2)": (lambda chance, shape: 1 - 0.1 * chance.standard_exponential(shape), 0.9),
    "two clusters, half of the runs in each": (
        lambda chance, shape: np.where(chance.random(shape) < 0.5, 0.6, 0.9) + chance.normal(0, 0.01, shape),
        0.75,
    ),
    "5 % of runs at chance": (_collapsing, (1 - SHARE) * 0.7 + SHARE * CHANCE),
}


def main() -> None:
    """Print the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage", description=__doc__.split("\n")[0])
    parser.add_argument("--trials", type=int, default=40_000, help="simulated cells of each kind (default: %(default)s)")
    options = parser.parse_args()
    print(page(options.trials, *(table(options.trials) for table in TABLES)), end="")


def t_coverage(law: str, n: int, trials: int, clipped: bool = False, seed: int = 0) -> float:
    """How often the t interval, or the clipped one, holds the mean. n: runs of each cell."""
    draw, truth = LAWS[law]

    def holds(values: np.ndarray) -> np.ndarray:
        mean, half = values.mean(axis=1), t_half_width(values.std(axis=1, ddof=1), np.full(len(values), n))
        low, high = mean - half, mean + half
        if clipped:
            low, high = np.maximum(low, 0), np.minimum(high, 1)
        return (low <= truth) & (truth <= high)

    return _mean(holds(draw(chance, (k, n))) for chance, k in _batches(trials, seed))


def logit_coverage(law: str, n: int, trials: int, seed: int = 0) -> float:
    """As `t_coverage`, of the t interval on the logit scale, which the report does not use."""
    draw, truth = LAWS[law]

    def holds(values: np.ndarray) -> np.ndarray:
        logit = np.log(values / (1 - values))
        mean, half = logit.mean(axis=1), t_half_width(logit.std(axis=1, ddof=1), np.full(len(values), n))
        return np.abs(mean - math.log(truth / (1 - truth))) <= half

    return _mean(holds(draw(chance, (k, n)).clip(1e-6, 1 - 1e-6)) for chance, k in _batches(trials, seed))


def trained_coverage(n: int, trials: int, seed: int = 0) -> float:
    """How often the t interval of the runs that trained holds their mean, 0.7, where 5 % collapse. At least two trained."""

    def holds(values: np.ndarray) -> np.ndarray:
        ok = values != CHANCE
        k = ok.sum(axis=1)
        mean = np.where(ok, values, 0).sum(axis=1) / np.maximum(k, 1)
        std = np.sqrt(np.where(ok, (values - mean[:, None]) ** 2, 0).sum(axis=1) / np.maximum(k - 1, 1))
        return (np.abs(mean - 0.7) <= t_half_width(std, k))[k > 1]

    return _mean(holds(_collapsing(chance, (k, n))) for chance, k in _batches(trials, seed))


def share_coverage(n: int, shares: np.ndarray, interval: Callable = wilson) -> np.ndarray:
    """float64 (k,): how often an interval of a share holds each of these true shares. Exact, from the binomial distribution."""
    counts = np.arange(n + 1)
    low, high = interval(counts, np.full(n + 1, n))
    holds = (low[:, None] <= shares) & (shares <= high[:, None])
    return (stats.binom.pmf(counts[:, None], n, shares) * holds).sum(axis=0)


def family_error(n: int, trials: int, with_collapses: bool = False, seed: int = 0) -> dict[str, float]:
    """How often at least one of 20 comparisons of equal cells is called different.

    Runs of a repeat share a part of their luck, as with common random numbers; two contrasts at the same p share the reference.

    Returns:
        Without correction; by an interval that leaves out 0; by Holm's p-values, with rank tests where runs are at chance.
    """
    n_p = N_CONTRASTS // 2

    def wrong(chance: np.random.Generator, k: int) -> np.ndarray:
        accuracy = 0.9 + chance.normal(0, 0.01, (k, n_p, 1, n)) + chance.normal(0, 0.01, (k, n_p, 3, n))
        collapsed = chance.random(accuracy.shape) < SHARE if with_collapses else np.zeros(accuracy.shape, bool)
        accuracy[collapsed] = CHANCE
        cells = np.arange(k * n_p * 3).reshape(k, n_p, 3)
        finished = _finished(accuracy.reshape(-1, n), ~collapsed.reshape(-1, n))
        first, second = np.repeat(cells[:, :, 0], 2), cells[:, :, 1:].reshape(-1)
        odd = collapsed.reshape(-1, n).any(axis=1)
        table = paired(finished, first, second, odd[first] | odd[second], family_size=N_CONTRASTS)
        outside = (table["ci95_low"] > 0) | (table["ci95_high"] < 0)
        p_value = table["p_raw"].to_numpy()
        found = (p_value < 0.05, outside.to_numpy(), p_value < 0.05 / N_CONTRASTS)  # Holm's first step
        return np.array([one.reshape(k, N_CONTRASTS).any(axis=1) for one in found])

    errors = np.hstack([wrong(chance, k) for chance, k in _batches(trials, seed, 200)]).mean(axis=1)
    return dict(zip(("uncorrected", "intervals", "Holm"), errors.tolist(), strict=True))


def improvement_coverage(n: int, trials: int, seed: int = 0) -> float:
    """How often the interval of the probability of improvement holds the truth. 30 % of the pairs tie and 45 % improve."""
    truth = 0.45 + 0.3 / 2

    def holds(chance: np.random.Generator, k: int) -> np.ndarray:
        improved = chance.choice([0, 0.5, 1], (k, n), p=[0.25, 0.3, 0.45]).sum(axis=1)
        low, high = clopper_pearson(improved, np.full(k, n))
        return (low <= truth) & (truth <= high)

    return _mean(holds(chance, k) for chance, k in _batches(trials, seed))


def seed_spread(genuine: bool, n: int, trials: int, n_test: int = 1_000, seed: int = 0) -> dict[str, float]:
    """The split of the spread, where the truth is known.

    An image has a difficulty, a run has a skill; a run is right on an image with a probability that follows from both. Each
    trial draws other images and other runs. Without genuine spread all runs have the same skill.

    Returns:
        truth: variance of the runs' accuracies on all images; estimate: mean of the estimated variances, not truncated; error:
        its standard error; sample: mean variance of the accuracies on the test set; truncated: share of negative estimates.
    """
    skill = 0.15 if genuine else 0.0
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()

    def right(difficulty: np.ndarray, luck: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-(3 + 3 * difficulty + skill * luck)))

    on_all = weights @ right(nodes[:, None], nodes)  # accuracy of a run with each skill
    truth = max(0.0, float(weights @ on_all**2 - (weights @ on_all) ** 2)) if genuine else 0.0

    def estimated(chance: np.random.Generator, k: int) -> np.ndarray:
        is_right = chance.random((k, n, n_test)) < right(chance.normal(size=(k, 1, n_test)), chance.normal(size=(k, n, 1)))
        sample = is_right.mean(axis=2).var(axis=1, ddof=1)
        explained = variance_of_counts(is_right.sum(axis=1).astype(np.uint32), np.full(k, n)) / n_test**2
        std, _, is_truncated = split(np.sqrt(sample), explained, np.full(k, n_test))
        whole = n_test / (n_test - 1) * (sample - explained)
        assert np.allclose(std**2, np.maximum(whole, 0), atol=1e-12)
        return np.array([whole, sample, is_truncated])

    whole, sample, truncated = np.hstack([estimated(chance, k) for chance, k in _batches(trials, seed, 20)])
    error = whole.std() / math.sqrt(len(whole))
    return {"truth": truth, "estimate": whole.mean(), "error": error, "sample": sample.mean(), "truncated": truncated.mean()}


def _finished(accuracy: np.ndarray, is_ok: np.ndarray) -> Finished:
    """Runs of cells, float64 (cells, n)."""
    cells, n = accuracy.shape
    cell, repeat = np.repeat(np.arange(cells), n), np.tile(np.arange(n), cells)
    every = np.full(cells, n)
    return Finished(cell, repeat, accuracy.ravel(), is_ok.ravel(), np.arange(cells * n), np.cumsum(every) - every, every)


def _batches(trials: int, seed: int, at_once: int = _TRIALS_A_TIME) -> Iterator[tuple[np.random.Generator, int]]:
    chance = np.random.default_rng(seed)
    for done in range(0, trials, at_once):
        yield chance, min(at_once, trials - done)


def _mean(parts: Iterable[np.ndarray]) -> float:
    return float(np.concatenate(list(parts)).mean())


def _t_rows(trials: int) -> Iterator[tuple[str, ...]]:
    for law in LAWS:
        yield law, *(f"{t_coverage(law, n, trials, clipped):.3f}" for clipped in (False, True) for n in SIZES)


def _share_rows(_: int) -> Iterator[tuple[str, ...]]:
    shares, one = np.linspace(0.0005, 0.9995, 1000), np.array([SHARE])
    for n in SIZES:
        for name, interval in (("Wilson", wilson), ("Clopper-Pearson", clopper_pearson)):
            found, there = share_coverage(n, shares, interval), share_coverage(n, one, interval)[0]
            yield f"{name}, n = {n}", f"{found.mean():.3f}", f"{found.min():.3f}", f"{there:.3f}"
    large = share_coverage(10_000, np.array([0.5, 0.9, 0.98]))
    yield "Wilson, a test set of 10,000 images: accuracy 0.5, 0.9, 0.98", f"{large.mean():.3f}", f"{large.min():.3f}", ""


def _collapse_rows(trials: int) -> Iterator[tuple[str, ...]]:
    law = "5 % of runs at chance"
    yield "t interval of the mean of all runs", *(f"{t_coverage(law, n, trials):.3f}" for n in SIZES)
    yield "t interval of the mean of the runs that trained", *(f"{trained_coverage(n, trials):.3f}" for n in SIZES)
    yield "Wilson's interval of the share at chance", *(f"{share_coverage(n, np.array([SHARE]))[0]:.3f}" for n in SIZES)
    logit = "skewed (gamma, skewness 1)"
    rows = (f"{logit_coverage(logit, n, trials):.3f}" for n in SIZES)
    yield "t interval on the logit scale, of a skewed cell without collapses (not used)", *rows
    yield "probability of improvement, with ties", *(f"{improvement_coverage(n, trials):.3f}" for n in SIZES)


def _family_rows(trials: int) -> Iterator[tuple[str, ...]]:
    for with_collapses in (False, True):
        found = [family_error(n, trials // 10, with_collapses) for n in SIZES]
        for name in found[0]:
            what = "5 % of runs at chance" if with_collapses else "normal"
            yield f"{what}, {name}", *(f"{one[name]:.3f}" for one in found)


def _spread_rows(trials: int) -> Iterator[tuple[str, ...]]:
    for genuine in (False, True):
        for n in SIZES:
            found = seed_spread(genuine, n, trials // 40)
            numbers = (f"{1e6 * found[name]:.2f}" for name in ("truth", "estimate", "error", "sample"))
            yield f"{'genuine spread' if genuine else 'equal networks'}, n = {n}", *numbers, f"{found['truncated']:.2f}"


TABLES = (_t_rows, _collapse_rows, _share_rows, _family_rows, _spread_rows)


if __name__ == "__main__":
    main()
