"""The task queue and the dead-letter queue: every SQS call of the project, and what the messages look like.

Bodies are JSON. A task message is `{"taskId", "run", "type", "correlationId"}`; a dead letter is
`{"taskId", "run", "reason", "correlationId"}`, or without `taskId` and `run` when it stands for a message that
named no task. When SQS itself gives a message up (`maxReceiveCount`), it arrives in the dead-letter queue as it
was. Methods raise one of `aws.AWS_ERRORS` when SQS does not answer.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from botocore.exceptions import ClientError

from tasklib import clock
from tasklib.task import QUEUED_AHEAD, TASK_ID, Task

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import ChangeMessageVisibilityBatchRequestEntryTypeDef

#: The longest that a message is put off, in seconds. SQS allows 12 hours counted from the receive, which lies
#: up to an invocation back.
MAX_VISIBILITY: Final = 43_200 - 900

#: Messages of one ReceiveMessage call, at most.
_BATCH: Final = 10


class BadMessageError(ValueError):
    """A message's body is not what this project sends; the text says why."""


class TaskMessage(NamedTuple):
    """Asks a worker to run one run of a task. It is delivered at `due` (ms), or at once; at most 15 minutes later."""

    task_id: str
    run: int
    type: str
    correlation_id: str
    due: int = 0

    @classmethod
    def of(cls, task: Task) -> Self:
        """The message that starts this task's run."""
        return cls(task.task_id, task.run, task.type, task.correlation_id, task.not_before or 0)

    @classmethod
    def parse(cls, body: str) -> Self:
        """Reads a message's body. Raises BadMessageError."""
        fields = _parse(body)
        match fields:
            case {"taskId": str(task_id), "run": int(run), "type": str(task_type), **rest} if (
                TASK_ID.fullmatch(task_id) and _is_run(run)
            ):
                return cls(task_id, run, task_type, _text(rest.get("correlationId")))
            case _:
                raise BadMessageError("not a task message: needs taskId, run and type")

    def body(self) -> str:
        """The message's body."""
        return _dump(
            taskId=self.task_id, run=self.run, type=self.type, correlationId=self.correlation_id
        )  # fmt: skip


class DeadLetter(NamedTuple):
    """Says that a run of a task, or a message that named no task (`task_id` None), came to its end and why.

    `redriven` tells a task message that SQS gave up from a letter that a worker wrote.
    """

    task_id: str | None
    run: int
    reason: str
    correlation_id: str
    redriven: bool = False

    @classmethod
    def parse(cls, body: str) -> Self:
        """Reads a letter of ours, or a task message that SQS gave up. Anything else is a letter of no task."""
        try:
            fields = _parse(body)
        except BadMessageError as error:
            return cls(None, 0, str(error), "")
        redriven = "reason" not in fields
        reason = _text(fields.get("reason")) or "given up by the queue after maxReceiveCount receives"
        correlation_id = _text(fields.get("correlationId"))
        match fields:
            case {"taskId": str(task_id), "run": int(run)} if TASK_ID.fullmatch(task_id) and _is_run(run):
                return cls(task_id, run, reason, correlation_id, redriven)
            case _:
                return cls(None, 0, reason, correlation_id)

    def body(self) -> str:
        """The letter's body."""
        task = {} if self.task_id is None else {"taskId": self.task_id, "run": self.run}
        return _dump(**task, reason=self.reason, correlationId=self.correlation_id)


class Delivery(NamedTuple):
    """One message as the queue delivered it; `receives` counts its deliveries, this one included."""

    message_id: str
    receipt_handle: str
    body: str
    receives: int

    @classmethod
    def from_event(cls, record: dict[str, Any]) -> Self:
        """A record of an SQS event, as Lambda hands it over."""
        receives = int(record["attributes"]["ApproximateReceiveCount"])
        return cls(record["messageId"], record["receiptHandle"], record["body"], receives)


