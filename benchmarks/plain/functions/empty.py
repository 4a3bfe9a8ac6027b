"""`POST /empty`: reads the request and answers. What is above this in another function's time is its work."""

import json
from collections.abc import Mapping
from typing import Any


def handler(event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """202, and the task's ID if it had one."""
    request = json.loads(event["body"])
    task_id = request.get("taskId")
    if request.get("print"):
        print(json.dumps({"message": "answered", "taskId": task_id}))  # noqa: T201 - Lambda's log
    return {
        "statusCode": 202,
        "headers": {"content-type": "application/json"},
        "body": json.dumps({"taskId": task_id}),
    }
