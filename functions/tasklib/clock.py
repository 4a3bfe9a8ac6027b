"""Time as the records keep it: whole milliseconds since 1970-01-01 UTC."""

import time
from datetime import UTC, datetime

#: Milliseconds in a day, for retentions that are configured in days.
DAY = 86_400_000


def now() -> int:
    """The current time in milliseconds."""
    return time.time_ns() // 1_000_000


def to_iso(milliseconds: int) -> str:
    """ISO 8601 in UTC with milliseconds: 24 characters, so that text order is time order."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03d}Z"


def from_iso(text: str) -> int:
    """The milliseconds of a time that `to_iso` wrote."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


class Deadline:
    """The end of an invocation, on a clock that nobody sets."""

    def __init__(self, milliseconds: int) -> None:
        self._end = time.monotonic() + milliseconds / 1000

    def remaining(self) -> int:
        """Milliseconds left, negative when it has passed."""
        return int((self._end - time.monotonic()) * 1000)
