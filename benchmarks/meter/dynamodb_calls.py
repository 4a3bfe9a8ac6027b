"""What a DynamoDB call reads and writes, told from its request and its answer.

Source: the operations' pages in
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Operations_Amazon_DynamoDB.html
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Any, Final

from benchmarks.meter.dynamodb import TRANSACTION, Table
from benchmarks.meter.errors import MeterError
from benchmarks.meter.item_size import Item
from benchmarks.meter.partiql import Statement

Json = Mapping[str, Any]

#: Operations that change a table itself.
RESHAPES: Final = frozenset({"CreateTable", "UpdateTable", "DeleteTable"})

#: What makes an answer show less than was read.
_NARROWING = (
    *("ProjectionExpression", "FilterExpression", "AttributesToGet", "QueryFilter", "ScanFilter"),
    *("ConditionalOperator", "Select"),
)

#: Errors of a write that was refused by its condition, or by its transaction.
_REFUSALS = frozenset(
    {
        *("ConditionalCheckFailedException", "DuplicateItemException", "TransactionCanceledException"),
        *("ConditionalCheckFailed", "DuplicateItem"),
    }
)


class Outcome(Enum):
    """What became of a write."""

    DONE = "done"
    REFUSED = "its condition failed"
    NOT_DONE = "throttled, or not valid"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of DynamoDB."""

    status: int
    body: Json

    @property
    def error(self) -> str | None:
        """The error's name; None when the call succeeded."""
        if self.status < HTTPStatus.BAD_REQUEST:
            return None
        return str(self.body.get("__type", "unknown")).rpartition("#")[2]


@dataclass(frozen=True, slots=True)
class Write:
    """One item that a call writes.

    Attributes:
        table: the table's name.
        key: the item's key.
        put: the item as it will be, {} when the request does not show it.
        factor: how often its units count.
    """

    table: str
    key: Item
    put: Item
    factor: int = 1


@dataclass(frozen=True, slots=True)
class Lookup:
    """One item that a call reads by its key.

    Attributes:
        item: the item, {} when there is none, None when the answer does not show all of it.
    """

    table: str
    key: Item
    item: Item | None
    consistent: bool
    factor: int = 1


@dataclass(frozen=True, slots=True)
class Range:
    """The items or index entries that a Query or Scan reads.

    Attributes:
        items: what was read, None when the answer does not show all of it.
        whole: the same request for everything that it reads.
    """

    items: Sequence[Item] | None
    consistent: bool
    whole: Json


def identity(table: str, key: Item) -> str:
    """The name of an item, the same however its key is ordered."""
    return json.dumps([table, key], sort_keys=True)


def table_names(operation: str, request: Json) -> set[str]:
    """The tables that a call reads or writes items of. Raises MeterError for calls that cannot be metered."""
    match operation:
        case "GetItem" | "PutItem" | "UpdateItem" | "DeleteItem" | "Query" | "Scan":
            return {request["TableName"]}
        case "BatchGetItem" | "BatchWriteItem":
            return set(request["RequestItems"])
        case "TransactGetItems" | "TransactWriteItems":
            return {action["TableName"] for entry in request["TransactItems"] for action in entry.values()}
        case "ExecuteStatement" | "BatchExecuteStatement":
            return {statement.table for statement in _statements(operation, request)}
        case "ExecuteTransaction":
            raise MeterError("ExecuteTransaction is not metered; TransactWriteItems and TransactGetItems are")
        case _:
            return set()


def writes_of(operation: str, request: Json, tables: Mapping[str, Table]) -> list[Write]:
    """The items that a call writes, in the order of its request."""
    match operation:
        case "PutItem" | "UpdateItem" | "DeleteItem":
            return [_write(request, request["TableName"], tables)]
        case "BatchWriteItem":
            return [
                _write(action, name, tables)
                for name, entries in request["RequestItems"].items()
                for entry in entries
                for action in entry.values()
            ]
        case "TransactWriteItems":
            return [
                _write(action, action["TableName"], tables, TRANSACTION)
                for entry in request["TransactItems"]
                for action in entry.values()
            ]
        case "ExecuteStatement" | "BatchExecuteStatement":
            return [
                Write(statement.table, statement.key(tables[statement.table].key), {})
                for statement in _statements(operation, request)
                if statement.verb != "SELECT"
            ]
        case _:
            return []


