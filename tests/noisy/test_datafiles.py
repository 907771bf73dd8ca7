"""Laws of the files of data sets: known by content, under the names that people have; never replaced; refused with a message.

`digits` stands for all sets: its files can be made anywhere.
"""

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hpc import submit
from noisy import data
from noisy.datafiles import FILES, MD5

LAYOUTS = {
    "as torchvision has them": "Digits/raw/{file}",
    "lower case": "digits/raw/{file}",
    "upper case": "DIGITS/RAW/{file}",
    "with underscores": "_digits-/raw/{file}",
    "without raw": "Digits/{file}",
    "raw alone": "raw/{file}",
    "directly": "{file}",
    "with a dot": "Digits/raw/{dotted}",
    "directly, with a dot": "{dotted}",
    "in folders of their names": "{file}/{file}",
    "packed": "Digits/raw/{file}.gz",
    "directly, packed": "{file}.gz",
    "directly, packed, with a dot": "{dotted}.gz",
}


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Every entry below a folder, with its size and time."""
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(folder.rglob("*"))}


def lay_out(source: Path, data_dir: Path, layout: str, files: tuple[str, ...] = FILES) -> list[Path]:
    """Copies of these files of digits, laid out in another way."""
    paths = [data_dir / layout.format(file=file, dotted=file.replace("-idx", ".idx")) for file in files]
    for file, path in zip(files, paths, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        content = (source / "Digits" / "raw" / file).read_bytes()
        path.write_bytes(gzip.compress(content, 1) if path.suffix == ".gz" else content)
    return paths


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_files_are_found_as_people_have_them_and_nothing_is_written(
    layout: str, tmp_path: Path, digits_dir: Path, digits: data.Data
) -> None:
    lay_out(digits_dir, tmp_path, layout)
    before = tree(tmp_path)
    for found in (data.stage("digits", tmp_path), data.load("digits", tmp_path)):
        assert found.digest() == digits.digest()
        with pytest.raises(ValueError, match="read-only"):
            found.train_images[0] = 0
    assert data.is_staged("digits", tmp_path)
    assert tree(tmp_path) == before


def test_whether_a_file_is_packed_is_seen_from_its_content(tmp_path: Path, digits_dir: Path, digits: data.Data) -> None:
    for path in lay_out(digits_dir, tmp_path, "Digits/raw/{file}.gz"):
        path.rename(path.with_suffix(""))
    assert data.stage("digits", tmp_path).digest() == digits.digest()
    for path in lay_out(digits_dir, tmp_path, "Digits/raw/{file}"):
        path.rename(path.with_name(path.name + ".gz"))
    assert data.stage("digits", tmp_path).digest() == digits.digest()


def test_files_may_lie_in_several_places(tmp_path: Path, digits_dir: Path, digits: data.Data) -> None:
    for file, layout in zip(FILES, ("Digits/raw/{file}", "digits/{file}.gz", "{dotted}", "raw/{file}"), strict=True):
        lay_out(digits_dir, tmp_path, layout, (file,))
    assert data.load("digits", tmp_path).digest() == digits.digest()


def test_files_of_another_set_in_the_same_folder_are_passed_over(tmp_path: Path, digits_dir: Path, digits: data.Data) -> None:
    for path in lay_out(digits_dir, tmp_path, "{file}"):
        path.write_bytes(path.read_bytes()[::-1])
    before = tree(tmp_path)
    assert data.stage("digits", tmp_path).digest() == digits.digest()
    assert before.items() < tree(tmp_path).items()
    assert sorted(path.name for path in (tmp_path / "Digits" / "raw").iterdir()) == sorted(FILES)


@pytest.mark.parametrize("missing", FILES)
def test_only_what_is_missing_is_staged(missing: str, tmp_path: Path, digits_dir: Path, digits: data.Data) -> None:
    lay_out(digits_dir, tmp_path, "{file}", tuple(file for file in FILES if file != missing))
    assert not data.is_staged("digits", tmp_path)
    assert data.stage("digits", tmp_path).digest() == digits.digest()
    assert [path.name for path in (tmp_path / "Digits" / "raw").iterdir()] == [missing]


OTHER_CONTENTS: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda content: content[:-1],
    "longer": lambda content: content + b"\0",
    "empty": lambda content: b"",
    "another magic number": lambda content: b"\0\0\x09" + content[3:],
    "another shape": lambda content: content[:4] + bytes(4) + content[8:],
    "last bit": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    "other bytes": lambda content: bytes(len(content)),
    "packed, and cut": lambda content: gzip.compress(content)[:-1],
}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("damage", OTHER_CONTENTS.values(), ids=OTHER_CONTENTS)
def test_another_file_is_named_with_what_it_should_be_and_stays(
    file: str, damage: Callable[[bytes], bytes], tmp_path: Path, digits_dir: Path
) -> None:
    lay_out(digits_dir, tmp_path, "Digits/raw/{file}")
    path = tmp_path / "Digits" / "raw" / file
    size_bytes = path.stat().st_size
    path.write_bytes(damage(path.read_bytes()))
    before = tree(tmp_path)
    for look in (data.stage, data.load, data.is_staged):
        with pytest.raises(data.DataError) as error:
            look("digits", tmp_path)
        assert error.value.message == "dataset digits: not the published files"
        (named,) = (line for line in error.value.details if line.startswith(f"{file}: {path} "))
        md5 = MD5["digits"][FILES.index(file)]
        expected = (
            f" instead of {md5}",
            f" bytes instead of {size_bytes}",
            " (Compressed file ended before the end-of-stream marker was reached)",
        )
        assert named.endswith(expected)
        assert error.value.details[-1].startswith(f"delete or move {file} in {path.parent} and run again, or name ")
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda packed: packed[: len(packed) // 2], "cannot be read (Compressed file ended before"),
        (lambda packed: packed[:-8] + bytes(8), "cannot be read (CRC check failed"),
        (lambda packed: packed[:30] + bytes(8) + packed[38:], "cannot be read ("),
        (lambda packed: b"<html>", "has 6 bytes instead of 1130544"),
        (lambda packed: gzip.compress(bytes(10_000_000)), "has more than 1130544 bytes when it is unpacked"),
        (lambda packed: gzip.compress(b""), "has 0 bytes instead of 1130544 when it is unpacked"),
    ],
)
def test_a_damaged_packed_file_is_named(damage: Callable[[bytes], bytes], said: str, tmp_path: Path, digits_dir: Path) -> None:
    (path, *_) = lay_out(digits_dir, tmp_path, "{file}.gz")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(data.DataError) as error:
        data.load("digits", tmp_path)
    assert f"{FILES[0]}: {path} {said}" in "\n".join(error.value.details)


def test_what_is_found_what_is_missing_and_where_it_was_looked_for_is_said(tmp_path: Path, digits_dir: Path) -> None:
    (path,) = lay_out(digits_dir, tmp_path, "digits/raw/{dotted}", FILES[:1])
    shutil.copy(path, tmp_path / FILES[1])
    with pytest.raises(data.DataError) as error:
        data.load("digits", tmp_path)
    size = path.stat().st_size
    assert error.value.details[:4] == [
        f"{FILES[0]}: found, {path}",
        f"{FILES[1]}: {tmp_path / FILES[1]} has {size} bytes instead of 1450",
        f"{FILES[2]}: missing",
        f"{FILES[3]}: missing",
    ]
    assert error.value.details[4].startswith(f"looked in {path.parent}, {path.parent.parent}, {tmp_path} for NAME-idx3-ubyte, ")
    assert f"copy the files to {tmp_path / 'Digits' / 'raw'}, or name the folder" in error.value.details[5]
    assert len(error.value.details) == 6


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    with pytest.raises(data.DataError, match=r"dataset digits: files are missing in .*Not a directory.*--data-dir"):
        data.stage("digits", in_the_way)


@pytest.mark.parametrize("options", [["--yes"], ["--dry-run"]])
def test_submit_refuses_other_files_and_writes_nothing(
    options: list[str], tmp_path: Path, digits_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (path, *_) = lay_out(digits_dir, tmp_path / "data", "Digits/raw/{file}")
    path.write_bytes(bytes(path.stat().st_size))
    grid = tmp_path / "grid.yaml"
    grid.write_text("{dataset: digits, epochs: 1}")
    before = tree(tmp_path)
    with pytest.raises(SystemExit) as stop:
        places = ["--data-dir", str(tmp_path / "data"), "--output-dir", str(tmp_path / "out")]
        submit.main(["--grid", str(grid), *places, "--executor", "local", *options])
    said = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2
    assert said[0] == "error: dataset digits: not the published files"
    assert said[1].startswith(f"  {FILES[0]}: {path} has MD5 ") and said[1].endswith(f" instead of {MD5['digits'][0]}")
    assert tree(tmp_path) == before


def test_each_published_file_has_a_digest_of_its_own() -> None:
    digests = [md5 for of_set in MD5.values() for md5 in of_set]
    assert len(set(digests)) == len(digests) == 16
    assert all(len(md5) == 32 and int(md5, 16) >= 0 for md5 in digests)
