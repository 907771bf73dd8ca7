"""The files of the published data sets: where they may be, their contents, and how they are downloaded.

They have MNIST's format (idx: a short header, then raw bytes). A file is recognised by its digest. It may be in one of several
folders and have one of several names.
"""

import gzip
import hashlib
import os
import re
import sys
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from noisy.datasets import DATASETS, IMAGE_SIZE_PX

FOLDERS = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "kmnist": "KMNIST", "digits": "Digits"}
FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
MD5 = {  # MD5 of the four unpacked files. Publishers and torchvision give the MD5 of the packed files, which unpack to these.
    "mnist": (
        "6bbc9ace898e44ae57da46a324031adb",
        "a25bea736e30d166cdddb491f175f624",
        "2646ac647ad5339dbf082846283269ea",
        "27ae3e4e09519cfbb04c329615203637",
    ),
    "fashion_mnist": (
        "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "9018921c3c673c538a1fc5bad174d6f9",
        "8181f5470baa50b63fa0f6fddb340f0a",
        "15d484375f8d13e6eb1aabb0c3f46965",
    ),
    "kmnist": (
        "92be26ec9822e900ac425d0a0aa84ced",
        "949e75301f8813e0dc5800dcc320fc52",
        "bf305b8cd328700fbc17f5acbc2856d2",
        "9f55f451c0988b028eccdf7d5cc265ab",
    ),
    "digits": (
        "b10b48e533ef4616048325c96de046ce",
        "43f2a2be91736ec4244b5b3fcaa46d4b",
        "bd8908b317779f46247edaf72403b90d",
        "898bcfa68dcca11227d9572bec8161eb",
    ),
}
_MIRRORS = {  # as in torchvision.datasets; http suffices, because the digest is checked after the download
    "mnist": ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
    "fashion_mnist": ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    "kmnist": ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
}
_OWNER = {md5: f"{name}'s {file}" for name, digests in MD5.items() for file, md5 in zip(FILES, digests, strict=True)}
_GZIP = b"\x1f\x8b"  # the first bytes of a packed file
_PATIENCE_S = 30  # to wait for an answer of a server
_USE_OTHERS = "or name the folder of the data with --data-dir"


class DataError(Exception):
    """A data set is missing, incomplete or not the published one. details: a line for each file, and what to do next."""

    def __init__(self, message: str, details: Sequence[str]) -> None:
        super().__init__("; ".join([message, *details]))
        self.message, self.details = message, list(details)


def folder(name: str, data_dir: str | Path) -> Path:
    """The folder into which missing files of data set `name` are put: the one that torchvision uses below `data_dir`."""
    return Path(data_dir) / FOLDERS[name] / "raw"