def outcomes_of(
    operation: str, answer: Answer, writes: Sequence[Write], tables: Mapping[str, Table]
) -> list[Outcome]:
    """What became of each write."""
    if not writes:
        return []
    if answer.error is None and operation == "BatchExecuteStatement":
        return [_outcome(response.get("Error", {}).get("Code")) for response in answer.body["Responses"]]
    if answer.error is None and operation == "BatchWriteItem":
        left = writes_of(operation, {"RequestItems": answer.body.get("UnprocessedItems", {})}, tables)
        not_done = {identity(write.table, write.key) for write in left}
        return [
            Outcome.NOT_DONE if identity(write.table, write.key) in not_done else Outcome.DONE
            for write in writes
        ]
    return [_outcome(answer.error)] * len(writes)


def lookups_of(
    operation: str, request: Json, answer: Answer, tables: Mapping[str, Table]
) -> Iterator[Lookup]:
    """The items that a successful call read by their keys, those that it did not find included."""
    if answer.error is not None:
        return
    match operation:
        case "GetItem":
            yield _lookup(request, request["TableName"], answer.body)
        case "BatchGetItem":
            yield from _batch_lookups(request, answer.body, tables)
        case "TransactGetItems":
            for entry, response in zip(request["TransactItems"], answer.body["Responses"], strict=True):
                get = entry["Get"]
                yield _lookup({**get, "ConsistentRead": True}, get["TableName"], response, TRANSACTION)
        case "BatchExecuteStatement":
            parsed = zip(request["Statements"], _statements(operation, request), strict=True)
            for (declared, statement), response in zip(parsed, answer.body["Responses"], strict=True):
                if statement.verb == "SELECT" and "Error" not in response:
                    item = response.get("Item", {}) if statement.whole else None
                    key = statement.key(tables[statement.table].key)
                    yield Lookup(statement.table, key, item, declared.get("ConsistentRead", False))
        case _:
            return


def range_of(operation: str, request: Json, answer: Answer) -> Range | None:
    """What a successful Query or Scan read; None for other calls."""
    if operation not in {"Query", "Scan"} or answer.error is not None:
        return None
    narrowed = any(name in request for name in _NARROWING)
    return Range(
        None if narrowed else answer.body["Items"],
        request.get("ConsistentRead", False),
        _whole(request),
    )


def _statements(operation: str, request: Json) -> list[Statement]:
    if operation == "BatchExecuteStatement":
        return [Statement.parse(statement) for statement in request["Statements"]]
    statement = Statement.parse(request)
    if statement.verb == "SELECT":
        raise MeterError("ExecuteStatement with SELECT is not metered; GetItem, Query and Scan are")
    return [statement]


def _write(action: Json, table: str, tables: Mapping[str, Table], factor: int = 1) -> Write:
    item: Item = action.get("Item", {})
    return Write(table, tables[table].key_of(item) if item else action["Key"], item, factor)


def _outcome(error: str | None) -> Outcome:
    if error is None:
        return Outcome.DONE
    return Outcome.REFUSED if error in _REFUSALS else Outcome.NOT_DONE


def _lookup(get: Json, table: str, response: Json, factor: int = 1) -> Lookup:
    item = None if _is_projected(get) else response.get("Item", {})
    return Lookup(table, get["Key"], item, get.get("ConsistentRead", False), factor)


def _batch_lookups(request: Json, body: Json, tables: Mapping[str, Table]) -> Iterator[Lookup]:
    for name, get in request["RequestItems"].items():
        left = {identity(name, key) for key in body.get("UnprocessedKeys", {}).get(name, {}).get("Keys", [])}
        projected = _is_projected(get)
        items: list[Item] = [] if projected else body["Responses"].get(name, [])
        found = {identity(name, tables[name].key_of(item)): item for item in items}
        for key in get["Keys"]:
            wanted = identity(name, key)
            if wanted not in left:
                item = None if projected else found.get(wanted, {})
                yield Lookup(name, key, item, get.get("ConsistentRead", False))


def _is_projected(get: Json) -> bool:
    return "ProjectionExpression" in get or "AttributesToGet" in get


def _whole(request: Json) -> Json:
    """The same Query or Scan without what narrows its answer; DynamoDB refuses placeholders that nothing uses."""
    whole = {name: value for name, value in request.items() if name not in _NARROWING}
    used = set(re.findall(r"[#:]\w+", whole.get("KeyConditionExpression", "")))
    for name in ("ExpressionAttributeNames", "ExpressionAttributeValues"):
        kept = {
            placeholder: value for placeholder, value in whole.pop(name, {}).items() if placeholder in used
        }
        if kept:
            whole[name] = kept
    return whole
