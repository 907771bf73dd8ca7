"""Laws of identity and of the random streams."""

import dataclasses
import json
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from noisy.spec import ALLOWED, DEFAULT_HIDDEN_SIZES, RunSpec, Stream, run_id_of
from tests.specs import spec

RELIABLE = {
    "dataset": "mnist",
    "activation": "relu",
    "p": 0.3,
    "repeat": 7,
    "seed": 1234,
    "learning_rate": 0.001,
    "weight_decay": 0.0,
}
RELIABLE_MLP = {**RELIABLE, "model_type": "mlp", "hidden_sizes": (1024, 512, 256), "epochs": 15, "batch_size": 512}
RELIABLE_CNN = {**RELIABLE, "model_type": "cnn", "epochs": 20, "batch_size": 256}

CHANGES = {
    "dataset": "mnist",
    "activation": "tanh",
    "model_type": "cnn",
    "p": 0.31,
    "repeat": 1,
    "seed": 1235,
    "epochs": 3,
    "batch_size": 127,
    "learning_rate": 0.002,
    "weight_decay": 0.1,
    "hidden_sizes": (32, 32),
    "max_train_samples": 100,
    "precision": "bfloat16",
}

OWN = {"extensions": 16 * "a", "own_data": "train=10,test=5,classes=2,shape=3x8x8,digest=" + 16 * "0"}
OTHER = {"extensions": f"{16 * 'a'}+{16 * 'b'}", "own_data": OWN["own_data"][:-1] + "1"}

NOT_ALLOWED = [
    *(("dataset", value) for value in ("cifar10", "", None, ["mnist"])),
    *(("activation", value) for value in ("swish", "ReLU", None, 1)),
    *(("precision", value) for value in ("float16", "bf16", None, 32)),
    *(("model_type", value) for value in ("rnn", None, True)),
    *(("p", value) for value in (-0.01, 1.01, float("nan"), float("inf"), "0.3", None, True)),
    *(("repeat", value) for value in (-1, 0.0, 1.5, "1", None, True)),
    *(("seed", value) for value in (-1, 2**63, 1.0, None, False)),
    *(("epochs", value) for value in (0, -1, 2.0, "2", None, True)),
    *(("batch_size", value) for value in (0, 0.5, None, True)),
    *(("learning_rate", value) for value in (0, -1e-3, float("inf"), "1e-3", None, True)),
    *(("weight_decay", value) for value in (-1e-9, float("nan"), "0", None, False)),
    *(("hidden_sizes", value) for value in ((), [0], (32, 1.5), 32, "32", [True], [None])),
    *(("max_train_samples", value) for value in (0, -1, 10.0, "10", True)),
    *(("extensions", value) for value in ("abc", "A" * 16, None, 16 * "0" + "+", "0" * 17)),
    *(("own_data", value) for value in ("train=1", None, 3)),
]


@pytest.mark.parametrize(
    ("fields", "run_id"),
    [
        (RELIABLE_MLP, "bd5dc4d9d89ce8f8"),
        (RELIABLE_CNN, "8feab61c777f338a"),
        ({**RELIABLE_CNN, "max_train_samples": 5000}, "e0f35f797ad77600"),
    ],
)
def test_ids_of_recorded_runs_never_change(fields: dict[str, Any], run_id: str) -> None:
    assert RunSpec(**fields).run_id == run_id


def test_identity_is_the_whole_spec_as_sorted_json_without_defaults() -> None:
    assert RunSpec(**RELIABLE_CNN).canonical_json() == (
        '{"activation":"relu","batch_size":256,"dataset":"mnist","epochs":20,"learning_rate":0.001,"model_type":"cnn",'
        '"p":0.3,"repeat":7,"seed":1234,"weight_decay":0.0}'
    )
    assert json.loads(RunSpec(**RELIABLE_MLP).canonical_json()) == {**RELIABLE_MLP, "hidden_sizes": [1024, 512, 256]}


def test_id_can_be_had_from_the_stored_text() -> None:
    assert run_id_of(spec().canonical_json()) == spec().run_id


