"""The connections table: which WebSocket connections want to hear of which tasks.

A connection has an item while it is subscribed, and all items are in one partition: whoever has updates to push
finds every subscription by one query, and pays for the clients that are connected, not for those that were or for
the tasks that changed. Items of connections whose end nobody reported are removed by their TTL. Methods raise one of
`aws.AWS_ERRORS` when DynamoDB does not answer.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tasklib import clock
from tasklib.record import encode

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

#: The partition of all subscriptions.
_SUBSCRIBED: Final = "subscribed"

#: The gateway ends a connection after two hours; some minutes on top for clocks that differ.
_LONGEST_CONNECTION: Final = 2 * 3_600_000 + 600_000


class Subscription(NamedTuple):
    """What a connection wants to hear of: the tasks of these IDs, or with None all."""

    connection_id: str
    task_ids: frozenset[str] | None


class ConnectionStore:
    """Keeps the subscriptions of connections, one each."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def subscribe(self, connection_id: str, task_ids: Collection[str] | None) -> None:
        """Subscribe a connection to these tasks, or with None to all, in place of what it had."""
        item: Any = _key(connection_id) | encode({"expiresAt": (clock.now() + _LONGEST_CONNECTION) // 1000})
        if task_ids is not None:
            item["taskIds"] = {"SS": [*task_ids]}
        self._client.put_item(TableName=self._table, Item=item)

    def unsubscribe(self, connection_id: str) -> None:
        """Forget a connection, subscribed or not."""
        self._client.delete_item(TableName=self._table, Key=_key(connection_id))

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
                task_ids = frozenset(item["taskIds"].get("SS", ())) if "taskIds" in item else None
                found.append(Subscription(item["connectionId"].get("S", ""), task_ids))
            if "LastEvaluatedKey" not in answer:
                return found
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}


def _key(connection_id: str) -> dict[str, Any]:
    return encode({"state": _SUBSCRIBED, "connectionId": connection_id})