class Queue:
    """One SQS queue."""

    def __init__(self, client: SQSClient, url: str) -> None:
        self._client = client
        self._url = url

    def send(self, message: TaskMessage | DeadLetter) -> None:
        """Put a message on the queue; when this returns, SQS has it."""
        self._client.send_message(
            QueueUrl=self._url, MessageBody=message.body(), DelaySeconds=_delay(message)
        )

    def send_all(self, messages: Sequence[TaskMessage | DeadLetter]) -> None:
        """Put messages on the queue, ten a call; when this returns, SQS has them all."""
        for start in range(0, len(messages), _BATCH):
            batch = messages[start : start + _BATCH]
            answer = self._client.send_message_batch(
                QueueUrl=self._url,
                Entries=[
                    {"Id": str(position), "MessageBody": message.body(), "DelaySeconds": _delay(message)}
                    for position, message in enumerate(batch)
                ],
            )
            # Inside a 200, and botocore retries none of them; sent alone, an error raises as it should.
            for failed in answer.get("Failed", []):
                self.send(batch[int(failed["Id"])])

    def defer(self, delivery: Delivery, milliseconds: int) -> None:
        """Make a delivered message visible again after this long, rounded up to whole seconds, at least 1."""
        self._client.change_message_visibility(
            QueueUrl=self._url,
            ReceiptHandle=delivery.receipt_handle,
            VisibilityTimeout=_visibility(milliseconds),
        )

    def defer_all(self, deferrals: Sequence[tuple[Delivery, int]]) -> None:
        """As `defer`, ten a call, each with its own delay.

        Raises one of `aws.AWS_ERRORS` when some could not be deferred: they return all the same, when their
        visibility timeout is over. After a call without an answer no more are made, for each may take as long.
        """
        error: Exception | None = None
        for start in range(0, len(deferrals), _BATCH):
            entries: list[ChangeMessageVisibilityBatchRequestEntryTypeDef] = [
                {
                    "Id": str(position),
                    "ReceiptHandle": delivery.receipt_handle,
                    "VisibilityTimeout": _visibility(milliseconds),
                }
                for position, (delivery, milliseconds) in enumerate(deferrals[start : start + _BATCH])
            ]
            answer = self._client.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)
            for failed in answer.get("Failed", []):
                # Inside a 200.
                fields: Any = {"Error": {"Code": failed["Code"], "Message": failed.get("Message", "")}}
                error = ClientError(fields, "ChangeMessageVisibilityBatch")
        if error:
            raise error

    def receive(self) -> Sequence[Delivery]:
        """Up to 10 messages, empty when the queue has none to give."""
        # A second of long polling asks all of SQS's servers; without it a queue that holds messages can
        # answer that it is empty.
        answer = self._client.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=_BATCH,
            WaitTimeSeconds=1,
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
        )
        return [
            Delivery(
                message.get("MessageId", ""),
                message.get("ReceiptHandle", ""),
                message.get("Body", ""),
                int(message.get("Attributes", {}).get("ApproximateReceiveCount", 1)),
            )
            for message in answer.get("Messages", [])
        ]

    def delete(self, delivery: Delivery) -> None:
        """Remove a delivered message for good."""
        self._client.delete_message(QueueUrl=self._url, ReceiptHandle=delivery.receipt_handle)


def _delay(message: TaskMessage | DeadLetter) -> int:
    """How long a message is kept back, in whole seconds: a letter not at all."""
    due = message.due if isinstance(message, TaskMessage) else 0
    return max(0, min(math.ceil((due - clock.now()) / 1000), QUEUED_AHEAD // 1000))


def _visibility(milliseconds: int) -> int:
    return min(max(1, math.ceil(milliseconds / 1000)), MAX_VISIBILITY)


def _parse(body: str) -> dict[str, Any]:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise BadMessageError("not a task message: not JSON") from None
    if not isinstance(fields, dict):
        raise BadMessageError("not a task message: not a JSON object")
    return fields  # pyright: ignore[reportUnknownVariableType]


def _is_run(run: int) -> bool:
    return not isinstance(run, bool) and 1 <= run < 10**9


def _text(value: object) -> str:
    """The value if it is text, fit for logs and records: whoever sent a message may have escaped anything."""
    return value.encode(errors="replace").decode()[:1000] if isinstance(value, str) else ""


def _dump(**fields: str | int) -> str:
    return json.dumps(fields, separators=(",", ":"))
