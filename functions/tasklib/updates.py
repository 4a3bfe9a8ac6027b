"""Status updates: from the records of the tasks table's stream to the frames that clients get."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from tasklib.damage import read_task
from tasklib.record import DamagedRecordError
from tasklib.telemetry import logger

#: Bytes of a frame, at most: the gateway counts, and bills, messages in pieces of this size.
MAX_FRAME: Final = 32 * 1024

_OPENING, _CLOSING = b'{"updates":[', b"]}"


class Update(NamedTuple):
    """What clients are told of a task: `text` is JSON."""

    task_id: str
    text: bytes


def newest(records: Iterable[Mapping[str, Any]]) -> list[Update]:
    """Updates of the tasks of stream records with new images, each in its newest state, in the order of their last
    change.

    A record that cannot be read is reported and left out: it would be no better the next time, and must not keep back
    those that follow.
    """
    updates: dict[str, Update] = {}
    for record in records:
        try:
            task = read_task(record["dynamodb"]["NewImage"])
            text = json.dumps(task.update(), separators=(",", ":"), ensure_ascii=False).encode()
        except DamagedRecordError:
            continue  # it is reported
        except Exception:  # noqa: BLE001 - logged whole
            logger.exception("a stream record cannot be read", extra={"eventId": record.get("eventID")})
            continue
        # The stream keeps the order of an item's changes; what comes last is newest.
        updates.pop(task.task_id, None)
        updates[task.task_id] = Update(task.task_id, text)
    return [*updates.values()]


def frames(updates: Sequence[Update]) -> list[bytes]:
    """These updates in one frame, or in as few as can hold them; none for no updates."""
    room = MAX_FRAME - len(_OPENING) - len(_CLOSING)
    groups: list[list[bytes]] = []
    left = 0
    for _, text in updates:
        if left < len(text) + 1:
            groups.append([])
            left = room
        groups[-1].append(text)
        left -= len(text) + 1
    return [_OPENING + b",".join(group) + _CLOSING for group in groups]
