"""Waiting for conditions, never for seconds."""

import time
from collections.abc import Callable
from typing import TypeVar

#: More than any wait of a test takes, even on a busy machine.
PATIENCE_SECONDS = 90.0

Found = TypeVar("Found")


def wait_for(look: Callable[[], Found | None], what: str, patience: float = PATIENCE_SECONDS) -> Found:
    """The first true answer of `look`; fails the test when none comes in `patience` seconds."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited in vain for: {what}")
