"""When the dead-letter monitor runs."""

import re
from dataclasses import dataclass
from typing import Literal

from infra.settings.reader import Reader

_RATE = re.compile(r"rate\((1 (minute|hour|day)|([2-9]|[1-9]\d+) (minutes|hours|days))\)")
_UNIT_SECONDS = {"minute": 60, "hour": 60 * 60, "day": 24 * 60 * 60}
_CRON = re.compile(r"cron\((?P<fields>[0-9A-Z*,/?#-]+( [0-9A-Z*,/?#-]+){5})\)")


@dataclass(frozen=True)
class Monitor:
    """The dead-letter monitor.

    Attributes:
        trigger: What starts it.
        schedule: When, if the schedule starts it.
    """

    trigger: Literal["schedule", "queue"]
    schedule: str

    @property
    def interval_seconds(self) -> int | None:
        """How often the schedule starts it; None if it has none, or one without a fixed interval."""
        rate = _RATE.fullmatch(self.schedule)
        if self.trigger == "queue" or rate is None:
            return None
        number, unit = rate[1].split(" ")
        return int(number) * _UNIT_SECONDS[unit.removesuffix("s")]


def read_monitor(config: Reader) -> Monitor:
    """Read what starts the monitor."""
    return Monitor(
        trigger=config.choice("dlqMonitorTrigger", ("schedule", "queue")),
        schedule=config.text(
            "dlqMonitorSchedule",
            _is_schedule,
            "rate(5 minutes) or cron(0/5 * * * ? *) in EventBridge's notation",
        ),
    )


def _is_schedule(text: str) -> bool:
    cron = _CRON.fullmatch(text)
    if cron is None:
        return _RATE.fullmatch(text) is not None
    # Of day-of-month and day-of-week exactly one says when, and the other is a question mark.
    return cron["fields"].split()[2::2].count("?") == 1
