"""Follow what a stack's functions log, in CloudWatch Logs, each line once.

`local/logs.py` does so for the stack that it belongs to: smaller, as it knows its functions and its emulator.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from client.aws import client_of, faults
from client.log_line import LogLine, Wanted
from client.stack import Stack, StackError

#: Milliseconds by which each reading goes back behind the last line seen: an event becomes visible some seconds
#: after the time that it bears, so another stream's later one may have been seen before it.
OVERLAP_MS = 30_000

#: Milliseconds by which it goes back at most, even where no line was seen: more than clocks differ.
LONGEST_OVERLAP_MS = 600_000

#: What the emulator writes at each invocation though the functions ask Lambda for warnings only. On AWS such lines
#: of theirs are JSON.
PLATFORM_LINES = ("START RequestId: ", "END RequestId: ", "REPORT RequestId: ")

#: Values that can stand in a filter pattern as they are.
_PLAIN = re.compile(r"[A-Za-z0-9._:/-]+")


def functions(stack: Stack) -> Mapping[str, str]:
    """A stack's functions with their log groups, by their names without the stack's prefix.

    Of a stack dev, those of a stack dev-eu begin alike: a name that only has something before that of another one
    here (eu-submit-tasks, submit-tasks) is taken for one of those.

    Raises:
        StackError: there are none.
        AwsError: AWS does not tell.
    """
    prefix = f"/aws/lambda/{stack.prefix}"
    logs = client_of(stack, "logs")
    with faults():
        pages = logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=prefix)
        groups: list[str] = [group["logGroupName"] for page in pages for group in page["logGroups"]]
    found = {group.removeprefix(prefix): group for group in groups}
    own = {
        name: group for name, group in found.items() if not any(name.endswith(f"-{other}") for other in found)
    }
    if not own:
        raise StackError(f"the stack {stack.name} has no log groups {prefix}*")
    return own


class LogFollower:
    """Reads what functions logged since the last reading, each line once.

    Args:
        stack: the functions'.
        groups: their log groups by their names.
        wanted: which lines.
        since: the time of the first.
        until: the time of the last; None for no such end.
    """

    def __init__(
        self,
        stack: Stack,
        groups: Mapping[str, str],
        wanted: Wanted,
        since: datetime,
        until: datetime | None = None,
    ) -> None:
        self._logs = client_of(stack, "logs")
        self._wanted = wanted
        pattern = _pattern(wanted)
        self._limits: dict[str, Any] = {"filterPattern": pattern} if pattern else {}
        if until is not None:
            self._limits["endTime"] = _milliseconds(until)
        start = _milliseconds(since)
        self._groups = [_Group(function, group, start) for function, group in groups.items()]

    def read(self) -> Sequence[LogLine]:
        """The new lines, in order of time.

        Raises:
            AwsError: a group cannot be read.
        """
        lines = [line for group in self._groups for line in group.read(self._logs, self._limits)]
        return sorted(filter(self._wanted.wants, lines), key=lambda line: line.moment)


class _Group:
    def __init__(self, function: str, group: str, start: int) -> None:
        self._function = function
        self._group = group
        self._start = start
        self._newest = start
        self._read_at = 0  # when the last reading began
        # Events of the overlap, with their times.
        self._seen: dict[object, int] = {}

    def read(self, logs: Any, limits: Mapping[str, Any]) -> Iterator[LogLine]:
        since = max(self._start, self._newest - OVERLAP_MS, self._read_at - LONGEST_OVERLAP_MS)
        began = int(time.time() * 1000)
        self._seen = {event: at for event, at in self._seen.items() if at >= since}
        counts: dict[tuple[str, int], int] = {}
        request = {"logGroupName": self._group, "startTime": since, **limits}
        for page in self._pages(logs, request):
            for event in page["events"]:
                timestamp: int = event["timestamp"]
                moment = (event["logStreamName"], timestamp)
                counts[moment] = counts.get(moment, 0) + 1
                # The emulator gives none of the IDs of AWS, but all events, in order.
                identity = event.get("eventId") or (*moment, counts[moment])
                if identity not in self._seen:
                    self._seen[identity] = timestamp
                    self._newest = max(self._newest, timestamp)
                    if event["message"].startswith(PLATFORM_LINES):
                        continue
                    for text in event["message"].splitlines():
                        yield LogLine.of(self._function, timestamp, text)
        self._read_at = began

    def _pages(self, logs: Any, request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        with faults():
            yield from logs.get_paginator("filter_log_events").paginate(**request)


def _milliseconds(moment: datetime) -> int:
    """Since 1970, as CloudWatch counts; it knows no time before."""
    return max(0, int(moment.timestamp() * 1000))


def _pattern(wanted: Wanted) -> str:
    """What lets CloudWatch leave out lines that are not wanted; whatever it sends is looked at again."""
    terms = [f'($.{name} = "{value}")' for name, value in wanted.fields().items() if _PLAIN.fullmatch(value)]
    return f"{{ {' && '.join(terms)} }}" if terms else ""
