"""Simulated work: one second, and a configured share of failures. The type of a task that names none."""

import os
import random
import time
from typing import Any

from tasklib.payload import kind_name
from tasklib.task_type import Attempt, PermanentError, task_type

#: What the work takes unless the payload says otherwise.
WORK_SECONDS = 1.0


@task_type("simulate", time_limit_seconds=15)
def simulate(data: Any, attempt: Attempt) -> dict[str, Any]:
    """Sleeps, then fails with the stack's `failureRate`, or returns how long it worked.

    A payload may set `seconds` (0 to 10) and `failureRate` (0 to 1) for one task, to try things out.
    """
    options: dict[str, Any] = {} if isinstance(data, str) else data
    seconds = _number(options, "seconds", WORK_SECONDS, 10)
    failure_rate = _number(options, "failureRate", float(os.environ.get("FAILURE_RATE", "0")), 1)
    time.sleep(seconds)
    if random.random() < failure_rate:  # noqa: S311 - no secret
        raise RuntimeError(f"simulated failure of attempt {attempt.number}")
    return {"workedSeconds": seconds}


def _number(options: dict[str, Any], name: str, default: float, largest: float) -> float:
    value = options.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= largest:
        message = f"payload.{name} is {kind_name(value)}; it must be a number from 0 to {largest:g}"
        raise PermanentError(message)
    return value
