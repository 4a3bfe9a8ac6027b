"""Attempts at deliveries, and how they end."""

import base64
import json
import threading
from typing import Any

import task_types
from tasklib import execution
from tasklib.task_type import REGISTRY, load_all

load_all(task_types)
WEBHOOK = REGISTRY["webhook"]

KEY = bytes(range(32))
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"


def attempt(
    url: str,
    secret: str | None = SECRET,
    task_id: str = "t",
    run: int = 1,
    created_at: str = "2026-01-01T00:00:00.000Z",
    **payload: Any,
) -> dict[str, Any]:
    """An attempt as a task process runs it."""
    document: dict[str, Any] = {"url": url, "body": {"order": 7}, "timeoutSeconds": 5} | payload
    value, problems = WEBHOOK.parse(document)
    assert (value is not None, problems) == (True, [])
    secrets = {} if secret is None else {"signing": secret}
    job = {"taskId": task_id, "run": run, "attempt": 1, "correlationId": "c", "createdAt": created_at}
    data = {"kind": "payload", "data": json.dumps(document), "secrets": secrets}
    return execution.run(job | data, WEBHOOK.function)


def delivered(url: str, **payload: Any) -> dict[str, Any]:
    """The result of a delivery, which must succeed and leave nothing behind."""
    ended = attempt(url, **payload)
    assert "error" not in ended, ended
    assert "request" not in {thread.name for thread in threading.enumerate()}
    return json.loads(ended["result"])


def refused(url: str, **payload: Any) -> str:
    """Why a delivery failed for good."""
    ended = attempt(url, **payload)
    assert ended["permanent"], ended
    assert ended["error"].startswith("PermanentError: ")
    return ended["error"].removeprefix("PermanentError: ")


def failed(url: str, **payload: Any) -> str:
    """Why a delivery failed for now."""
    ended = attempt(url, **payload)
    assert not ended["permanent"], ended
    assert "delay_seconds" not in ended
    assert ended["error"].startswith("DeliveryError: ")
    return ended["error"].removeprefix("DeliveryError: ")
