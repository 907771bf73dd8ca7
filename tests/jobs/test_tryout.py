"""What broken own files get, each as docs/extensions.md says."""

import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from jobs.tryout import one_image_left, one_image_text, tried_out
from tests.extensions import CODE, PAGE

HEAD = "import numpy as np\nfrom torch import nn\nfrom noisy.extend import activation, dataset, model\n\n"
MODEL = "@model('wrong')\ndef wrong(activation, shape, n_classes):\n    size = shape[1] * shape[2]\n"
DATASET = "@dataset('wrong', n_classes=3)\ndef wrong(data_dir):\n    images = np.zeros((8, 5, 5), np.uint8)\n"
OTHER = "@activation('other')\ndef other(x):\n    return x\n"
LIMITS = {"limit_s": 60, "data_limit_s": 60}
BROKEN = {  # what is wrong -> the file below HEAD, what the grid names, the answer or its beginning
    "has a syntax error": ("def broken(:\n", {"activation": ["swish"]}, "my_nets.py, line 5: SyntaxError"),
    "raises": (
        "import missing_package\n",
        {"activation": ["swish"]},
        "my_nets.py, line 5: ModuleNotFoundError: No module named 'missing_package'",
    ),
    "registers a name that exists": (
        "@activation('relu')\ndef relu(x):\n    return x\n",
        {},
        "my_nets.py, line 5: ValueError: activation 'relu': this name is taken",
    ),
    "has a model with another output": (
        MODEL + "    return nn.Sequential(nn.Flatten(), nn.Linear(size, 7), activation())\n",
        {"model": ["wrong"]},
        "model 'wrong' with activation 'relu': 2 images give (2, 7); allowed: (2, 10), (images, classes)",
    ),
    "has a model that fails": (
        MODEL
        + "    class Net(nn.Linear):\n        def forward(self, images):\n            return super().forward(images)[99]\n"
        "    return Net(shape[2], 10)\n",
        {"model": ["wrong"]},
        "model 'wrong' with activation 'relu': my_nets.py, line 10: IndexError: index 99 is out of bounds",
    ),
    "has a model with another output in evaluation": (
        MODEL + "    class Net(nn.Sequential):\n        def forward(self, images):\n            out = super().forward(images)\n"
        "            return out if self.training else out[:, :5]\n"
        "    return Net(nn.Flatten(), nn.Linear(size, n_classes), activation())\n",
        {"model": ["wrong"]},
        "model 'wrong' with activation 'relu': in evaluation, 2 images give (2, 5); allowed: (2, 10), (images, classes)",
    ),
    "has a model without its activation": (
        MODEL + "    return nn.Sequential(nn.Flatten(), nn.Linear(size, n_classes))\n",
        {"model": ["wrong"]},
        "model 'wrong' with activation 'relu': it does not use its activation",
    ),
    "has a model with other random numbers": (
        MODEL + "    net = nn.Sequential(nn.Flatten(), nn.Linear(size, n_classes), activation())\n"
        "    nn.init.constant_(net[1].weight, np.random.default_rng().random())\n    return net\n",
        {"model": ["wrong"]},
        "model 'wrong' with activation 'relu': built again, it has other weights",
    ),
    "has images of another type": (
        DATASET + "    images = images.astype('float32')\n    return images, np.zeros(8, int), images, np.zeros(8, int)\n",
        {"dataset": ["wrong"]},
        "dataset wrong: train images: float32 (8, 5, 5); allowed: images: uint8 (n, height, width) or",
    ),
    "has labels out of range": (
        DATASET + "    return images, np.arange(8), images, np.arange(8)\n",
        {"dataset": ["wrong"]},
        "dataset wrong: train labels: from 0 to 7; allowed: 0 to 2 (n_classes is 3)",
    ),
}


def tried(code: str, folder: Path, batch_size: int = 64, **named: list[str]) -> Any:
    plain = {"model": ["mlp"], "activation": ["relu", "tanh"], "dataset": ["mnist"]}
    places = {"data_dir": str(folder), "is_kept": False}
    lengths = {model: {"batch_size": [128, batch_size], "max_train_samples": [None]} for model in {**plain, **named}["model"]}
    files = [["/home/me/my_nets.py", code]]
    return tried_out({"files": files, **plain, **named, "lengths": lengths, **places, **LIMITS})


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_file_is_named_with_line_and_exception(what: str, tmp_path: Path) -> None:
    code, named, answer = BROKEN[what]
    ((number, text),) = tried(HEAD + code, tmp_path, **named).problems
    assert number == 0 and text.startswith(answer)
    (shown,) = re.findall(rf"^\| {what} \| `(.*)` \|$", PAGE, re.MULTILINE)
    assert text.startswith(shown)
    assert not list(tmp_path.iterdir())


def test_the_example_of_the_page_is_right(tmp_path: Path) -> None:
    found = tried(CODE, tmp_path, model=["resnet6", "mlp", "cnn"], activation=["swish", "relu"], dataset=["rings"])
    assert not found.problems
    assert found.registered == {"model": {"resnet6": 0}, "activation": {"swish": 0}, "dataset": {"rings": 0}}
    assert re.fullmatch("train=800,test=200,classes=4,shape=3x16x16,digest=[0-9a-f]{16}", found.own_data)


