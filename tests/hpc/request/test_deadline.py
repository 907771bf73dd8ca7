"""Deadlines as users write them, and as submissions keep them."""

from datetime import datetime, timedelta, timezone

import pytest

from hpc.request.deadline import Deadline, deadline_of, kept_deadline

ZONE = timezone(timedelta(hours=2))
NOW = datetime(2026, 11, 30, 17, 15, 20, tzinfo=ZONE)


@pytest.mark.parametrize(
    ("text", "seconds"), [("2h", 7200), ("90min", 5400), ("90 m", 5400), ("1.5d", 129_600), ("45s", 45), (" 2h ", 7200)]
)
def test_a_length_counts_from_the_first_start(text: str, seconds: float) -> None:
    found = deadline_of(text, NOW)
    assert found == Deadline(after_s=seconds)
    assert found.left_s(NOW) == seconds
    assert found.left_s(NOW, began=NOW - timedelta(seconds=100)) == seconds - 100


@pytest.mark.parametrize(
    ("text", "at"),
    [("18:30", datetime(2026, 11, 30, 18, 30, tzinfo=ZONE)), ("7:05", datetime(2026, 12, 1, 7, 5, tzinfo=ZONE))],
)
def test_a_time_of_day_is_the_next_one(text: str, at: datetime) -> None:
    found = deadline_of(text, NOW)
    assert found == Deadline(at=at)
    assert found.left_s(NOW, began=NOW - timedelta(hours=5)) == (at - NOW).total_seconds()


@pytest.mark.parametrize(
    "text", ["", "2", "h", "0h", "-2h", "2 hours", "24:00", "12:60", "1e3s", "nan", "9999d", "٢h", "18:30:00", "2h "[::-1]]
)
def test_anything_else_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="allowed: a time such as"):
        deadline_of(text, NOW)


@pytest.mark.parametrize("text", ["2h", "18:30", "0.5h"])
def test_a_submission_keeps_it(text: str) -> None:
    found = deadline_of(text, NOW)
    kept = kept_deadline(found.text)
    assert kept is not None and kept.left_s(NOW) == found.left_s(NOW)


@pytest.mark.parametrize("text", ["", "soon", "2026-11-30T18:30:00", "99"])
def test_a_damaged_one_is_none(text: str) -> None:
    assert kept_deadline(text) is None
