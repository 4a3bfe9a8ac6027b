"""Follows the logs of functions through CloudWatch Logs' API."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local.aws import Aws, AwsError
from local.creators.lambda_ import FUNCTION
from local.program import Created

#: Milliseconds by which each reading goes back behind the last event seen. An event becomes visible a little after
#: the time that it bears, so another stream's later one may have been seen before it.
_OVERLAP_MS = 2_000

#: Seconds between readings, and how many times the length of a reading they are at least.
_PAUSE_SECONDS = 0.3
_PAUSE_PER_READING = 20

#: Most events that one answer holds.
_PAGE = 10_000

#: What Lambda itself writes at each invocation.
_PLATFORM_LINES = ("START RequestId: ", "END RequestId: ", "REPORT RequestId: ")


@dataclass(frozen=True)
class FunctionLog:
    """Where a function logs.

    Attributes:
        function: the function's name.
        group: its log group.
        platform_lines: whether Lambda's own lines of each invocation are wanted. A function that asks for warnings
            only would have none on AWS; the emulator writes them all the same.
    """

    function: str
    group: str
    platform_lines: bool = True


@dataclass(frozen=True)
class Line:
    """One line of a function's log."""

    function: str
    text: str


def function_logs(resources: Iterable[Created]) -> list[FunctionLog]:
    """The logs of the functions among some resources."""
    logs: list[FunctionLog] = []
    for resource in resources:
        if resource.token == FUNCTION:
            name: str = resource.properties["name"]
            config: Mapping[str, Any] = resource.properties.get("loggingConfig", {})
            logs.append(
                FunctionLog(
                    name,
                    config.get("logGroup", f"/aws/lambda/{name}"),
                    config.get("systemLogLevel", "INFO") != "WARN",
                )
            )
    return logs


class LogFollower:
    """Reads what functions logged since the last reading, each line once, new log streams included.

    Args:
        aws: where to read.
        logs: what to follow. Functions that share a group cannot be told apart; the first one's name stands for all.
    """

    def __init__(self, aws: Aws, logs: Sequence[FunctionLog]) -> None:
        by_group = {log.group: log for log in reversed(logs)}
        self._groups = [_Group(aws, log) for log in by_group.values()]
        self._reading_seconds = 0.0

    def read(self) -> list[Line]:
        """The new lines, in order of time within a function."""
        started = time.monotonic()
        lines = [line for group in self._groups for line in group.read()]
        self._reading_seconds = time.monotonic() - started
        return lines

    def pause_seconds(self) -> float:
        """How long to wait before reading again.

        Reading costs the emulator more with every invocation that it remembers, in the process that serves requests.
        """
        return max(_PAUSE_SECONDS, self._reading_seconds * _PAUSE_PER_READING)


class _Group:
    def __init__(self, aws: Aws, log: FunctionLog) -> None:
        self._aws = aws
        self._log = log
        self._newest = 0
        # Events of the overlap by stream, time and place among the stream's events of that time.
        self._seen: set[tuple[str, int, int]] = set()

    def read(self) -> Iterator[Line]:
        since = max(0, self._newest - _OVERLAP_MS)
        self._seen = {event for event in self._seen if event[1] >= since}
        while True:
            events = self._events(since)
            counts: dict[tuple[str, int], int] = {}
            for event in events:
                moment = (event["logStreamName"], event["timestamp"])
                counts[moment] = counts.get(moment, 0) + 1
                identity = (*moment, counts[moment])
                if identity not in self._seen:
                    self._seen.add(identity)
                    self._newest = max(self._newest, event["timestamp"])
                    yield from self._lines(event["message"])
            if len(events) < _PAGE or events[-1]["timestamp"] == since:
                return
            since = events[-1]["timestamp"]

    def _events(self, since: int) -> list[dict[str, Any]]:
        request = {"logGroupName": self._log.group, "startTime": since, "limit": _PAGE}
        try:
            return self._aws.call("logs", "filter_log_events", request)["events"]
        except AwsError as error:
            # Lambda makes a group that nobody declared at the first invocation.
            if error.code == "ResourceNotFoundException":
                return []
            raise

    def _lines(self, message: str) -> Iterator[Line]:
        if message.startswith(_PLATFORM_LINES) and not self._log.platform_lines:
            return
        for text in message.splitlines():
            yield Line(self._log.function, text)