def test_a_name_that_two_files_register_is_refused(tmp_path: Path) -> None:
    files = [[f"/home/me/{name}.py", HEAD + OTHER + f"# {name}\n"] for name in ("a", "b")]
    request = {"files": files, "model": [], "activation": ["other"], "dataset": [], "data_dir": str(tmp_path), "is_kept": False}
    request |= LIMITS | {"lengths": {}}
    assert tried_out(request).problems == [(1, "activation 'other': a.py registers it too")]


@pytest.mark.parametrize(
    ("ends", "answer"),
    [
        ("sys.exit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise GeneratorExit", "GeneratorExit"),
    ],
)
def test_a_file_that_ends_the_process_is_named_like_any_other(ends: str, answer: str, tmp_path: Path) -> None:
    assert tried(f"import sys\n{ends}\n", tmp_path).problems == [(0, f"my_nets.py, line 2: {answer}")]
    in_model = HEAD + f"import sys\n@model('wrong')\ndef wrong(activation, shape, n_classes):\n    {ends}\n"
    ((_, text),) = tried(in_model, tmp_path, model=["wrong"]).problems
    assert text == f"model 'wrong' with activation 'relu': my_nets.py, line 8: {answer}"
    in_data = HEAD + f"import sys\n@dataset('wrong', n_classes=3)\ndef wrong(data_dir):\n    {ends}\n"
    ((_, text),) = tried(in_data, tmp_path, dataset=["wrong"]).problems
    assert text == f"dataset 'wrong': my_nets.py, line 8: {answer}"


NORMALISED = MODEL + (
    "    net = nn.Sequential(nn.Flatten(), nn.Linear(size, 8), nn.BatchNorm1d(8), activation(), nn.Linear(8, n_classes))\n"
    "    return net\n"
)
SQUEEZED = MODEL + (
    "    class Net(nn.Sequential):\n        def forward(self, images):\n            return super().forward(images).squeeze()\n"
    "    return Net(nn.Flatten(), nn.Linear(size, n_classes), activation())\n"
)


def test_a_model_that_cannot_be_trained_with_one_image_is_refused_if_a_run_would_have_such_a_batch(tmp_path: Path) -> None:
    for batch_size in (64, 60_000, 70_000):
        assert not tried(HEAD + NORMALISED, tmp_path, batch_size, model=["wrong"]).problems
    ((_, text),) = tried(HEAD + NORMALISED, tmp_path, 59_999, model=["wrong"]).problems
    what, _, allowed = text.partition("; allowed: ")
    run = "with batch_size 59999 and 60,000 training images, the last batch of an epoch has one image"
    problem = "ValueError: Expected more than 1 value per channel when training, got input size torch.Size([1, 8])"
    assert what == f"model 'wrong' with activation 'relu': {run}: {problem}"
    assert allowed == (
        "another number of images, such as batch_size 60000 or max_train_samples 59999, or a model that can be trained with one"
    )
    ((_, text),) = tried(HEAD + SQUEEZED, tmp_path, 59_999, model=["wrong"]).problems
    assert "has one image: one image gives (10,); allowed: another number of images" in text
    assert not tried(HEAD + OTHER, tmp_path, 59_999, activation=["other"]).problems, "what is built in can be trained with one"


def test_the_runs_with_a_batch_of_one_image_and_what_would_do_instead_are_found() -> None:
    for n_train, batch_size, n_images in itertools.product(range(1, 8), range(1, 10), [None, *range(1, 10)]):
        n_used = len(range(n_train)[:n_images])
        batches = [range(n_used)[start : start + batch_size] for start in range(0, n_used, batch_size)]
        found = one_image_left(n_train, [batch_size], [n_images])
        assert found == ((batch_size, n_used) if len(batches[-1]) == 1 else None)
        if found:
            for key, value in re.findall(r"(batch_size|max_train_samples) (\d+)", one_image_text(*found)[1]):
                changed = {"batch_size": batch_size, "max_train_samples": n_used, key: int(value)}
                assert not one_image_left(changed["max_train_samples"], [changed["batch_size"]], [None])
    assert one_image_left(800, [64, 47, 17], [None, 17, 400]) == (47, 800)
    assert one_image_text(1, 800)[0] == "with batch_size 1 and 800 training images, each batch has one image"
    assert one_image_left(800, [], [None]) is None


def test_the_built_in_cnn_names_the_size_of_images_that_it_needs(tmp_path: Path) -> None:
    code = HEAD + DATASET + "    return images[:, :3], np.zeros(8, int), images[:, :3], np.zeros(8, int)\n"
    ((_, text),) = tried(code, tmp_path, model=["cnn"], dataset=["wrong"]).problems
    problem = "ValueError: images of 3 x 5; allowed: at least 4 x 4, since cnn halves both twice"
    assert text == f"model 'cnn' with activation 'relu': {problem}"
