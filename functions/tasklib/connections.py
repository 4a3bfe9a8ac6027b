"""The connections table: which WebSocket connections want to hear of which tasks, and who may make a new one.

A connection has an item while it is subscribed, and all items are in one partition: whoever has updates to push
finds every subscription by one query, and pays for the clients that are connected, not for those that were or for
the tasks that changed. Items of connections whose end nobody reported are removed by their TTL.

A ticket is an item in another partition, found by the ticket's SHA-256: whoever reads the table learns no ticket. It is
gone when it was used, and past its time it is good for nothing even before its TTL removes it.

Methods raise one of `aws.AWS_ERRORS` when DynamoDB does not answer.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tasklib import clock
from tasklib.record import encode

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

#: The partition of all subscriptions.
_SUBSCRIBED: Final = "subscribed"

#: The partition of all tickets: it takes 500 connects a second, as many as AWS lets an account make.
_TICKET: Final = "ticket"

#: Seconds for which a ticket is good: long enough for a slow connection to be made.
TICKET_SECONDS: Final = 30

#: The gateway ends a connection after two hours; some minutes on top for clocks that differ.
_LONGEST_CONNECTION: Final = 2 * 3_600_000 + 600_000


class Subscription(NamedTuple):
    """What a connection wants to hear of: the tasks of these IDs, or with None all."""

    connection_id: str
    task_ids: frozenset[str] | None


class ConnectionStore:
    """Keeps the subscriptions of connections, one each, and the tickets for new connections."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def subscribe(self, connection_id: str, task_ids: Collection[str] | None) -> None:
        """Subscribe a connection to these tasks, or with None to all, in place of what it had."""
        item: Any = _key(_SUBSCRIBED, connection_id) | encode(
            {"expiresAt": (clock.now() + _LONGEST_CONNECTION) // 1000}
        )
        if task_ids is not None:
            item["taskIds"] = {"SS": [*task_ids]}
        self._client.put_item(TableName=self._table, Item=item)

    def is_subscribed(self, connection_id: str) -> bool:
        """Whether a connection is subscribed, after every `subscribe` and `unsubscribe` that was answered before."""
        answer = self._client.get_item(
            TableName=self._table, Key=_key(_SUBSCRIBED, connection_id), ConsistentRead=True
        )
        return "Item" in answer

    def unsubscribe(self, connection_id: str) -> None:
        """Forget a connection, subscribed or not."""
        self._client.delete_item(TableName=self._table, Key=_key(_SUBSCRIBED, connection_id))

    def issue_ticket(self) -> str:
        """A new ticket for one connection, good for `TICKET_SECONDS`."""
        ticket = secrets.token_urlsafe(32)
        expires_at = clock.now() // 1000 + TICKET_SECONDS
        self._client.put_item(
            TableName=self._table, Item=_key(_TICKET, _digest(ticket)) | encode({"expiresAt": expires_at})
        )
        return ticket

    def use_ticket(self, ticket: str) -> bool:
        """Use a ticket up; False when it is none, was used before, or is too old."""
        try:
            self._client.delete_item(
                TableName=self._table,
                Key=_key(_TICKET, _digest(ticket)),
                ConditionExpression="expiresAt > :now",
                ExpressionAttributeValues=encode({":now": clock.now() // 1000}),
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def subscriptions(self) -> list[Subscription]:
        """Every subscription whose `subscribe` was answered before this call."""
        found: list[Subscription] = []
        start: dict[str, Any] = {}
        while True:
            answer = self._client.query(
                TableName=self._table,
                KeyConditionExpression="#state = :subscribed",
                ExpressionAttributeNames={"#state": "state"},
                ExpressionAttributeValues=encode({":subscribed": _SUBSCRIBED}),
                ConsistentRead=True,
                **start,
            )
            for item in answer["Items"]:
                # One that is damaged hears of all tasks, so that it misses nothing.
                task_ids = item.get("taskIds", {}).get("SS")
                found.append(
                    Subscription(
                        item["connectionId"].get("S", ""), None if task_ids is None else frozenset(task_ids)
                    )
                )
            if "LastEvaluatedKey" not in answer:
                return found
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}


def _key(state: str, name: str) -> dict[str, Any]:
    return encode({"state": state, "connectionId": name})


def _digest(ticket: str) -> str:
    return hashlib.sha256(ticket.encode(errors="surrogatepass")).hexdigest()
