"""Whether a stack is well: each of its parts asked once, with how long the answer took."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from client.advice import explain
from client.api import TasksClient
from client.aws import AwsError, Fault, client_of, faults
from client.channel import Timing
from client.errors import TasksError
from client.stack import Stack

#: Seconds for an answer of the API and of live updates each.
ANSWER_SECONDS = 10.0

#: How far back the age of a queue's oldest message is looked for: AWS measures it once a minute, a little late.
AGE_WINDOW = timedelta(minutes=10)


class Condition(StrEnum):
    """What a check found."""

    OK = "ok"
    FAILED = "failed"
    UNCHECKED = "unchecked"


@dataclass(frozen=True, slots=True)
class Check:
    """What one part answered.

    Attributes:
        part: which.
        condition: see there.
        detail: what there is to say, in one line; may be empty.
        seconds: until the answer; None without one.
        numbers: what was counted, by name.
    """

    part: str
    condition: Condition
    detail: str = ""
    seconds: float | None = None
    numbers: Mapping[str, float] = field(default_factory=dict[str, float])

    def as_json(self) -> dict[str, Any]:
        """Its fields in the JSON of `info`."""
        seconds = None if self.seconds is None else round(self.seconds, 6)
        return {
            "part": self.part,
            "condition": self.condition,
            "seconds": seconds,
            "detail": self.detail,
            **self.numbers,
        }


async def examine(client: TasksClient, stack: Stack) -> list[Check]:
    """Ask every part of a stack at once; nothing is raised but what is nobody's fault.

    Args:
        client: of its API, patient for `ANSWER_SECONDS`.
        stack: its outputs say which queues it has; without them the queues are not checked.
    """
    return list(
        await asyncio.gather(
            _api(client),
            _live(client),
            asyncio.to_thread(_queue, stack, "task queue", "taskQueueUrl"),
            asyncio.to_thread(_queue, stack, "dead-letter queue", "deadLetterQueueUrl"),
        )
    )


async def _api(client: TasksClient) -> Check:
    async def ask() -> None:
        await client.page(limit=1)

    return await _answered("API", client.url, ask)


async def _live(client: TasksClient) -> Check:
    async def ask() -> None:
        # A ping is sent at once, and whatever comes after it is its answer.
        async with client.channel(Timing(ping=0, answer=ANSWER_SECONDS)) as channel:
            await channel.receive()

    return await _answered("live updates", client.url, ask)


async def _answered(part: str, url: str, ask: Callable[[], Awaitable[None]]) -> Check:
    started = time.perf_counter()
    try:
        await ask()
    except TasksError as error:
        return Check(part, Condition.FAILED, explain(error, url))
    return Check(part, Condition.OK, seconds=time.perf_counter() - started)


def _queue(stack: Stack, part: str, output: str) -> Check:
    url = stack.output(output)
    if url is None:
        return Check(part, Condition.UNCHECKED, f"its URL is not known: there is no output {output}")
    try:
        sqs = client_of(stack, "sqs")
        started = time.perf_counter()
        with faults():
            answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        seconds = time.perf_counter() - started
    except AwsError as error:
        unknown = error.fault in (Fault.SETTINGS, Fault.ACCESS)
        return Check(part, Condition.UNCHECKED if unknown else Condition.FAILED, str(error))
    counted = {
        name: int(answer["Attributes"].get(attribute, 0))
        for name, attribute in {
            "waiting": "ApproximateNumberOfMessages",
            "inFlight": "ApproximateNumberOfMessagesNotVisible",
            "delayed": "ApproximateNumberOfMessagesDelayed",
        }.items()
    }
    age = _oldest_seconds(stack, url.rpartition("/")[2]) if any(counted.values()) else None
    oldest = "" if age is None else f", the oldest {age:,.0f} s old"
    text = "{waiting:,} waiting, {inFlight:,} in flight, {delayed:,} delayed".format(**counted)
    numbers = counted if age is None else {**counted, "oldestSeconds": age}
    return Check(part, Condition.OK, text + oldest, seconds, numbers)


def _oldest_seconds(stack: Stack, queue: str) -> float | None:
    """The age of a queue's oldest message, as CloudWatch last measured it; None where it is not to be had."""
    now = datetime.now(UTC)
    try:
        cloudwatch = client_of(stack, "cloudwatch")
        with faults():
            answer = cloudwatch.get_metric_statistics(
                Namespace="AWS/SQS",
                MetricName="ApproximateAgeOfOldestMessage",
                Dimensions=[{"Name": "QueueName", "Value": queue}],
                StartTime=now - AGE_WINDOW,
                EndTime=now,
                Period=60,
                Statistics=["Maximum"],
            )
    except AwsError:
        return None
    points = sorted(answer["Datapoints"], key=lambda point: point["Timestamp"])
    return float(points[-1]["Maximum"]) if points else None
