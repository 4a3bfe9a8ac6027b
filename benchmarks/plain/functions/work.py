"""Task queue -> each task in turn: PROCESSING, the work, COMPLETED."""

import json
import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import boto3

_table = boto3.resource("dynamodb").Table(os.environ["TASKS_TABLE"])


def handler(event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """Works off a batch; names the messages that have to stay on the queue."""
    failures: list[dict[str, str]] = []
    for record in event["Records"]:
        try:
            _process(json.loads(record["body"]))
        except Exception:
            # Whatever failed, its message comes back, and its neighbours go on; it is logged whole.
            logging.exception("task failed")
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}


def _process(task: Mapping[str, Any]) -> None:
    _set_status(task["taskId"], "PROCESSING")
    # The work would be here: a benchmark measures what is around it.
    _set_status(task["taskId"], "COMPLETED")
    print(json.dumps({"message": "task completed", "taskId": task["taskId"]}))  # noqa: T201 - Lambda's log


def _set_status(task_id: str, status: str) -> None:
    _table.update_item(
        Key={"taskId": task_id},
        UpdateExpression="SET #status = :status, updatedAt = :now",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={
            ":status": status,
            ":now": datetime.now(UTC).isoformat(timespec="milliseconds"),
        },
    )
