"""The tasks table's stream -> status updates to the WebSocket clients that want them."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from tasklib import aws
from tasklib.clock import Deadline
from tasklib.connections import ConnectionStore, Subscription
from tasklib.gateway import Gateway
from tasklib.telemetry import logger
from tasklib.updates import Update, frames, newest

_connections = ConnectionStore(aws.dynamodb(), os.environ["CONNECTIONS_TABLE"])
_gateway = Gateway(aws.websocket_connections(os.environ["CONNECTIONS_URL"]), forget=_connections.unsubscribe)


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Pushes a batch of changes; names its first record when it has to come again, since some client was not told."""
    deadline = Deadline(context.get_remaining_time_in_millis())
    records = event["Records"]
    try:
        subscriptions = _connections.subscriptions()
    except aws.AWS_ERRORS as error:
        logger.warning("no answer from AWS", extra={"reason": aws.reason(error)})
        return _from_the_first(records)
    if subscriptions and not _gateway.push(_for_each(subscriptions, newest(records)), deadline):
        return _from_the_first(records)
    return {"batchItemFailures": []}


def _from_the_first(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The answer that makes the batch come again as a whole: clients drop what they have already received."""
    return {"batchItemFailures": [{"itemIdentifier": records[0]["dynamodb"]["SequenceNumber"]}]}


def _for_each(subscriptions: Sequence[Subscription], updates: Sequence[Update]) -> dict[str, Sequence[bytes]]:
    """The frames for each connection that wants some of these updates."""
    for_all = frames(updates)
    wanted: dict[str, Sequence[bytes]] = {}
    for connection_id, task_ids in subscriptions:
        mine = (
            for_all
            if task_ids is None
            else frames([update for update in updates if update.task_id in task_ids])
        )
        if mine:
            wanted[connection_id] = mine
    return wanted