@pytest.mark.parametrize(
    ("plain", "other"),
    [
        ({"p": 0.0}, {"p": 0}),
        ({"p": 0.0}, {"p": -0.0}),
        ({"p": 1.0}, {"p": np.int64(1)}),
        ({"p": 0.5}, {"p": np.float32(0.5)}),
        ({"weight_decay": 0.0}, {"weight_decay": -0.0}),
        ({"weight_decay": 0.0}, {"weight_decay": np.uint8(0)}),
        ({"learning_rate": 1.0}, {"learning_rate": 1}),
        ({"learning_rate": 0.001}, {"learning_rate": 1e-3}),
        ({"repeat": 3, "seed": 5, "epochs": 2}, {"repeat": np.int64(3), "seed": np.uint32(5), "epochs": np.int8(2)}),
        ({"batch_size": 64, "max_train_samples": 100}, {"batch_size": np.int32(64), "max_train_samples": np.int16(100)}),
        ({"hidden_sizes": (32, 16)}, {"hidden_sizes": [np.int64(32), 16]}),
        ({"hidden_sizes": DEFAULT_HIDDEN_SIZES}, {"hidden_sizes": None}),
    ],
)
def test_equal_values_have_one_id_whatever_their_type(plain: dict[str, Any], other: dict[str, Any]) -> None:
    assert spec(**plain) == spec(**other)
    assert spec(**plain).run_id == spec(**other).run_id


def test_every_field_is_part_of_the_id() -> None:
    assert {*CHANGES, *OWN} == {field.name for field in dataclasses.fields(RunSpec)} == set(ALLOWED)
    own = spec(dataset="rings", **OWN)
    assert len({own.run_id, *(spec(dataset="rings", **{**OWN, name: OTHER[name]}).run_id for name in OWN)}) == 3
    changed = [spec(**({name: value} | ({"hidden_sizes": None} if value == "cnn" else {}))) for name, value in CHANGES.items()]
    ids = [run.run_id for run in [spec(), *changed]]
    assert len(set(ids)) == len(ids)


def test_hidden_sizes_are_ordered() -> None:
    assert spec(hidden_sizes=(64, 32)).run_id != spec(hidden_sizes=(32, 64)).run_id


@pytest.mark.parametrize(("name", "value"), NOT_ALLOWED)
def test_what_is_not_allowed_is_refused_with_field_value_and_what_is_allowed(name: str, value: Any) -> None:
    with pytest.raises(ValueError) as error:
        RunSpec(**{**RELIABLE_MLP, "hidden_sizes": None, name: value})
    assert str(error.value).startswith(f"{name}: {value!r}: ")
    assert ALLOWED[name].text in str(error.value)


def test_hidden_sizes_are_refused_for_a_cnn() -> None:
    with pytest.raises(ValueError, match=r"hidden_sizes: \(32,\): applies to mlp only, not to 'cnn'"):
        spec(model_type="cnn", hidden_sizes=(32,))


def test_hidden_sizes_default_to_256_128_for_an_mlp_and_to_none_for_a_cnn() -> None:
    assert spec(hidden_sizes=None).hidden_sizes == (256, 128)
    assert spec(model_type="cnn").hidden_sizes is None


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec().p = 0.5


@pytest.mark.parametrize(("limit", "n_samples"), [(None, 1_442), (100, 100), (1_442, 1_442), (5_000, 1_442)])
def test_max_train_samples_is_bounded_by_the_set(limit: int | None, n_samples: int) -> None:
    assert spec(max_train_samples=limit).n_train_samples() == n_samples


def _numbers(run: RunSpec, stream: Stream, *indices: int) -> bytes:
    return run.generator(stream, *indices).random(8).tobytes()


def test_a_stream_is_a_function_of_seed_repeat_purpose_and_indices() -> None:
    streams = [
        (spec(seed=seed, repeat=repeat), stream, *indices)
        for seed in (0, 1, 2**32, 2**63 - 1)  # 0 and 2**32 are one seed for torch's generator
        for repeat in (0, 1, 2)
        for stream, indices in ((0, ()), (1, (0,)), (1, (1,)), (2, (0, 0)), (2, (0, 1)), (2, (1, 0)))
    ]
    numbers = [_numbers(*stream) for stream in streams]
    assert numbers == [_numbers(*stream) for stream in streams]
    assert all(a != b for a, b in combinations(numbers, 2))


def test_streams_are_shared_by_all_runs_of_a_repeat() -> None:
    changes = {name: value for name, value in CHANGES.items() if name not in ("seed", "repeat")}
    others = [spec(**{"hidden_sizes": None, name: value}) for name, value in changes.items()]
    for stream, indices in ((Stream.WEIGHTS, ()), (Stream.ORDER, (3,)), (Stream.NOISE, (3, 4))):
        assert {_numbers(other, stream, *indices) for other in others} == {_numbers(spec(), stream, *indices)}


def test_the_numbers_of_a_stream_never_change() -> None:
    """They are part of every recorded result."""
    expected = np.random.Generator(np.random.SFC64(np.random.SeedSequence(1234, spawn_key=(2, 7, 3, 4)))).random(5)
    assert np.array_equal(spec(repeat=7).generator(Stream.NOISE, 3, 4).random(5), expected)
    assert (Stream.WEIGHTS, Stream.ORDER, Stream.NOISE) == (0, 1, 2)
