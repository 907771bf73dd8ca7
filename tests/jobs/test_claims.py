"""Claims: one worker wins, a dead one loses its lease, and whatever becomes of the files, no more than work is lost."""

import errno
import json
import os
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from jobs import claims
from jobs.claims import CLOCK_SKEW_S, Claim, Claims
from jobs.process import Process
from jobs.standings import BACK, DONE, HELD, LEFT, Standing, given_back, held, standings

NOW_S = 1_800_000_000.0


def claim(lease_s: float = 600, **changes: object) -> Claim:
    return replace(Claim.lasting(lease_s, Process.current(), "17_3", 0, 900, NOW_S), **changes)


@pytest.fixture
def folder(tmp_path: Path) -> Claims:
    return Claims(tmp_path, longest_s=3600)


def test_one_of_two_wins_and_its_claim_is_read(folder: Claims, tmp_path: Path) -> None:
    first, second = claim(), claim()
    assert (folder.take(7, 0, first), folder.take(7, 0, second)) == (True, False)
    assert folder.holder(7, 0) == first
    assert os.listdir(tmp_path / "claims") == ["00007.0"]
    assert folder.take(7, 1, second)
    assert standings(folder.names()) == {7: Standing(HELD, 1)}


def test_two_claims_of_one_worker_have_different_tokens() -> None:
    assert claim().token != claim().token


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], {}),
        (["00007.0"], {7: Standing(HELD, 0)}),
        (["00007.9", "00007.10"], {7: Standing(HELD, 10)}),
        (["00007.0.back"], {7: Standing(BACK, 0)}),
        (["00007.0.left", "00007.1"], {7: Standing(HELD, 1)}),
        (["00007.0.back", "00007.0"], {7: Standing(HELD, 0)}),  # taken by one who had not yet heard of the other
        (["00007.done", "00007.3"], {7: Standing(DONE, 0)}),
        (["12345678.0", "00001.done"], {12345678: Standing(HELD, 0), 1: Standing(DONE, 0)}),
        (["7.0", "00007", "00007.x", ".00007.0.abcd", "00007.-1", "00007.0.gone", "00007.٣"], {}),
    ],
)
def test_names_say_what_became_of_a_task(names: list[str], expected: dict[int, Standing]) -> None:
    assert standings(names) == standings(reversed(names)) == expected


@pytest.mark.parametrize("word", [BACK, LEFT, DONE])
def test_a_mark_takes_the_place_of_the_claim(folder: Claims, tmp_path: Path, word: str) -> None:
    folder.take(7, 2, claim())
    folder.mark(7, 2, word)
    assert standings(folder.names()) == {7: Standing(word, 0 if word == DONE else 2)}
    assert len(os.listdir(tmp_path / "claims")) == 1
    folder.mark(7, 2, word)  # by another holder of the same claim, a moment later


@pytest.mark.parametrize("name", ["00007.0.back", "00007.0.left", "00007.done"])
def test_what_ended_since_the_folder_was_listed_is_not_taken_again(folder: Claims, tmp_path: Path, name: str) -> None:
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / name).touch()
    assert not folder.take(7, 0, claim())
    assert os.listdir(tmp_path / "claims") == [name]
    assert folder.take(7, 1, claim()) == ("done" not in name)


def test_a_task_is_done_whoever_has_its_claim(folder: Claims, tmp_path: Path) -> None:
    folder.take(7, 0, claim())
    folder.mark(7, 0, BACK)
    folder.mark(7, 0, DONE)
    assert standings(folder.names()) == {7: Standing(DONE, 0)}


def test_a_lease_ends_and_clocks_may_be_five_minutes_apart() -> None:
    held = claim(lease_s=600)
    assert not held.is_over(NOW_S + 600 + CLOCK_SKEW_S)
    assert held.is_over(NOW_S + 600 + CLOCK_SKEW_S + 1)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"schema":2}', "\0" * 300, '{"schema":1,"token":""}'])
def test_a_claim_that_cannot_be_read_lasts_as_long_as_any(folder: Claims, tmp_path: Path, content: str) -> None:
    (tmp_path / "claims").mkdir()
    path = tmp_path / "claims" / "00007.0"
    path.write_text(content)
    os.utime(path, (NOW_S, NOW_S))
    assert not folder.take(7, 0, claim())
    found = folder.holder(7, 0)
    assert (found.job, found.process.is_alive()) == ("", None)
    assert (found.is_over(NOW_S + 3600), found.is_over(NOW_S + 3600 + CLOCK_SKEW_S + 1)) == (False, True)


