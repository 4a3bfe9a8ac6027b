"""Sending again what failed for a moment: exponential backoff with jitter."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from client.errors import TasksError

#: Attempts before a failure is final: with the delays below about two seconds in all.
ATTEMPTS = 4

#: Seconds before the first repeat; doubled for each further one, up to the longest.
BASE_SECONDS = 0.25
LONGEST_SECONDS = 5.0

Answer = TypeVar("Answer")


def delays() -> Iterator[float]:
    """Seconds to wait before each repeat, without end; spread by 30 % so that clients do not stay in step."""
    return _spread(BASE_SECONDS, LONGEST_SECONDS, 0.7, 1.3)


def fully_spread_delays(base: float, longest: float) -> Iterator[float]:
    """Seconds to wait before each new connection, without end: anything up to `base`, doubled up to `longest`.

    The clients of a server that went away all lose it at once; spread so widely, they do not come back at once.
    """
    return _spread(base, longest, 0, 1)


def _spread(base: float, longest: float, low: float, high: float) -> Iterator[float]:
    delay = base
    while True:
        yield delay * random.uniform(low, high)  # noqa: S311 - nobody gains by guessing it
        delay = min(2 * delay, longest)


async def repeat(
    call: Callable[[], Awaitable[Answer]],
    on_error: Callable[[TasksError], None] = lambda _: None,
    attempts: float = ATTEMPTS,
) -> Answer:
    """Await `call`, again while it fails with a transient error and attempts are left.

    Args:
        call: makes the request; must be safe to send twice.
        on_error: told of every failure, the last one included.
        attempts: how often it is called at most; `math.inf` leaves it to the caller's own time limit.

    Raises:
        TasksError: the first that is not transient, or the last.
    """
    for attempt, delay in enumerate(delays(), start=1):
        try:
            return await call()
        except TasksError as error:
            on_error(error)
            if not error.transient or attempt >= attempts:
                raise
        await asyncio.sleep(delay)
    raise AssertionError("delays() has no end")
