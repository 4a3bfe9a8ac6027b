"""WebSocket clients -> what they want to hear of: lets in who has a ticket, answers frames, forgets who has left."""

import json
import os
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from tasklib import aws
from tasklib.connections import ConnectionStore
from tasklib.http_api import Problem
from tasklib.validation import read_frame

_connections = ConnectionStore(aws.dynamodb(), os.environ["CONNECTIONS_TABLE"])


def handler(event: Mapping[str, Any], _context: Any) -> dict[str, Any]:
    """What the gateway sends back to the client; for a new connection, whether it lets it in."""
    connection_id = event["requestContext"]["connectionId"]
    # Not the route: that is chosen by what a frame says, which may be the name of any.
    kind = event["requestContext"]["eventType"]
    if kind == "CONNECT":
        return {"statusCode": _admission(event.get("queryStringParameters") or {})}
    try:
        if kind == "DISCONNECT":
            _connections.unsubscribe(connection_id)
            answer = {}
        else:
            answer = _answer(connection_id, event.get("body") or "")
    except Exception as error:  # noqa: BLE001 - the last line: every error becomes an answer
        answer = {"problem": Problem.of(error).body()}
    return {"statusCode": HTTPStatus.OK, "body": json.dumps(answer, separators=(",", ":"))}


def _admission(query: Mapping[str, str]) -> HTTPStatus:
    """200 lets a client in, once for each ticket; every other status refuses it."""
    try:
        admitted = _connections.use_ticket(query.get("ticket", ""))
    except Exception as error:  # noqa: BLE001 - nobody gets in because something failed
        return Problem.of(error).status
    return HTTPStatus.OK if admitted else HTTPStatus.FORBIDDEN


def _answer(connection_id: str, body: str) -> dict[str, Any]:
    frame = read_frame(body)
    match frame.action:
        case "subscribe":
            _connections.subscribe(connection_id, frame.task_ids)
            return {"subscribed": "all" if frame.task_ids is None else frame.task_ids}
        case "unsubscribe":
            _connections.unsubscribe(connection_id)
            return {"unsubscribed": True}
        case "ping":
            # Its subscription can be gone although the client never ended it: notify-clients could not push to it.
            return {"pong": True, "isSubscribed": _connections.is_subscribed(connection_id)}
