"""The cost model: it finds the coefficients that made the data, and says nothing of what was never measured."""

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from hpc.planning.cost import Range
from hpc.planning.drift import NEWEST as COMPARED
from hpc.planning.drift import describe, drift
from hpc.planning.model import NEWEST, Observation, Setting, fit, learn
from hpc.planning.priors import estimate
from hpc.planning.probes import probes, unknown
from hpc.planning.published import GROWTH_MB, PROPORTIONS
from hpc.planning.sizes import multiply_adds, terms, training_mb
from noisy.spec import Execution, RunSpec

MLP = RunSpec("mnist", "relu", "mlp", 0.1, 0, 0, 15, 512, 0.001, 0, (1024, 512, 256))
CNN = RunSpec("mnist", "relu", "cnn", 0.1, 0, 0, 20, 256, 0.001, 0)
SHAPES = [
    replace(MLP, hidden_sizes=sizes, batch_size=batch, max_train_samples=n, epochs=epochs)
    for sizes, batch, (n, epochs) in product([(1024, 512, 256), (256, 128)], [32, 512], [(1000, 1), (6000, 1), (3000, 3)])
]
COEFFICIENTS = np.array([0.05, 1e-11, 3e-6, 6e-9, 4e-4])  # not in the published proportions
HERE = Setting("2.9", cpu="Zen", product_route="blas", host="h0")


def seen(run: RunSpec, cpu_s: float, number: int = 0, **changes: object) -> Observation:
    one = Observation(run, cpu_s, cpu_s * 1.1, 700.0, float(number), "h0", "Zen", "blas", "2.9")
    return replace(one, **changes)


def cost_s(run: RunSpec) -> float:
    return float(COEFFICIENTS @ terms(run))


def test_the_fit_finds_the_coefficients_that_made_the_data() -> None:
    x = np.stack([terms(run) for run in SHAPES])
    found = fit(x, x @ COEFFICIENTS, PROPORTIONS["mlp"])
    assert x @ found == pytest.approx(x @ COEFFICIENTS, rel=0.15)  # drawn to the published proportions
    twice = fit(x, x @ COEFFICIENTS, COEFFICIENTS * 2)
    assert twice == pytest.approx(COEFFICIENTS, rel=1e-6)
    assert found == pytest.approx(fit(np.repeat(x, 5, axis=0), np.repeat(x @ COEFFICIENTS, 5), PROPORTIONS["mlp"]))


def test_one_outlier_among_runs_of_a_shape_changes_nothing() -> None:
    x = np.repeat(np.stack([terms(run) for run in SHAPES]), 5, axis=0)
    disturbed = (x @ COEFFICIENTS) * np.tile([1, 1, 1, 1, 8], len(SHAPES))
    assert fit(x, disturbed, PROPORTIONS["mlp"]) == pytest.approx(fit(x, x @ COEFFICIENTS, PROPORTIONS["mlp"]))


def test_no_coefficient_is_negative() -> None:
    chance = np.random.default_rng(0)
    x = np.stack([terms(run) for run in SHAPES])
    for _ in range(20):
        found = fit(x, (x @ COEFFICIENTS) * np.exp(chance.normal(0, 0.7, len(x))), PROPORTIONS["mlp"])
        assert (found >= 0).all() and (found > 0).any()


def test_one_measured_run_scales_the_published_proportions() -> None:
    found = fit(terms(MLP)[None], np.array([240.0]), PROPORTIONS["mlp"])
    assert found == pytest.approx(PROPORTIONS["mlp"] * 240 / (PROPORTIONS["mlp"] @ terms(MLP)))


def test_runs_of_other_settings_do_not_count() -> None:
    others = ({"cpu": "Skylake"}, {"product_route": "onednn"}, {"torch": "2.8"}, {"cpu_threads": 2})
    own, foreign = [seen(MLP, 100.0)], [seen(MLP, 300.0, **other) for other in others]
    (found,) = learn([*own, *foreign], HERE).kinds.values()
    assert found.n_runs == 1
    assert learn(foreign, HERE).of(MLP) is None
    (anywhere,) = learn([*own, *foreign], Setting("2.9")).kinds.values()  # the nodes of a cluster are of any kind
    assert anywhere.n_runs == 3


def test_the_newest_runs_of_a_kind_count_and_other_kinds_do_not_drown_it() -> None:
    old, new = [seen(MLP, 50.0, i) for i in range(700)], [seen(MLP, 100.0, 1000 + i) for i in range(NEWEST)]
    known = learn([seen(CNN, 9.0, -1), *old, *new], HERE)
    assert estimate(MLP, Execution(), known).cpu_s.middle == pytest.approx(100)
    assert known.kinds["mlp", "float32"].n_runs == NEWEST
    assert known.of(CNN) is not None


def test_limits_come_from_wall_seconds_and_costs_from_cpu_seconds() -> None:
    known = learn([seen(run, cost_s(run), wall_s=5 * cost_s(run)) for run in SHAPES for _ in range(3)], HERE)
    found = estimate(SHAPES[0], Execution(), known)
    assert found.cpu_s.middle == pytest.approx(cost_s(SHAPES[0]), rel=0.1)
    assert found.wall_s.middle == pytest.approx(5 * found.cpu_s.middle, rel=0.01)


