"""Laws of the data sets: fixed bytes, mapped read-only, damage and absence said in words."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from noisy import data
from noisy.spec import DATASETS

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def _restaged(tmp_path: Path) -> Path:
    """The folder of a copy of digits that a test may damage."""
    data.stage("digits", tmp_path)
    return tmp_path / "Digits" / "raw"


def test_digits_have_their_shapes_and_use_the_whole_range(digits: data.Data) -> None:
    info = DATASETS["digits"]
    assert digits.train_images.shape == (info.n_train, 28, 28) and digits.train_labels.shape == (info.n_train,)
    assert digits.test_images.shape == (info.n_test, 28, 28) and digits.test_labels.shape == (info.n_test,)
    assert digits.n_classes == info.n_classes == 10
    for array in (digits.train_images, digits.train_labels, digits.test_images, digits.test_labels):
        assert array.dtype == np.uint8
    assert digits.train_images.min() == 0 and digits.train_images.max() == 255
    assert set(digits.train_labels) == set(digits.test_labels) == set(range(10))


def test_digits_are_split_stratified_every_fifth_to_the_test_set(digits: data.Data) -> None:
    in_all = np.bincount(load_digits().target)
    assert np.bincount(digits.test_labels).tolist() == (in_all // 5).tolist()
    assert np.bincount(digits.train_labels).tolist() == (in_all - in_all // 5).tolist()


def test_digits_are_the_bilinear_enlargement_that_torch_computes(digits: data.Data) -> None:
    small = torch.from_numpy(load_digits().images)[:, None]
    large = torch.nn.functional.interpolate(small, size=(28, 28), mode="bilinear", align_corners=False).numpy()[:, 0] * 255 / 16
    images = np.concatenate([digits.train_images, digits.test_images])
    labels = np.concatenate([digits.train_labels, digits.test_labels])
    for label in range(10):  # within a class the order of the source is kept, with every fifth image taken out
        source = large[load_digits().target == label]
        is_test = np.arange(len(source)) % 5 == 4
        assert np.abs(images[labels == label] - np.concatenate([source[~is_test], source[is_test]])).max() < 0.5 + 1e-6


def test_digits_are_the_same_bytes_everywhere(digits: data.Data) -> None:
    assert digits.digest() == "270629c761cdfa7e"


def test_the_digest_covers_every_array(tmp_path: Path) -> None:
    raw = _restaged(tmp_path)
    for file in FILES:
        content = (raw / file).read_bytes()
        (raw / file).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert data.load("digits", tmp_path).digest() != "270629c761cdfa7e"
        (raw / file).write_bytes(content)
    assert data.load("digits", tmp_path).digest() == "270629c761cdfa7e"


def test_staging_twice_leaves_the_first_files_and_nothing_else(tmp_path: Path) -> None:
    raw = _restaged(tmp_path)
    before = {path.name: path.stat().st_ino for path in raw.iterdir()}
    data.stage("digits", tmp_path)
    assert {path.name: path.stat().st_ino for path in raw.iterdir()} == before
    assert set(before) == set(FILES)


def test_arrays_are_mapped_read_only(digits: data.Data) -> None:
    for array in (digits.train_images, digits.train_labels, digits.test_images, digits.test_labels):
        assert isinstance(array, np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_a_missing_set_is_named_with_its_folder_and_the_option(tmp_path: Path) -> None:
    assert not data.is_staged("mnist", tmp_path)
    with pytest.raises(data.DataError) as error:
        data.load("mnist", tmp_path)
    assert str(tmp_path / "MNIST" / "raw") in str(error.value)
    assert "--data-dir" in str(error.value)


@pytest.mark.parametrize("file", FILES)
def test_a_set_that_lacks_a_file_is_not_staged(file: str, tmp_path: Path) -> None:
    raw = _restaged(tmp_path)
    assert data.is_staged("digits", tmp_path)
    (raw / file).unlink()
    assert not data.is_staged("digits", tmp_path)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("damage", ["truncated", "longer", "empty", "wrong magic number", "wrong shape"])
def test_a_damaged_file_is_named(file: str, damage: str, tmp_path: Path) -> None:
    path = _restaged(tmp_path) / file
    content = path.read_bytes()
    path.write_bytes(
        {
            "truncated": content[:-1],
            "longer": content + b"\0",
            "empty": b"",
            "wrong magic number": b"\0\0\x09" + content[3:],
            "wrong shape": content[:4] + bytes(4) + content[8:],
        }[damage]
    )
    with pytest.raises(data.DataError) as error:
        data.stage("digits", tmp_path)
    assert str(path) in str(error.value) and "delete it and run again" in str(error.value)


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    with pytest.raises(data.DataError, match=r"dataset digits: not in .*file/Digits/raw.* --data-dir"):
        data.stage("digits", in_the_way)


def _stage_kmnist(data_dir: Path, proxy: str) -> str:
    """Standard output of a process that stages kmnist through `proxy`: the DataError's text if there is one."""
    program = (
        "import sys\nfrom noisy import data\n"
        "try: data.stage('kmnist', sys.argv[1])\n"
        "except data.DataError as error: print(error)\nelse: print('staged')"
    )
    environment = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"}
    environment |= dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), proxy)
    command = [sys.executable, "-c", program, str(data_dir)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _assert_says_what_to_do(message: str, data_dir: Path) -> None:
    assert message.startswith(f"dataset kmnist: not in {str(data_dir / 'KMNIST' / 'raw')!r} and could not be put there (")
    assert all(file in message for file in FILES)
    assert "--data-dir" in message
    assert not data.is_staged("kmnist", data_dir)


def test_without_a_network_a_download_ends_in_one_clear_error(tmp_path: Path) -> None:
    with socket.socket() as closed:  # bound but not listening: the port refuses, and nobody else gets it
        closed.bind(("127.0.0.1", 0))
        message = _stage_kmnist(tmp_path, f"http://127.0.0.1:{closed.getsockname()[1]}")
    _assert_says_what_to_do(message, tmp_path)
    assert "refused" in message


@contextmanager
def _proxy_that_answers_garbage() -> Iterator[tuple[str, list[str]]]:
    """Address of an HTTP proxy, and the list of the addresses that it was asked for."""
    asked: list[str] = []

    class Garbage(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"<html>please log in to the campus network</html>".ljust(1000))

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Garbage) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def test_what_a_captive_portal_sends_is_refused_by_its_checksum(tmp_path: Path) -> None:
    with _proxy_that_answers_garbage() as (proxy, asked):
        message = _stage_kmnist(tmp_path, proxy)
    assert asked and all("kmnist" in address for address in asked)
    _assert_says_what_to_do(message, tmp_path)
