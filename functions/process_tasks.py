"""Task queue -> claim, run, settle."""

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from tasklib import aws
from tasklib.clock import Deadline
from tasklib.queue import Delivery, Queue
from tasklib.secret_parameters import SecretParameters
from tasklib.store import TaskStore
from tasklib.task_processes import TaskProcesses, TaskTypesError
from tasklib.worker import Worker, WorkerSettings

#: How Lambda starts a function ahead of its calls. What such a start leaves unfinished, the first calls wait for.
_AHEAD: Final = ("snap-start", "provisioned-concurrency")

# First, so that the fork server imports the task types while the AWS clients are made here.
_processes = TaskProcesses()
_sqs = aws.sqs()
_worker = Worker(
    TaskStore(aws.dynamodb(), os.environ["TASKS_TABLE"]),
    Queue(_sqs, os.environ["TASK_QUEUE_URL"]),
    Queue(_sqs, os.environ["DEAD_LETTER_QUEUE_URL"]),
    _processes,
    SecretParameters(aws.ssm, os.environ),
    WorkerSettings.from_environment(os.environ),
)

if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") in _AHEAD:
    # Each call asks for the types again and reports what is wrong with them.
    with suppress(TaskTypesError):
        _processes.types()


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Works off a batch; names the messages that have to stay on the queue."""
    deliveries = [Delivery.from_event(record) for record in event["Records"]]
    kept = _worker.work_off(deliveries, Deadline(context.get_remaining_time_in_millis()))
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in kept]}
