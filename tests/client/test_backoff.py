"""What is sent again, how often and how long after."""

from __future__ import annotations

import asyncio
from itertools import islice

import pytest

from client import backoff
from client.errors import NoAnswerError, StatusError, TasksError

pytestmark = pytest.mark.usefixtures("quick")


def repeat(*outcomes: TasksError | str) -> tuple[str | TasksError, int, int]:
    """Repeat a call with these outcomes: its result, the calls made, the errors reported."""
    left = list(outcomes)
    reported: list[TasksError] = []

    async def call() -> str:
        outcome = left.pop(0)
        if isinstance(outcome, TasksError):
            raise outcome
        return outcome

    try:
        result = asyncio.run(backoff.repeat(call, reported.append))
    except TasksError as error:
        return error, len(outcomes) - len(left), len(reported)
    return result, len(outcomes) - len(left), len(reported)


THROTTLED = StatusError(429, "Too Many Requests")
REFUSED = NoAnswerError("connection refused", "")
WRONG = StatusError(400, "Invalid task")


def test_transient_errors_are_repeated() -> None:
    assert repeat(THROTTLED, REFUSED, "done") == ("done", 3, 2)


def test_any_other_error_is_final() -> None:
    assert repeat(WRONG, "done") == (WRONG, 1, 1)


def test_the_last_attempt_is_final() -> None:
    assert repeat(*[THROTTLED] * 10) == (THROTTLED, backoff.ATTEMPTS, backoff.ATTEMPTS)


def test_delays_double_up_to_the_longest_and_are_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "BASE_SECONDS", 1.0)
    rows = [list(islice(backoff.delays(), 5)) for _ in range(200)]
    for column, middle in zip(zip(*rows, strict=True), [1.0, 2.0, 4.0, 5.0, 5.0], strict=True):
        assert 0.7 * middle <= min(column) < 0.8 * middle
        assert 1.2 * middle < max(column) <= 1.3 * middle
