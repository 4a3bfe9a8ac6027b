"""Dead-letter queue -> log, mark, alert. One monitor, two ways to be called: on a schedule, or by the queue."""

import os
from collections.abc import Mapping
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


def on_schedule(event: Mapping[str, Any], context: Any) -> None:  # noqa: ARG001 - Lambda's interface
    """Drains the dead-letter queue, as far as the time allows."""
    deadline = Deadline(context.get_remaining_time_in_millis())
    while deadline.remaining() > _LAST_LETTER and (deliveries := _queue.receive()):
        for delivery in deliveries:
            if deadline.remaining() > _LAST_LETTER and _monitor.examine(delivery):
                _monitor.delete(delivery)


def on_queue(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Examines the letters of one batch; names those that have to stay."""
    deadline = Deadline(context.get_remaining_time_in_millis())
    deliveries = [Delivery.from_event(record) for record in event["Records"]]
    kept = [
        delivery.message_id
        for delivery in deliveries
        if deadline.remaining() <= _LAST_LETTER or not _monitor.examine(delivery)
    ]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in kept]}