def search(name: str, data_dir: str | Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """Find the files of a data set below `data_dir` by their contents. Writes nothing.

    Returns:
        The arrays of the files found: uint8 (n_images, 28, 28) or (n_images,), read-only. They are memory-mapped, or in memory
        if the file is packed. Also a line for each file that says what was found.

    Raises:
        DataError: another file is in the place of a missing one, or a folder cannot be read.
    """
    info, square = DATASETS[name], (IMAGE_SIZE_PX, IMAGE_SIZE_PX)
    shapes = ((info.n_train, *square), (info.n_train,), (info.n_test, *square), (info.n_test,))
    folders, own = _folders(name, Path(data_dir)), folder(name, data_dir)
    found, said, taken = {}, [], []
    for file, shape, md5 in zip(FILES, shapes, MD5[name], strict=True):
        wrong = []
        for path in (each / spelt for each in folders for spelt in _spellings(file)):
            if path.is_file():
                header_bytes = 4 + 4 * len(shape)
                content, problem = _checked(path, header_bytes + int(np.prod(shape)), md5)
                if not problem:
                    found[file] = content[header_bytes:].reshape(shape)
                    said.append(f"{file}: found, {path}")
                    break
                wrong.append(f"{file}: {path} {problem}")
        else:
            said += wrong or [f"{file}: missing"]
            taken += [file] if (own / file).exists() else []
    if taken:
        what_next = f"delete or move {', '.join(taken)} in {own} and run again, {_USE_OTHERS}"
        raise DataError(f"dataset {name}: not the published files", [*said, what_next])
    return found, said


def incomplete(name: str, data_dir: str | Path, said: Sequence[str]) -> DataError:
    """The error for missing files. said: lines on what was found and what was tried."""
    folders = [str(each) for each in _folders(name, Path(data_dir)) if each.is_dir()]
    names = ", ".join(_spellings("NAME-idx3-ubyte"))
    looked = f"looked in {', '.join(folders)} for {names}" if folders else f"{data_dir}: no such folder"
    what_next = f"if this machine has no network, copy the files to {folder(name, data_dir)}, {_USE_OTHERS}"
    return DataError(f"dataset {name}: files are missing in {str(data_dir)!r}", [*said, looked, what_next])


def put(target: Path, contents: Mapping[str, bytes]) -> None:
    """Make a folder and write files into it. After an error, nothing is left behind.

    Raises:
        OSError: the folder or a file cannot be written.
    """
    existing = next(each for each in (target, *target.parents) if each.exists())
    with tempfile.TemporaryDirectory(dir=existing, prefix=".staging-") as temporary:
        for file, content in contents.items():
            (Path(temporary) / file).write_bytes(content)
        target.mkdir(parents=True, exist_ok=True)
        for file in contents:
            os.rename(Path(temporary) / file, target / file)


def downloaded(name: str, files: Sequence[str]) -> dict[str, bytes]:
    """Download files of a data set. Returns their unpacked contents.

    Raises:
        OSError: a file is on no mirror; the message has a line for each mirror.
    """
    urls = {file: [f"{mirror}{file}.gz" for mirror in _MIRRORS.get(name, ())] for file in files}
    return {file: fetched(urls[file], MD5[name][FILES.index(file)]) for file in files}


def fetched(urls: Sequence[str], md5: str) -> bytes:
    """Download packed files until the unpacked contents of one have this digest. Returns these contents.

    Raises:
        OSError: no file has it; the message has a line for each address.
    """
    import urllib.request  # imported here, because workers that find their data do not need it

    failures = []
    for url in urls:
        print(f"downloading {url}", file=sys.stderr)
        try:
            with urllib.request.build_opener().open(url, None, _PATIENCE_S) as answer:
                content = gzip.decompress(answer.read())
        except Exception as error:  # URLError, HTTPException, BadGzipFile, EOFError, zlib.error, ...: try the next address
            failures.append(f"download of {url}: {getattr(error, 'reason', error)}")
            continue
        if _md5(content) == md5:
            return content
        failures.append(f"download of {url}: MD5 {_md5(content)} instead of {md5}")
    raise OSError("\n".join(failures))


def _spellings(file: str) -> tuple[str, ...]:
    """The names that a file may have, in order of preference: plain, with a dot, in a folder with its name, or packed."""
    dotted = file.replace("-idx", ".idx")
    return file, dotted, f"{file}/{file}", f"{file}.gz", f"{dotted}.gz"


def _folders(name: str, data_dir: Path) -> list[Path]:
    """The folders that may have a set's files, in order of preference: its own in any spelling, then shared ones."""
    own = _inside(data_dir, FOLDERS[name])
    raw = [inner for each in (*own, data_dir) for inner in _inside(each, "raw")]
    return list(dict.fromkeys([folder(name, data_dir), *raw, *own, data_dir]))


def _inside(parent: Path, name: str) -> list[Path]:
    """The entries of a folder with this name. Case, dashes and underscores are ignored."""
    try:
        entries = sorted(parent.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise DataError(f"{parent}: cannot be read ({error.strerror})", ["make it readable", _USE_OTHERS]) from error
    return [entry for entry in entries if re.sub("[-_]", "", entry.name).lower() == name.lower()]


def _mapped(path: Path) -> np.ndarray:
    try:
        return np.memmap(path, np.uint8, "r")
    except OSError:  # some file systems cannot map a file
        return np.fromfile(path, np.uint8)


def _checked(path: Path, size_bytes: int, md5: str) -> tuple[np.ndarray, str]:
    """The contents of a file, uint8 (size_bytes,), and what is wrong with it (empty: nothing)."""
    content, is_packed = np.empty(0, np.uint8), False
    try:
        if path.stat().st_size:
            content = _mapped(path)
        if is_packed := content[:2].tobytes() == _GZIP:  # whatever its name, because browsers unpack files but save them as .gz
            with gzip.open(path) as packed:
                content = np.frombuffer(packed.read(size_bytes + 1), np.uint8)
    except (OSError, EOFError, zlib.error) as error:
        return content, f"cannot be read ({getattr(error, 'strerror', None) or error})"
    if len(content) != size_bytes:
        if is_packed and len(content) > size_bytes:
            return content, f"has more than {size_bytes} bytes when it is unpacked"
        return content, f"has {len(content)} bytes instead of {size_bytes}{' when it is unpacked' if is_packed else ''}"
    its_md5 = _md5(content)
    whose = f" (that is {_OWNER[its_md5]})" if its_md5 in _OWNER else ""
    return content, "" if its_md5 == md5 else f"has MD5 {its_md5}{whose} instead of {md5}"


def _md5(content: np.ndarray | bytes) -> str:
    return hashlib.md5(content.data if isinstance(content, np.ndarray) else content, usedforsecurity=False).hexdigest()
