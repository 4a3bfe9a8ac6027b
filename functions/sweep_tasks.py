"""Every minute: send the messages of tasks that were stored and never queued, or whose messages SQS has dropped."""

import os
from collections.abc import Mapping
from typing import Any

from tasklib import aws, clock
from tasklib.clock import Deadline
from tasklib.queue import Queue
from tasklib.store import TaskStore
from tasklib.sweep import Sweep, SweepSettings

_sweep = Sweep(
    TaskStore(aws.dynamodb(), os.environ["TASKS_TABLE"]),
    Queue(aws.sqs(), os.environ["TASK_QUEUE_URL"]),
    SweepSettings(
        shards=int(os.environ["LIST_SHARDS"]),
        behind=int(os.environ["SWEEP_BEHIND_SECONDS"]) * 1000,
        message_retention=int(os.environ["MESSAGE_RETENTION_DAYS"]) * clock.DAY,
        task_retention=int(os.environ["TASK_RETENTION_DAYS"]) * clock.DAY,
    ),
)


def handler(event: Mapping[str, Any], context: Any) -> dict[str, int]:  # noqa: ARG001 - Lambda's interface
    """Sweeps as far as the time allows; what is left over, the next minute takes on."""
    return {"sent": _sweep.run(Deadline(context.get_remaining_time_in_millis()))}