def test_shapes_left_out_are_within_the_bounds_that_others_give() -> None:
    chance = np.random.default_rng(2)
    left_out, rest = SHAPES[::4], [run for run in SHAPES if run not in SHAPES[::4]]
    known = learn([seen(run, cost_s(run) * math.exp(chance.normal(0, 0.04))) for run in rest * 4], HERE)
    for run in left_out:
        found = estimate(run, Execution(), known).cpu_s
        assert found.low < cost_s(run) < found.high
        assert found.middle == pytest.approx(cost_s(run), rel=0.15)


def test_a_kind_of_host_has_a_factor_that_few_runs_barely_move() -> None:
    """Small networks were measured on slow hosts only: without a factor, these networks would look dear."""
    fast, slow = {"cpu": "Fast", "host": "h1"}, {"cpu": "Slow", "host": "h2"}
    runs = [seen(run, cost_s(run), **fast) for run in SHAPES * 4]
    runs += [seen(run, 2 * cost_s(run), **slow) for run in SHAPES[:4] * 10]
    known = learn(runs, Setting("2.9"))
    x = np.stack([terms(run) for run in SHAPES])
    ratios = (x @ known.kinds["mlp", "float32"].coefficients) / (x @ COEFFICIENTS)
    assert max(ratios) / min(ratios) < 1.4
    (measured,) = known.kinds.values()
    assert measured.cpu.centre == pytest.approx(np.log(2) / 2 - np.log(np.median(ratios)), abs=0.1)  # mean over hosts


def test_bounds_are_wider_for_a_host_that_was_not_measured() -> None:
    runs = [seen(run, cost_s(run)) for run in SHAPES * 4]
    here, elsewhere = (learn(runs, setting).kinds["mlp", "float32"] for setting in (HERE, Setting("2.9")))
    assert not here.cpu.is_assumed and elsewhere.cpu.is_assumed
    assert here.cpu.high < elsewhere.cpu.high
    assert (here.n_hosts, learn(runs, HERE).n_hosts_of([MLP]), learn(runs, HERE).n_hosts_of([MLP, CNN])) == (1, 1, 0)


def test_memory_is_learnt_from_workers() -> None:
    def grown(number: int, mb: float) -> Observation:
        return seen(MLP, 1.0, worker=f"w{number}", import_mb=240, start_mb=300, peak_mem_mb=300 + training_mb(MLP) + mb)

    assert learn([seen(MLP, 1.0)], HERE).growth_mb == GROWTH_MB
    few = learn([grown(1, 10), grown(1, 40), grown(2, 20)], HERE)  # the plateau of a worker is that of its largest run
    assert few.growth_mb == pytest.approx(Range(20, 96, 30))
    assert few.import_mb == 240
    many = learn([grown(i, i / 10) for i in range(200)], HERE)
    assert many.growth_mb.high == pytest.approx(19.8)


# What to measure


def test_probes_are_short_runs_of_the_ends_of_each_kind() -> None:
    whole = [replace(run, max_train_samples=None) for run in SHAPES]
    found = probes([*whole, CNN, replace(CNN, activation="tanh")], 8.0)
    assert {run.epochs for run in found if run.model_type == "cnn"} == {1}
    assert {run.activation for run in found if run.model_type == "cnn"} == {"relu", "tanh"}
    sizes = {(run.hidden_sizes, run.batch_size) for run in found}
    assert sizes == {((1024, 512, 256), 32), ((1024, 512, 256), 512), ((256, 128), 32), ((256, 128), 512), (None, 256)}
    for network in sizes:
        lengths = {run.max_train_samples for run in found if (run.hidden_sizes, run.batch_size) == network}
        assert len(lengths) == 2 or lengths == {network[1]}  # a batch and the evaluation may already take longer
    assert len({run.run_id for run in found}) == len(found)
    assert sum(PROPORTIONS[run.model_type] @ terms(run) for run in found) < 3 * 8.0
    assert len(probes([CNN], 8.0, repeats=16)) == 16 * len(probes([CNN], 8.0))


def test_what_was_probed_is_known() -> None:
    cells = [replace(MLP, hidden_sizes=sizes) for sizes in ((16,), (256, 128), (2048, 2048))] + [CNN]
    known = learn([seen(run, cost_s(run)) for run in probes(cells, 4.0)], HERE)
    assert unknown(cells, known) == []
    assert unknown(cells, learn([seen(CNN, 9.0)], HERE)) == cells[:3]
    assert multiply_adds(cells[2]) > 9 * multiply_adds(cells[1])


# Drift


@pytest.mark.parametrize(("factor", "expected"), [(1.0, None), (1.05, None), (1.25, 0.25), (0.8, -0.2)])
def test_drift_is_said_beyond_10_percent(factor: float, expected: float | None) -> None:
    before = [seen(run, cost_s(run), i) for i, run in enumerate(SHAPES * 4)]
    after = [seen(SHAPES[i % 5], factor * cost_s(SHAPES[i % 5]), 1000 + i) for i in range(COMPARED)]
    assert drift([*after, *before]) == (expected and pytest.approx(expected, abs=0.06))


def test_drift_in_words() -> None:
    assert (describe(0.254), describe(-0.2)) == ("25 % more", "20 % less")


def test_drift_needs_earlier_runs_on_the_same_kind_of_host() -> None:
    runs = [seen(SHAPES[0], 1.0, i) for i in range(COMPARED)]
    assert drift(runs) is drift([]) is None
    elsewhere = [seen(SHAPES[0], 9.0, i - 100, cpu="Skylake") for i in range(50)]
    assert drift([*elsewhere, *runs]) is None
