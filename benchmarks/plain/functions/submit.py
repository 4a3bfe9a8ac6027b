"""`POST /tasks`: puts the task into the table, then sends its message."""

import json
import os
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import boto3

_table = boto3.resource("dynamodb").Table(os.environ["TASKS_TABLE"])
_sqs = boto3.client("sqs")
_queue_url = os.environ["TASK_QUEUE_URL"]


def handler(event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """202 with the task; 400 for a body that is none."""
    try:
        body = json.loads(event.get("body") or "")
        task_id = str(body.get("taskId") or uuid.uuid4())
        payload = body["payload"]
    except (ValueError, KeyError, AttributeError):
        return _answer(HTTPStatus.BAD_REQUEST, {"message": "The body must be a JSON object with a payload."})
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    _table.put_item(
        Item={
            "taskId": task_id,
            "payload": json.dumps(payload),
            "status": "PENDING",
            "createdAt": now,
            "updatedAt": now,
        }
    )
    _sqs.send_message(QueueUrl=_queue_url, MessageBody=json.dumps({"taskId": task_id, "payload": payload}))
    print(json.dumps({"message": "task accepted", "taskId": task_id}))  # noqa: T201 - Lambda's log
    return _answer(HTTPStatus.ACCEPTED, {"taskId": task_id, "status": "PENDING", "createdAt": now})


def _answer(status: HTTPStatus, body: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json"},
        "body": json.dumps(body),
    }
