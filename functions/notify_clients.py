"""The tasks table's stream -> status updates to the WebSocket clients that want them."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from tasklib import aws
from tasklib.clock import Deadline
from tasklib.connections import ConnectionStore, Subscription
from tasklib.gateway import Gateway
from tasklib.task import Task
from tasklib.telemetry import logger
from tasklib.updates import frames, newest

_connections = ConnectionStore(aws.dynamodb(), os.environ["CONNECTIONS_TABLE"])
_gateway = Gateway(aws.websocket_connections(os.environ["CONNECTIONS_URL"]), gone=_connections.unsubscribe)


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Pushes a batch of changes; names its first record when nobody could be told of any of them."""
    deadline = Deadline(context.get_remaining_time_in_millis())
    records = event["Records"]
    try:
        subscriptions = _connections.subscriptions()
    except aws.AWS_ERRORS as error:
        logger.warning("no answer from AWS", extra={"reason": str(error)})
        return {"batchItemFailures": [{"itemIdentifier": records[0]["dynamodb"]["SequenceNumber"]}]}
    if subscriptions:
        _gateway.push(_for_each(subscriptions, newest(records)), deadline)
    return {"batchItemFailures": []}


def _for_each(subscriptions: Sequence[Subscription], tasks: Sequence[Task]) -> dict[str, Sequence[bytes]]:
    """The frames for each connection that wants some of these tasks."""
    for_all = frames(tasks)
    wanted: dict[str, Sequence[bytes]] = {}
    for connection_id, task_ids in subscriptions:
        mine = for_all if task_ids is None else frames([task for task in tasks if task.task_id in task_ids])
        if mine:
            wanted[connection_id] = mine
    return wanted
