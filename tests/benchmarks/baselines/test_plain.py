"""The plain baseline does what it is compared for: put, send; update, update."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

FUNCTIONS = Path(__file__).resolve().parents[3] / "benchmarks" / "plain" / "functions"

Handler = Callable[[Mapping[str, Any], object], dict[str, Any]]


def load(name: str) -> Handler:
    """The handler of a module, loaded anew as in a fresh Lambda process."""
    spec = importlib.util.spec_from_file_location(f"plain_{name}", FUNCTIONS / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.handler


def request(body: object) -> Mapping[str, Any]:
    return {"body": json.dumps(body)}


class Stack:
    """The baseline's table and queue."""

    def __init__(self) -> None:
        self.dynamodb: DynamoDBClient = boto3.client("dynamodb")
        self.sqs: SQSClient = boto3.client("sqs")
        self.dynamodb.create_table(
            TableName="plain-tasks",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "taskId", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "taskId", "KeyType": "HASH"}],
        )
        self.queue_url = self.sqs.create_queue(QueueName="plain-tasks")["QueueUrl"]

    def task(self, task_id: str) -> Mapping[str, Any]:
        """The record's attributes, which are all strings."""
        item = self.dynamodb.get_item(TableName="plain-tasks", Key={"taskId": {"S": task_id}}).get("Item")
        assert item
        return {name: value.get("S") for name, value in item.items()}

    def records(self) -> list[dict[str, Any]]:
        """What the queue holds, as the records of an event."""
        messages = self.sqs.receive_message(QueueUrl=self.queue_url, MaxNumberOfMessages=10)
        return [
            {"messageId": message.get("MessageId"), "body": message.get("Body")}
            for message in messages.get("Messages", [])
        ]


@pytest.fixture
def stack(aws: None, monkeypatch: pytest.MonkeyPatch) -> Stack:
    stack = Stack()
    monkeypatch.setenv("TASKS_TABLE", "plain-tasks")
    monkeypatch.setenv("TASK_QUEUE_URL", stack.queue_url)
    return stack


def test_a_submission_is_stored_then_queued(stack: Stack) -> None:
    answer = load("submit")(request({"taskId": "one", "payload": {"share": 0.5}}), None)

    assert answer["statusCode"] == 202
    assert json.loads(answer["body"])["taskId"] == "one"
    task = stack.task("one")
    assert (task["status"], json.loads(task["payload"])) == ("PENDING", {"share": 0.5})
    (record,) = stack.records()
    assert json.loads(record["body"]) == {"taskId": "one", "payload": {"share": 0.5}}


def test_a_task_without_an_id_gets_one(stack: Stack) -> None:
    answer = load("submit")(request({"payload": {}}), None)

    assert stack.task(json.loads(answer["body"])["taskId"])["status"] == "PENDING"


@pytest.mark.parametrize("body", ["{", "[]", "{}"])
def test_what_is_no_task_is_refused(stack: Stack, body: str) -> None:
    assert load("submit")({"body": body}, None)["statusCode"] == 400
    assert not stack.records()


def test_the_worker_completes_a_batch_and_keeps_what_failed(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    submit = load("submit")
    for task_id in ("one", "two"):
        submit(request({"taskId": task_id, "payload": {}}), None)
    bad = {"messageId": "bad", "body": "no task"}
    first, second = stack.records()
    capsys.readouterr()

    answer = load("work")({"Records": [first, bad, second]}, None)

    assert answer == {"batchItemFailures": [{"itemIdentifier": "bad"}]}
    for task_id in ("one", "two"):
        task = stack.task(task_id)
        assert task["status"] == "COMPLETED"
        assert task["updatedAt"] >= task["createdAt"]
    # A function that prints nothing waits 50 ms for its log in the emulator, which would be unfair.
    assert capsys.readouterr().out.count("task completed") == 2


@pytest.mark.parametrize(("fields", "lines"), [({}, 0), ({"print": True}, 1)])
def test_the_empty_function_only_answers_unless_told_to_print(
    fields: dict[str, bool], lines: int, capsys: pytest.CaptureFixture[str]
) -> None:
    body: dict[str, Any] = {"taskId": "one", "payload": {}, **fields}
    answer = load("empty")(request(body), None)

    assert (answer["statusCode"], answer["body"]) == (202, '{"taskId": "one"}')
    assert len(capsys.readouterr().out.splitlines()) == lines
