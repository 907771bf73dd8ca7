"""Files and folders are there whole or not at all; an error harms nothing, names its file, and gets the advice that fits."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from jobs.files import advice_on, make_folder, new_folder, publish


def test_replaces_the_whole_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    publish(path, b"a long first content")
    publish(path, [b"sec", b"ond"])
    assert path.read_bytes() == b"second"
    assert os.listdir(tmp_path) == ["file"]


def test_content_that_fails_half_way_leaves_the_old_file(tmp_path: Path) -> None:
    def pieces():
        yield b"x" * 100_000
        raise RuntimeError("no more")

    path = tmp_path / "file"
    publish(path, b"old")
    with pytest.raises(RuntimeError, match="no more"):
        publish(path, pieces())
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_refused_write_is_an_error_and_leaves_the_old_file(tmp_path: Path) -> None:
    """A real refusal: the kernel's file-size limit, as a full disk or a quota would."""
    program = (
        "import resource, signal, sys\nfrom pathlib import Path\nfrom jobs.files import publish\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "publish(Path(sys.argv[1]), b'old')\n"
        "try:\n    publish(Path(sys.argv[1]), b'x' * 5000)\nexcept OSError as error:\n    print(error)"
    )
    path = tmp_path / "file"
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
    assert done.stdout == f"[Errno {errno.EFBIG}] File too large: '{path}'\n"
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_files_have_the_rights_that_the_user_gives(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        publish(tmp_path / "file", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_an_error_names_the_file_and_not_the_temporary_one(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for path, error in ((tmp_path / "folder", IsADirectoryError), (tmp_path / "none" / "file", FileNotFoundError)):
        with pytest.raises(error) as raised:
            publish(path, b"")
        assert (raised.value.filename, raised.value.filename2) == (str(path), None)
    assert os.listdir(tmp_path) == ["folder"]


def test_of_many_folders_of_one_name_one_wins(tmp_path: Path) -> None:
    outcomes = []

    def make(content: str) -> None:
        try:
            with new_folder(tmp_path / "folder") as folder:
                publish(folder / "file", content.encode())
            outcomes.append(content)
        except FileExistsError as error:
            assert error.filename == str(tmp_path / "folder")

    threads = [threading.Thread(target=make, args=(str(i),)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(tmp_path / "folder" / "file").read_text()] == outcomes
    assert os.listdir(tmp_path) == ["folder"]


def test_a_folder_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no more"), new_folder(tmp_path / "folder") as folder:
        publish(folder / "file", b"")
        raise RuntimeError("no more")
    assert not os.listdir(tmp_path)


def test_a_folder_is_made_with_those_above_it(tmp_path: Path) -> None:
    for _ in range(2):
        make_folder(tmp_path / "a" / "b")
    publish(tmp_path / "file", b"kept")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(FileExistsError, match="file"):
            make_folder(path)
    assert (tmp_path / "file").read_bytes() == b"kept"


FITS = {  # a word of an advice, and of no other -> the errors that it is for: all that calls on files and forks can give
    "room": {"ENOSPC", "EDQUOT"},
    "size": {"EFBIG"},
    "write": {"EACCES", "EPERM", "EROFS"},
    "disk": {"EIO", "ESTALE", "ENXIO", "ENODEV", "ENOTCONN", "ETIMEDOUT", "EHOSTDOWN", "EHOSTUNREACH", "EREMOTEIO", "ENOLCK"},
    "ticket": {"EKEYEXPIRED", "ENOKEY"},
    "shorter": {"ENAMETOOLONG"},
    "links": {"ELOOP"},
    "name": {"ENOENT"},
    "move": {"EEXIST", "ENOTDIR", "EISDIR", "ENOTEMPTY"},
    "support": {"EINVAL", "ENOTSUP", "ENOSYS", "EXDEV", "EILSEQ"},
    "wait": {"EBUSY", "ETXTBSY"},
    "ulimit -n": {"EMFILE"},
    "programs": {"ENFILE", "ENOMEM", "EAGAIN"},
}


@pytest.mark.parametrize("name", sorted(set().union(*FITS.values())))
def test_the_advice_fits_the_error(name: str) -> None:
    advice = advice_on(OSError(getattr(errno, name), ""))
    assert [word for word in FITS if word in advice] == [word for word, names in FITS.items() if name in names]


def test_there_is_no_advice_on_what_is_no_error_of_a_file() -> None:
    assert [advice_on(error) for error in (OSError(), OSError("words"), OSError(errno.EINTR, ""))] == [""] * 3
