"""Status updates: from the records of the tasks table's stream to the frames that clients get."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tasklib.record import to_task
from tasklib.task import Task
from tasklib.telemetry import logger

#: Bytes of a frame, at most: the gateway counts, and bills, messages in pieces of this size.
MAX_FRAME: Final = 32 * 1024

_OPENING, _CLOSING = b'{"updates":[', b"]}"


def newest(records: Iterable[Mapping[str, Any]]) -> list[Task]:
    """The tasks of stream records with new images, each in its newest state, in the order of their last change.

    A record that cannot be read is logged and left out: it would be no better the next time, and must not keep back
    those that follow.
    """
    tasks: dict[str, Task] = {}
    for record in records:
        try:
            task = to_task(record["dynamodb"]["NewImage"])
        except Exception:  # noqa: BLE001 - logged whole
            logger.exception("a stream record cannot be read", extra={"eventId": record.get("eventID")})
            continue
        # The stream keeps the order of an item's changes; what comes last is newest.
        tasks.pop(task.task_id, None)
        tasks[task.task_id] = task
    return [*tasks.values()]


def frames(tasks: Sequence[Task]) -> list[bytes]:
    """The updates of these tasks as JSON, in one frame or as few as can hold them; none for no tasks."""
    room = MAX_FRAME - len(_OPENING) - len(_CLOSING)
    groups: list[list[bytes]] = []
    left = 0
    for task in tasks:
        update = json.dumps(task.update(), separators=(",", ":"), ensure_ascii=False).encode()
        if left < len(update) + 1:
            groups.append([])
            left = room
        groups[-1].append(update)
        left -= len(update) + 1
    return [_OPENING + b",".join(group) + _CLOSING for group in groups]
