"""Dead-letter queue -> log, mark, alert. One handler for both triggers: a schedule, and the queue itself."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from tasklib import aws, clock
from tasklib.clock import Deadline
from tasklib.monitor import DeadLetterMonitor
from tasklib.queue import Delivery, Queue
from tasklib.store import TaskStore

#: No further letter is begun when this much of the invocation, in milliseconds, is left; those of the batch that
#: are not begun come back.
_LAST_LETTER = 15_000

_queue = Queue(aws.sqs(), os.environ["DEAD_LETTER_QUEUE_URL"])
_monitor = DeadLetterMonitor(
    TaskStore(aws.dynamodb(), os.environ["TASKS_TABLE"]),
    _queue,
    retention=int(os.environ["TASK_RETENTION_DAYS"]) * clock.DAY,
)


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any] | None:
    """Examines a batch of the dead-letter queue, or drains the queue when a schedule calls.

    The event says which, not the configuration: while the trigger is switched, both call. Lambda deletes every
    message of a batch that is answered with nothing.
    """
    deadline = Deadline(context.get_remaining_time_in_millis())
    if "Records" not in event:
        _drain(deadline)
        return None
    kept = _kept([Delivery.from_event(record) for record in event["Records"]], deadline)
    return {"batchItemFailures": [{"itemIdentifier": delivery.message_id} for delivery in kept]}


def _drain(deadline: Deadline) -> None:
    """Examines the letters of the queue, as far as the time allows, and deletes those that may go."""
    while deadline.remaining() > _LAST_LETTER and (deliveries := _queue.receive()):
        for delivery in deliveries:
            if deadline.remaining() > _LAST_LETTER and _monitor.examine(delivery):
                _monitor.delete(delivery)


def _kept(deliveries: Sequence[Delivery], deadline: Deadline) -> list[Delivery]:
    """Examines the letters of one batch; returns those that have to stay."""
    return [
        delivery
        for delivery in deliveries
        if deadline.remaining() <= _LAST_LETTER or not _monitor.examine(delivery)
    ]
