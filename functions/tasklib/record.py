"""How a task looks as an item of the table, and what such an item weighs.

Attributes are strings and whole numbers only; payloads and results are JSON text, kept to the letter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from tasklib.task import Status, Task, TaskData

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

    Item = Mapping[str, AttributeValueTypeDef]

#: A write of up to this many bytes costs one write unit.
WRITE_UNIT: Final = 1024

#: What claim and settle add to a record: claim id, lease, due time, TTL, a short result. Data goes into the
#: record only when it fits beside them, so that each of those writes stays one unit.
_GROWTH: Final = 160

#: The sort key of a task's record.
STATE: Final = "state"

#: Record attributes and the fields of `Task` that they hold, other than the data.
FIELDS: Final = {
    "taskId": "task_id",
    "type": "type",
    "status": "status",
    "run": "run",
    "attempts": "attempts",
    "version": "version",
    "createdKey": "created_key",
    "listShard": "list_shard",
    "updatedAt": "updated_at",
    "contentHash": "content_hash",
    "correlationId": "correlation_id",
    "claimId": "claim_id",
    "leaseUntil": "lease_until",
    "notBefore": "not_before",
    "errorMessage": "error_message",
    "result": "result",
    "deadLetteredAt": "dead_lettered_at",
    "expiresAt": "expires_at",
    "history": "history",
    "failedShard": "failed_shard",
    "unsentShard": "unsent_shard",
    "unsentKey": "unsent_key",
    "runAt": "run_at",
}


def key_of(task_id: str, part: str) -> dict[str, AttributeValueTypeDef]:
    """The key of a task's item."""
    return encode({"taskId": task_id, "part": part})


def data_part(task: Task) -> str:
    """The sort key of the item that holds the data of a task, when its record does not."""
    return f"data#{task.content_hash}"


def encode(values: Mapping[str, str | int]) -> dict[str, AttributeValueTypeDef]:
    """Values as DynamoDB takes them."""
    return {name: attribute(value) for name, value in values.items()}


def attribute(value: str | int) -> AttributeValueTypeDef:
    """One value as DynamoDB takes it."""
    return {"N": str(value)} if isinstance(value, int) else {"S": str(value)}


def decode(item: Item) -> dict[str, Any]:
    """The values of an item."""
    return {name: int(value["N"]) if "N" in value else value.get("S", "") for name, value in item.items()}


def to_item(task: Task) -> dict[str, AttributeValueTypeDef]:
    """A task's record."""
    values = {name: getattr(task, field) for name, field in FIELDS.items()}
    item: dict[str, str | int] = {name: value for name, value in values.items() if value is not None}
    item["part"] = STATE
    if task.data is not None:
        item[task.data.kind] = task.data.text
    return encode(item)


def with_data(task: Task, data: TaskData) -> Task:
    """A new task with its data, if its record can hold it; else the task as it was."""
    inline = replace(task, data=data)
    return inline if size_of(to_item(inline)) + _GROWTH <= WRITE_UNIT else task


def to_task(item: Item) -> Task:
    """The task of a record."""
    values = decode(item)
    fields = {field: values.get(name) for name, field in FIELDS.items()}
    return Task(**fields | {"status": Status(values["status"]), "data": data_in(item)})  # pyright: ignore[reportArgumentType]


def data_in(item: Item) -> TaskData | None:
    """The data that an item holds; None when it holds none."""
    for kind in ("answer", "payload"):
        if kind in item:
            return TaskData(kind, item[kind].get("S", ""))
    return None


def size_of(item: Item) -> int:
    """The bytes that DynamoDB bills: names and text in UTF-8, a number as half its digits plus 1."""
    return sum(
        len(name) + ((len(value["N"]) + 1) // 2 + 1 if "N" in value else len(value.get("S", "").encode()))
        for name, value in item.items()
    )
