"""What broken own files get, each as docs/extensions.md says."""

import re
from pathlib import Path
from typing import Any

import pytest

from jobs.tryout import tried_out
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


def tried(code: str, folder: Path, **named: list[str]) -> Any:
    plain = {"model": ["mlp"], "activation": ["relu", "tanh"], "dataset": ["mnist"]}
    places = {"data_dir": str(folder), "is_kept": False}
    return tried_out({"files": [["/home/me/my_nets.py", code]], **plain, **named, **places, **LIMITS})


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
    request |= LIMITS
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


def test_the_built_in_cnn_names_the_size_of_images_that_it_needs(tmp_path: Path) -> None:
    code = HEAD + DATASET + "    return images[:, :3], np.zeros(8, int), images[:, :3], np.zeros(8, int)\n"
    ((_, text),) = tried(code, tmp_path, model=["cnn"], dataset=["wrong"]).problems
    problem = "ValueError: images of 3 x 5; allowed: at least 4 x 4, since cnn halves both twice"
    assert text == f"model 'cnn' with activation 'relu': {problem}"
