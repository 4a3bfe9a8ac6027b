"""Every minute: send the messages of tasks that were stored and never queued."""

import os
from collections.abc import Mapping
from typing import Any

from tasklib import aws
from tasklib.clock import Deadline
from tasklib.queue import Queue
from tasklib.store import TaskStore
from tasklib.sweep import Sweep

_SHARDS = int(os.environ["LIST_SHARDS"])
_sweep = Sweep(
    TaskStore(aws.dynamodb(), os.environ["TASKS_TABLE"]),
    Queue(aws.sqs(), os.environ["TASK_QUEUE_URL"]),
    behind=int(os.environ["SWEEP_BEHIND_SECONDS"]) * 1000,
)


def handler(event: Mapping[str, Any], context: Any) -> dict[str, int]:  # noqa: ARG001 - Lambda's interface
    """Sweeps as far as the time allows; what is left over, the next minute takes on."""
    return {"sent": _sweep.run(_SHARDS, Deadline(context.get_remaining_time_in_millis()))}
