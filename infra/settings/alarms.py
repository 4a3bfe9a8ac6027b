"""When somebody is called, and who."""

import re
from dataclasses import dataclass

from infra.settings.reader import Reader

_EMAIL = re.compile(r"([^\s@]{1,64}@[A-Za-z0-9.-]{1,190})?")
_ADDRESS = re.compile(r"[^\s#]{1,300}")


@dataclass(frozen=True)
class Alarms:
    """Who is called, and from where on.

    Attributes:
        email: Who gets an e-mail; nobody if it is empty.
        runbook_url: Where people find what to do: the address of ``docs/runbook.md``.
        dead_letters: Dead letters in five minutes.
        queue_age_seconds: Age of the oldest task that waits.
        api_errors: Answers of 5xx in five minutes.
        api_latency_ms: Latency of the slowest hundredth of requests, for a quarter of an hour.
    """

    email: str
    runbook_url: str
    dead_letters: int
    queue_age_seconds: int
    api_errors: int
    api_latency_ms: int


def read_alarms(config: Reader) -> Alarms:
    """Read who is called, and from where on."""
    return Alarms(
        email=config.text("alarmEmail", _EMAIL.fullmatch, "an e-mail address, or nothing"),
        runbook_url=config.text("runbookUrl", _ADDRESS.fullmatch, "an address or a path without spaces"),
        dead_letters=config.integer("alarmDeadLetters", 1, 1_000_000),
        queue_age_seconds=config.integer("alarmQueueAgeSeconds", 60, 4 * 24 * 60 * 60),
        api_errors=config.integer("alarmApiErrors", 1, 1_000_000),
        api_latency_ms=config.integer("alarmApiLatencyMs", 1, 30_000),
    )
