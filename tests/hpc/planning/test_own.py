"""Costs of own models and data sets: a wide guess before they were measured, and a kind of their own afterwards."""

from dataclasses import replace

import pytest

from hpc.planning.model import Observation, Setting, learn, name_of
from hpc.planning.priors import estimate, least_gpu_s
from hpc.planning.probes import probes, unknown
from hpc.planning.sizes import data_mb, least_mem_mb, multiply_adds, n_weights, terms, training_mb
from noisy.datasets import DatasetInfo
from noisy.models import build_model
from noisy.spec import Execution, RunSpec
from tests.specs import spec

LARGE = DatasetInfo(50_000, 10_000, 7, (3, 32, 40), "0" * 16).text
OWN = spec(model_type="resnet6", activation="swish", extensions="a" * 16)
HERE = Setting("2.9", host="h0")


def seen(run: RunSpec, cpu_s: float) -> Observation:
    return Observation(run, cpu_s, cpu_s, 700.0, 1.0, "h0", "Zen", "blas", "2.9")


def test_the_cost_of_an_own_model_is_a_wide_guess_until_it_was_measured() -> None:
    guess = estimate(OWN, Execution()).cpu_s
    assert guess.high / guess.low > 100 and guess.low < guess.middle < guess.high
    knowledge = learn([seen(replace(OWN, repeat=i, activation="relu"), 50.0) for i in range(4)], HERE)
    assert knowledge.of(OWN) and not unknown([OWN], knowledge)
    assert estimate(OWN, Execution(), knowledge).cpu_s.middle == pytest.approx(50, rel=0.1)
    longer = estimate(replace(OWN, epochs=20), Execution(), knowledge).cpu_s.middle
    assert longer == pytest.approx(10 * 50, rel=0.1), "its time is that of its epochs"


def test_each_own_model_file_and_data_set_is_a_kind_of_its_own() -> None:
    knowledge = learn([seen(OWN, 50.0)], HERE)
    others = replace(OWN, model_type="vgg"), replace(OWN, extensions="b" * 16), replace(OWN, dataset="big", own_data=LARGE)
    assert unknown([OWN, *others, spec()], knowledge) == [*others, spec()]
    assert name_of(OWN) == "resnet6 float32"
    assert not unknown([spec(activation="swish", extensions="a" * 16)], learn([seen(spec(), 1.0)], HERE)), "an mlp is an mlp"


def test_short_runs_keep_the_files_that_their_activations_need() -> None:
    cells = [spec(), spec(activation="swish", extensions="a" * 16), OWN, replace(OWN, activation="relu")]
    short = probes(cells, seconds=1)
    assert {(run.model_type, run.activation, run.extensions) for run in short} == {
        (run.model_type, run.activation, run.extensions) for run in cells
    }


@pytest.mark.parametrize("model_type", ["mlp", "cnn"])
def test_sizes_of_built_in_networks_follow_the_data_set(model_type: str) -> None:
    run = spec(model_type=model_type, dataset="big", extensions="a" * 16, own_data=LARGE)
    matrices = [p for p in build_model(run, 7).parameters() if p.dim() > 1]
    assert n_weights(run) == sum(p.numel() for p in matrices)
    places = [32 * 40, 16 * 20] if model_type == "cnn" else []
    outputs = [*places, *[1] * len(matrices)][: len(matrices)]
    assert multiply_adds(run) == sum(p.numel() * n for p, n in zip(matrices, outputs, strict=True))
    assert data_mb(run) == 60_000 * (3 * 32 * 40 + 1) / 1e6
    assert terms(run)[2] == run.epochs * 50_000 * 3 * 32 * 40 / 784


def test_nothing_is_refused_for_the_assumed_memory_of_an_own_model() -> None:
    assert least_mem_mb(OWN) < 1 < training_mb(OWN)


def test_on_a_gpu_a_run_with_own_files_pays_its_own_steps() -> None:
    tiny, execution = replace(OWN, max_train_samples=128, epochs=1), Execution(use_cuda=True, runs_together=128)
    assert estimate(tiny, execution).gpu_s.low >= least_gpu_s(tiny)
