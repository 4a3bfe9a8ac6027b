"""How a task looks as an item of the table, and what such an item weighs.

Attributes are strings and whole numbers only; payloads and results are JSON text, kept to the letter. An item is
checked when it is read: what becomes a `Task` or `TaskData` can be used without further care.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, replace
from typing import TYPE_CHECKING, Any, Final, cast

from tasklib.task import Status, Task, TaskData, place_time

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

#: Numbers that are written as a time of the calendar, in milliseconds: to the end of the year 9999.
_TIMES: Final = range(253_402_300_800_000)

#: Numbers that are never written as a time: what JSON carries exactly.
_NUMBERS: Final = range(2**53)

#: The range of each attribute that is a number.
RANGES: Final = {
    "run": range(1, 10**9),
    "attempts": range(10**9),
    "version": _NUMBERS,
    "updatedAt": _TIMES,
    "leaseUntil": _TIMES,
    "notBefore": _TIMES,
    "deadLetteredAt": _TIMES,
    "expiresAt": _NUMBERS,
    "runAt": _TIMES,
}


class DamagedRecordError(Exception):
    """An item of a task cannot be read. The text names the attribute, and says nothing of what it holds."""

    def __init__(self, task_id: str, problem: str) -> None:
        super().__init__(problem)
        self.task_id = task_id


#: The texts that messages, index keys and live updates hold, which have limits of their own; and their most characters.
_SHORT: Final = frozenset(
    ("type", "contentHash", "correlationId", "claimId", "listShard", "failedShard", "unsentShard")
)
_MAX_SHORT: Final = 1024

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
    """The task of a record. Raises DamagedRecordError."""
    try:
        if missing := _REQUIRED - item.keys():
            raise _DamageError(f"{', '.join(sorted(missing))}: missing")
        fields: dict[str, Any] = {field: _read(item, name) for name, field in FIELDS.items() if name in item}
        return Task(**fields, data=_data_in(item))
    except _DamageError as error:
        raise DamagedRecordError(id_in(item), str(error)) from None


def data_in(item: Item) -> TaskData:
    """The data that an item of its own holds. Raises DamagedRecordError."""
    try:
        data = _data_in(item)
        if data is None:
            raise _DamageError("payload: missing")
        return data
    except _DamageError as error:
        raise DamagedRecordError(id_in(item), str(error)) from None


def id_in(item: Item) -> str:
    """The task ID of an item. It is part of the item's key, so it is always there."""
    return item["taskId"].get("S", "")


#: The attributes that a record cannot be without.
_REQUIRED: Final = frozenset(
    name for name, field in FIELDS.items() if Task.__dataclass_fields__[field].default is MISSING
)


class _DamageError(Exception):
    """What is wrong with an attribute."""


def _read(item: Item, name: str) -> str | int | Status:
    """An attribute of a record, checked."""
    if name in RANGES:
        number = _number(item, name)
        if number not in RANGES[name]:
            raise _DamageError(f"{name}: out of range")
        return number
    text = _text(item, name)
    check = _CHECKS.get(name)
    if check and not check(text):
        raise _DamageError(f"{name}: not what this code writes")
    return Status(text) if name == "status" else text


def _number(item: Item, name: str) -> int:
    try:
        return int(item[name]["N"])  # pyright: ignore[reportTypedDictNotRequiredAccess]
    except (KeyError, TypeError):
        raise _DamageError(f"{name}: not a number") from None
    except ValueError:
        raise _DamageError(f"{name}: not a whole number") from None


def _text(item: Item, name: str) -> str:
    try:
        text = item[name]["S"]  # pyright: ignore[reportTypedDictNotRequiredAccess]
    except (KeyError, TypeError):
        raise _DamageError(f"{name}: not a string") from None
    if name in _SHORT and len(text) > _MAX_SHORT:
        raise _DamageError(f"{name}: too long")
    return text


def _data_in(item: Item) -> TaskData | None:
    if "answer" in item:
        return TaskData("answer", _text(item, "answer"))
    if "payload" not in item:
        return None
    text = _text(item, "payload")
    if not isinstance(_json(text), dict):
        raise _DamageError("payload: not a JSON object")
    return TaskData("payload", text)


def _json(text: str) -> Any:
    """What the text holds; `_NO_JSON` when it is no JSON that an answer can hold."""
    try:
        value = json.loads(text, parse_constant=_refuse)
        if "\\u" in text:
            # Half of a surrogate pair can be written so, and cannot be sent.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return _NO_JSON
    return value


def _refuse(constant: str) -> None:
    raise ValueError(constant)


_NO_JSON: Final = object()


def _is_history(text: str) -> bool:
    attempts = _json(text)
    return isinstance(attempts, list) and all(isinstance(each, dict) for each in cast("list[Any]", attempts))


#: What the text of some attributes must be besides.
_CHECKS: Final[Mapping[str, Callable[[str], bool]]] = {
    "type": bool,
    "status": frozenset(Status).__contains__,
    "createdKey": lambda place: place_time(place) is not None,
    "unsentKey": lambda place: place_time(place) is not None,
    "result": lambda text: _json(text) is not _NO_JSON,
    "history": _is_history,
}


def size_of(item: Item) -> int:
    """The bytes that DynamoDB bills: names and text in UTF-8, a number as half its digits plus 1."""
    return sum(
        len(name) + ((len(value["N"]) + 1) // 2 + 1 if "N" in value else len(value.get("S", "").encode()))
        for name, value in item.items()
    )
