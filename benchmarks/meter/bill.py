"""From what was used to dollars."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Final

from benchmarks.meter import prices
from benchmarks.meter.counts import Count
from benchmarks.meter.prices import Price
from benchmarks.meter.sqs import MOST_MESSAGES

_HTTP_STEP: Final = 512 * 1024

#: Bytes that CloudWatch Logs counts for an event besides its text
#: (https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html).
_LOG_EVENT: Final = 26

_MB_OF_A_GB: Final = 1024


@dataclass(frozen=True, slots=True)
class Usage:
    """What a run used; usages add up. Functions that read a stream count like all others.

    Attributes:
        http_requests: requests to the HTTP API, in its steps of 512 KB.
        invocations: Lambda invocations.
        gb_seconds: their billed duration in seconds, times the memory in GB.
        write_units: DynamoDB write units.
        read_units: DynamoDB read units.
        sqs_requests: requests that SQS bills, those of Lambda's pollers included.
        log_bytes: bytes of logs, as CloudWatch Logs counts them.
    """

    http_requests: int = 0
    invocations: int = 0
    gb_seconds: float = 0
    write_units: float = 0
    read_units: float = 0
    sqs_requests: int = 0
    log_bytes: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(Usage)))


def api_calls(counts: Mapping[str, Count]) -> Usage:
    """Usage of the AWS calls that a MeterProxy counted."""
    total = sum(counts.values(), Count())
    return Usage(
        write_units=total.write_units, read_units=total.read_units, sqs_requests=total.billed_requests
    )


def http_requests(sizes: Iterable[int]) -> Usage:
    """Usage of requests to the HTTP API, given the bytes of each."""
    return Usage(http_requests=sum(max(1, math.ceil(size / _HTTP_STEP)) for size in sizes))


def invocations(milliseconds: Iterable[float], memory_mb: int) -> Usage:
    """Usage of a function's invocations, given how long each took; a cold start's with its initialisation."""
    billed = [math.ceil(duration) for duration in milliseconds]
    return Usage(invocations=len(billed), gb_seconds=sum(billed) / 1000 * memory_mb / _MB_OF_A_GB)


def polls(messages: int, batch_size: int) -> Usage:
    """Usage of Lambda's own calls to a queue that it delivers messages from.

    An assumption, since AWS does not say how it polls: full batches, and for each as few calls as SQS allows (ten
    messages a call) to receive it and to delete it. Polls of an empty queue cost by the hour and are left out.
    """
    full, rest = divmod(messages, batch_size)
    calls = full * math.ceil(batch_size / MOST_MESSAGES) + math.ceil(rest / MOST_MESSAGES)
    return Usage(sqs_requests=2 * calls)


def logs(events: Iterable[str]) -> Usage:
    """Usage of log events, given their texts."""
    return Usage(log_bytes=sum(len(event.encode()) + _LOG_EVENT for event in events))


def dollars_per_million(usage: Usage, tasks: int) -> dict[str, float]:
    """Dollars for a million tasks by service, at list prices, when `tasks` of them took this usage.

    A GB of logs is taken as 10^9 bytes, the dearer reading of the price.
    """
    parts: dict[str, list[tuple[Price, float]]] = {
        "API Gateway": [(prices.HTTP_REQUEST, usage.http_requests)],
        "Lambda": [(prices.INVOCATION, usage.invocations), (prices.GB_SECOND, usage.gb_seconds)],
        "DynamoDB": [(prices.WRITE_UNIT, usage.write_units), (prices.READ_UNIT, usage.read_units)],
        "SQS": [(prices.SQS_REQUEST, usage.sqs_requests)],
        "CloudWatch Logs": [(prices.LOG_GB, usage.log_bytes / 1e9)],
    }
    return {
        service: sum(price.each * used for price, used in part) * 1e6 / tasks
        for service, part in parts.items()
    }
