"""What a call did, where its answer does not say simply yes or no."""

from typing import Any

import pytest

from benchmarks.meter.dynamodb import Table
from benchmarks.meter.dynamodb_calls import Answer, Outcome, lookups_of, outcomes_of, range_of, writes_of
from benchmarks.meter.item_size import Item

TABLES = {"T": Table(("id",), ())}


def key(name: str) -> Item:
    return {"id": {"S": name}}


def put(name: str) -> dict[str, Any]:
    return {"PutRequest": {"Item": {**key(name), "more": {"S": "x"}}}}


def test_what_a_batch_left_unprocessed_was_not_written() -> None:
    request = {"RequestItems": {"T": [put("a"), {"DeleteRequest": {"Key": key("b")}}, put("c")]}}
    writes = writes_of("BatchWriteItem", request, TABLES)
    assert [write.key for write in writes] == [key("a"), key("b"), key("c")]
    left = Answer(200, {"UnprocessedItems": {"T": [{"DeleteRequest": {"Key": key("b")}}]}})
    assert outcomes_of("BatchWriteItem", left, writes, TABLES) == [
        Outcome.DONE,
        Outcome.NOT_DONE,
        Outcome.DONE,
    ]


def test_what_a_batch_left_unprocessed_was_not_read() -> None:
    keys = [key("a"), key("b"), key("c")]
    found = {**key("c"), "more": {"S": "x"}}
    body = {"Responses": {"T": [found]}, "UnprocessedKeys": {"T": {"Keys": [key("b")]}}}
    lookups = lookups_of("BatchGetItem", {"RequestItems": {"T": {"Keys": keys}}}, Answer(200, body), TABLES)
    assert [(lookup.key, lookup.item) for lookup in lookups] == [(key("a"), {}), (key("c"), found)]


def test_each_statement_of_a_batch_has_an_outcome_of_its_own() -> None:
    statement = {"Statement": "UPDATE T SET a = 1 WHERE id = ?", "Parameters": [{"S": "a"}]}
    writes = writes_of("BatchExecuteStatement", {"Statements": [statement] * 3}, TABLES)
    codes = ("ConditionalCheckFailed", "ProvisionedThroughputExceeded")
    responses: list[Any] = [{"TableName": "T"}, *({"Error": {"Code": code}} for code in codes)]
    outcomes = outcomes_of("BatchExecuteStatement", Answer(200, {"Responses": responses}), writes, TABLES)
    assert outcomes == [Outcome.DONE, Outcome.REFUSED, Outcome.NOT_DONE]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        ("com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException", Outcome.REFUSED),
        ("com.amazonaws.dynamodb.v20120810#TransactionCanceledException", Outcome.REFUSED),
        ("com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException", Outcome.NOT_DONE),
        ("com.amazon.coral.validate#ValidationException", Outcome.NOT_DONE),
        ("com.amazonaws.dynamodb.v20120810#InternalServerError", Outcome.NOT_DONE),
    ],
)
def test_only_a_refused_write_costs_what_it_did_not_do(error: str, outcome: Outcome) -> None:
    writes = writes_of("PutItem", {"TableName": "T", "Item": key("a")}, TABLES)
    assert outcomes_of("PutItem", Answer(400, {"__type": error}), writes, TABLES) == [outcome]


def test_a_read_that_failed_reads_nothing() -> None:
    throttled = Answer(400, {"__type": "x#ProvisionedThroughputExceededException"})
    assert not list(lookups_of("GetItem", {"TableName": "T", "Key": key("a")}, throttled, TABLES))
    assert range_of("Query", {"TableName": "T"}, throttled) is None


def test_a_narrowed_query_is_repeated_for_everything_that_it_reads() -> None:
    request = {
        "TableName": "T",
        "KeyConditionExpression": "#id = :id",
        "FilterExpression": "#color = :color",
        "ProjectionExpression": "#color",
        "Limit": 7,
        "ExpressionAttributeNames": {"#id": "id", "#color": "color"},
        "ExpressionAttributeValues": {":id": {"S": "a"}, ":color": {"S": "red"}},
    }
    found = range_of("Query", request, Answer(200, {"Items": []}))
    assert found is not None
    assert found.items is None
    assert found.whole == {
        "TableName": "T",
        "KeyConditionExpression": "#id = :id",
        "Limit": 7,
        "ExpressionAttributeNames": {"#id": "id"},
        "ExpressionAttributeValues": {":id": {"S": "a"}},
    }


def test_placeholders_that_nothing_uses_any_more_are_left_out() -> None:
    request = {
        "TableName": "T",
        "FilterExpression": "#color = :color",
        "ExpressionAttributeNames": {"#color": "color"},
        "ExpressionAttributeValues": {":color": {"S": "red"}},
    }
    found = range_of("Scan", request, Answer(200, {"Items": []}))
    assert found is not None
    assert found.whole == {"TableName": "T"}
