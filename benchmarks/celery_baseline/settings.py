"""Celery's settings as plain data, which needs no Celery to be read."""

from typing import Any
from urllib.parse import urlsplit

REGION = "us-east-1"
#: To the emulator this is root, with any secret.
CREDENTIAL = "test"
#: Celery's name for the one queue; SQS knows it by its URL.
QUEUE = "tasks"

#: Processes that run tasks.
PROCESSES = 4
#: Threads that submit at once, each with a connection.
SUBMITTERS = 16


def settings(endpoint: str, queue_url: str, results_table: str) -> dict[str, Any]:
    """What differs from Celery's defaults, by the names of its configuration.

    Args:
        endpoint: where the emulator listens, such as `http://127.0.0.1:4566`.
        queue_url: the task queue, which must exist.
        results_table: the DynamoDB table that a task's result is put into.
    """
    address = urlsplit(endpoint).netloc
    return {
        "broker_url": f"sqs://{CREDENTIAL}:{CREDENTIAL}@{address}//",
        "broker_transport_options": {
            "region": REGION,
            "is_secure": False,
            "predefined_queues": {
                QUEUE: {"url": queue_url, "access_key_id": CREDENTIAL, "secret_access_key": CREDENTIAL}
            },
            # With the defaults, 11 s may pass between two looks at a queue that was empty.
            "wait_time_seconds": 1,
            "polling_interval": 0.05,
        },
        # Celery's default of 10 connections would let threads wait for each other.
        "broker_pool_limit": SUBMITTERS,
        "task_default_queue": QUEUE,
        "result_backend": f"dynamodb://{CREDENTIAL}:{CREDENTIAL}@{address}/{results_table}",
        # A message leaves the queue when its task is done, as with a Lambda worker: a crash loses no task.
        "task_acks_late": True,
        "worker_concurrency": PROCESSES,
        # It would need a queue of its own for each worker.
        "worker_enable_remote_control": False,
    }
