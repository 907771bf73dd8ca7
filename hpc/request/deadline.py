"""Deadlines: `2h` after the first start of a campaign, or a time of day. Reads what users and submission.json write."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

ALLOWED = "a time such as 90min, 2h, 1.5d, counted from the first start; or a time of day such as 18:30"
_UNIT_S = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86400}
_MOST_S = 366 * 86400
_LENGTH = re.compile(r"(\d{1,9}(?:\.\d{1,9})?) ?(s|min|m|h|d)", re.ASCII)
_TIME_OF_DAY = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)", re.ASCII)


@dataclass(frozen=True)
class Deadline:
    """Either `after_s`, in seconds after the first start, or `at`, a time with a time zone."""

    after_s: float | None = None
    at: datetime | None = None

    @property
    def text(self) -> str:
        """The text in submission.json: `7200 s`, or a time (ISO 8601, UTC)."""
        if self.at is None:
            return f"{self.after_s:.0f} s"
        return self.at.astimezone(timezone.utc).isoformat(timespec="seconds")

    def left_s(self, now: datetime, began: datetime | None = None) -> float:
        """Seconds from `now` to the deadline; negative after it. began: the first start, None if nothing has started yet."""
        if self.at is not None:
            return (self.at - now).total_seconds()
        assert self.after_s is not None
        return self.after_s - ((now - began).total_seconds() if began else 0.0)


def deadline_of(text: str, now: datetime) -> Deadline:
    """Read a deadline that a user wrote. now: a time with the user's time zone; a time of day means the next such time.

    Raises:
        ValueError: it is not a deadline; the message says what is allowed.
    """
    if match := _LENGTH.fullmatch(text.strip()):
        after_s = float(match[1]) * _UNIT_S[match[2]]
        if 0 < after_s <= _MOST_S:
            return Deadline(after_s=after_s)
    elif match := _TIME_OF_DAY.fullmatch(text.strip()):
        at = now.replace(hour=int(match[1]), minute=int(match[2]), second=0, microsecond=0)
        return Deadline(at=at if at > now else at + timedelta(days=1))
    raise ValueError(f"{text!r}; allowed: {ALLOWED}")


def kept_deadline(text: str) -> Deadline | None:
    """Read a deadline that `Deadline.text` wrote; None for an empty or damaged text."""
    if match := _LENGTH.fullmatch(text):
        return Deadline(after_s=float(match[1]) * _UNIT_S[match[2]])
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return Deadline(at=at) if at.tzinfo else None