@pytest.mark.parametrize("change", [{"until": "soon"}, {"job": 17}, {"process": {}}, {"token": None}])
def test_a_claim_of_another_kind_is_nobodys(folder: Claims, tmp_path: Path, change: dict) -> None:
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "00007.0").write_text(json.dumps(asdict(claim()) | change))
    assert folder.holder(7, 0).process == claims.NOBODY


def test_who_gave_a_task_back_is_told_from_who_died() -> None:
    names = ["00007.0.back", "00007.1", "00007.2.left", "00007.3.back", "00008.4.back", "00007.done"]
    assert given_back(names) == {(7, 0), (7, 3), (8, 4)}
    assert held(names) == [(7, 1)]


def test_a_claim_that_is_gone_has_no_holder(folder: Claims) -> None:
    assert folder.holder(7, 0) is None
    assert standings(folder.names()) == {}
    folder.mark(7, 0, DONE)  # does nothing


class Disturbed:
    """The system calls of a network file system that fails once, before or after the server did what it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, call: str, number: int, is_done: bool) -> None:
        self.real, self.number, self.is_done, self.left = getattr(os, call), number, is_done, 1
        monkeypatch.setattr(os, call, self)

    def __call__(self, *arguments: object) -> object:
        if not self.left or (isinstance(arguments[0], Path) and "claims" not in str(arguments[0])):
            return self.real(*arguments)
        self.left -= 1
        if self.is_done:
            self.real(*arguments)
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO])
@pytest.mark.parametrize(("call", "is_done"), [("write", True), ("fsync", True), ("fsync", False)])
def test_after_a_lost_answer_the_token_says_whose_it_is(
    folder: Claims, monkeypatch: pytest.MonkeyPatch, number: int, call: str, is_done: bool
) -> None:
    Disturbed(monkeypatch, call, number, is_done)
    ours = claim()
    assert folder.take(7, 0, ours)
    assert folder.holder(7, 0) == ours
    assert not folder.take(7, 0, claim())


@pytest.mark.parametrize(("call", "is_done"), [("write", False), ("open", True)])
def test_a_claim_of_which_only_the_name_was_made_is_nobodys(
    folder: Claims, monkeypatch: pytest.MonkeyPatch, call: str, is_done: bool
) -> None:
    folder.take(1, 0, claim())
    Disturbed(monkeypatch, call, errno.ESTALE, is_done)
    assert not folder.take(7, 0, claim())
    assert folder.holder(7, 0).process == claims.NOBODY


def test_an_error_that_made_nothing_is_an_error(folder: Claims, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.take(1, 0, claim())
    Disturbed(monkeypatch, "open", errno.EIO, is_done=False)
    with pytest.raises(OSError, match="Input/output"):
        folder.take(7, 0, claim())


def test_a_full_disk_leaves_no_claim(folder: Claims, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Disturbed(monkeypatch, "write", errno.ENOSPC, is_done=False)
    with pytest.raises(OSError, match="No space"):
        folder.take(7, 0, claim())
    assert os.listdir(tmp_path / "claims") == []


def test_a_folder_that_is_removed_is_made_again(folder: Claims, tmp_path: Path) -> None:
    folder.take(7, 0, claim())
    (tmp_path / "claims" / "00007.0").unlink()
    (tmp_path / "claims").rmdir()
    assert folder.take(7, 0, claim())  # by two at once: work is done twice


def test_what_is_finished_keeps_no_claims(folder: Claims, tmp_path: Path) -> None:
    folder.take(7, 0, claim())
    assert not folder.is_finished
    folder.finish()
    folder.finish()
    assert folder.is_finished
    assert not folder.take(7, 1, claim())
    assert os.listdir(tmp_path) == ["finished"]


def test_a_submission_that_is_gone_is_an_error(folder: Claims, tmp_path: Path) -> None:
    tmp_path.rmdir()
    with pytest.raises(FileNotFoundError):
        folder.take(7, 0, claim())
    assert not tmp_path.exists()


def test_a_claim_is_small_and_its_times_are_told(folder: Claims, tmp_path: Path) -> None:
    folder.take(7, 0, Claim.lasting(60, Process.current(), "17_3", 1, 900, time.time()))
    written = json.loads((tmp_path / "claims" / "00007.0").read_text())
    assert (written["job"], written["restart"], written["mem_mb"], written["schema"]) == ("17_3", 1, 900, 1)
    assert written["until"].endswith("+00:00")
    assert (tmp_path / "claims" / "00007.0").stat().st_size < 600
