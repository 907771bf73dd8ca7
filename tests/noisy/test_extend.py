"""The registry of models, activations and data sets; how networks of own files are built and trained."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from noisy import extend
from noisy.data import DataError
from noisy.datasets import DatasetInfo
from noisy.models import build_model, images_at_once
from noisy.optimizer import Adam
from noisy.owndata import kept, own_data
from noisy.spec import ACTIVATION_NAMES, MODEL_TYPES, RunSpec
from noisy.training import train
from tests.extensions import CODE, DIGEST, rings
from tests.noisy.test_models import _global_state
from tests.specs import spec

ZEROS = np.zeros((4, 5, 6), np.uint8)
LABELS = np.array([0, 1, 2, 0])
CPU = torch.device("cpu")


def own(**changes: Any) -> RunSpec:
    extend.load(CODE.encode(), "my_nets.py")
    return spec(**{"model_type": "resnet6", "activation": "swish", "extensions": DIGEST, **changes})


def test_what_is_built_in_is_registered_like_what_is_not() -> None:
    assert tuple(extend.registered("").model) == MODEL_TYPES and tuple(extend.registered("").activation) == ACTIVATION_NAMES
    assert own() and set(extend.registered(DIGEST).model) == {"resnet6"}
    swish = extend.find("activation", "swish", DIGEST)()
    assert torch.equal(swish(torch.tensor([0.0, 100.0])), torch.tensor([0.0, 100.0]))


def test_what_a_file_registers_is_seen_by_its_own_runs_only() -> None:
    assert own()
    with pytest.raises(extend.ExtensionError, match=r"activation 'swish': not built in, and no file with the digest \(none\)"):
        extend.find("activation", "swish")
    with pytest.raises(ValueError, match="activation: 'swish': allowed: one of relu"):
        spec(activation="swish")


def test_two_versions_of_a_file_live_side_by_side() -> None:
    other = extend.load(CODE.replace("torch.sigmoid(values)", "0").encode(), "my_nets.py")
    ones = torch.ones(1)
    assert (
        extend.find("activation", "swish", other)()(ones) == 0 != extend.find("activation", "swish", own().extensions)()(ones)
    )


@pytest.mark.parametrize("name", ["Swish", "", "a b", "a" * 41, 3])
def test_a_name_that_is_not_allowed_is_refused(name: Any) -> None:
    with pytest.raises(extend.ExtensionError, match="allowed: a name of lower-case letters"):
        extend.load(f"from noisy.extend import model\nmodel({name!r})(abs)\n".encode(), "my_nets.py")


def test_own_layers_and_classes_of_layers_can_be_activations() -> None:
    code = b"from torch import nn\nfrom noisy.extend import activation\n@activation('p_relu')\nclass P(nn.PReLU):\n    pass\n"
    layer = extend.find("activation", "p_relu", extend.load(code, "nets.py"))
    assert isinstance(layer(), nn.PReLU) and layer() is not layer()


def test_the_weights_of_an_own_model_are_those_of_its_repeat_for_all_activations() -> None:
    def weights(run: RunSpec) -> bytes:
        with extend.own_random_numbers(run, CPU):
            return torch.nn.utils.parameters_to_vector(build_model(run, 10).parameters()).detach().numpy().tobytes()

    assert weights(own()) == weights(own(p=0.9, activation="relu", epochs=7))
    assert len({weights(run) for run in (own(), own(repeat=1), own(seed=1))}) == 3


def test_no_global_generator_is_touched(tmp_path: Path) -> None:
    data = rings(tmp_path)
    assert data.own
    run = own(dataset="rings", own_data=data.own.text, max_train_samples=100)
    before = _global_state()
    result = train(run, data)
    assert _global_state() == before
    assert result.n_test == 200 and len(result.correct) == 25


def test_an_own_model_gets_whole_batches() -> None:
    assert images_at_once(own(batch_size=300)) == 300 and images_at_once(spec(model_type="cnn", batch_size=300)) == 64


@pytest.mark.slow
def test_adam_leaves_a_layer_without_gradient_as_torchs_does() -> None:
    ours, theirs = ([nn.Parameter(torch.full((3,), float(i))) for i in range(3)] for _ in range(2))
    adam, oracle = Adam(ours, 0.1, 0.0), torch.optim.Adam(theirs, 0.1)
    for used in ((0, 2), (1,), (0, 1, 2)):
        for parameters, step in ((ours, adam.step), (theirs, oracle.step)):
            sum((parameters[i] ** 2 + parameters[i]).sum() for i in used).backward()
            step()
        oracle.zero_grad()
    assert all(torch.allclose(*pair, rtol=0, atol=1e-6) for pair in zip(ours, theirs, strict=True))


def test_sizes_of_an_own_data_set_are_text_and_back() -> None:
    for images, shape in ((ZEROS, (1, 5, 6)), (np.zeros((4, 3, 5, 6), np.uint8), (3, 5, 6))):
        info = own_data("some", (images, LABELS, images[:2], LABELS[:2]), 3).own
        assert info and info[:4] == (4, 2, 3, shape)
        assert own(dataset="some", own_data=info.text).data == info


@pytest.mark.parametrize(
    ("arrays", "what"),
    [
        ((ZEROS, LABELS), "it returns tuple"),
        (None, "it returns NoneType"),
        ((ZEROS.astype(float), LABELS, ZEROS, LABELS), "train images: float64"),
        ((ZEROS[0], LABELS, ZEROS, LABELS), r"train images: uint8 \(5, 6\)"),
        ((ZEROS[:0], LABELS[:0], ZEROS, LABELS), r"train images: uint8 \(0, 5, 6\)"),
        ((ZEROS, LABELS, ZEROS, LABELS + 0.5), "test labels: float64"),
        ((ZEROS, LABELS[:3], ZEROS, LABELS), r"train labels: int64 \(3,\) for 4 images"),
        ((ZEROS, LABELS, ZEROS, LABELS + 1), "test labels: from 1 to 3; allowed: 0 to 2"),
        ((ZEROS, LABELS - 1, ZEROS, LABELS), "train labels: from -1 to 1"),
        ((ZEROS, LABELS, ZEROS[:, :4], LABELS), r"training images \(5, 6\) and test images \(4, 6\)"),
        ((np.zeros((4, 5, 6, 3), np.uint8), LABELS, ZEROS, LABELS), r"images.transpose\(0, 3, 1, 2\)"),
    ],
)
def test_arrays_that_are_no_data_set_are_refused(arrays: Any, what: str) -> None:
    with pytest.raises(DataError, match=f"dataset some: .*{what}"):
        own_data("some", arrays, 3)


def test_a_data_set_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    assert kept("rings", tmp_path / "none", 4) is None
    data = rings(tmp_path)
    (folder,) = (tmp_path / "own").iterdir()
    assert kept("rings", folder, 4) is not None and data.own == kept("rings", folder, 4).own
    for content in (
        b"",
        b"PK\x03\x04",
        b"\x93NUMPY",
    ):  # a crash may leave an empty file
        (folder / "train_images.npy").write_bytes(content)
        assert kept("rings", folder, 4) is None
    (folder / "train_images.npy").unlink()
    assert kept("rings", folder, 4) is None
    assert rings(tmp_path).own == data.own and kept("rings", folder, 4) is not None, "it is made anew"
    assert [path.name for path in (tmp_path / "own").iterdir()] == [folder.name]


def test_a_run_names_its_files_and_data_if_and_only_if_it_uses_them() -> None:
    text = DatasetInfo(4, 2, 3, (1, 5, 6), "0" * 16).text
    for wrong in (
        {"activation": "relu", "model_type": "mlp"},
        {"own_data": text},
        {"dataset": "some"},
        {"extensions": ""},
        {"extensions": "0"},
        {"dataset": "some", "own_data": "train=3"},
        {"hidden_sizes": (3,)},
    ):
        with pytest.raises(ValueError, match=r"allowed|applies"):
            own(**wrong)
    assert own().shape() == own(activation="relu", p=0.0, repeat=0, seed=0)
    assert own(model_type="mlp").shape() == spec(p=0.0, repeat=0, seed=0)


def test_a_file_may_hold_what_looks_up_its_module() -> None:
    code = "from __future__ import annotations\nimport pickle\nfrom dataclasses import dataclass\n"
    code += "@dataclass\nclass Sizes:\n    width: int = 3\nassert pickle.loads(pickle.dumps(Sizes())) == Sizes()\n"
    assert extend.registered(extend.load(code.encode(), "sizes.py")) == extend.Registry()
