"""The monitor, through its one handler: with a batch of its queue, and with the call of a schedule."""

import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from tasklib import clock
from tasklib.queue import DeadLetter, Delivery
from tasklib.task import Status, Task

from .conftest import Stack, event_of, lambda_context

Load = Callable[[str], ModuleType]

#: What EventBridge sends, as far as anything here could look at it.
SCHEDULED: dict[str, Any] = {
    "source": "aws.events",
    "detail-type": "Scheduled Event",
    "resources": [],
    "detail": {},
}


def letter_of(task: Task, **fields: Any) -> str:
    values: dict[str, Any] = {
        "task_id": task.task_id,
        "run": task.run,
        "reason": "bad",
        "correlation_id": "c",
    }
    return DeadLetter(**values | fields).body()


def examine(stack: Stack, load: Load, *letters: str) -> tuple[list[str], list[Delivery]]:
    """Delivers the letters as the queue does; returns what the monitor keeps, and the deliveries."""
    for letter in letters:
        stack.sqs.send_message(QueueUrl=stack.dead_letter_queue_url, MessageBody=letter)
    deliveries = stack.receive(stack.dead_letter_queue_url)
    answer = load("monitor_dlq").handler(event_of(deliveries), lambda_context())
    kept = answer["batchItemFailures"]
    return [failure["itemIdentifier"] for failure in kept], deliveries


def dead_letter_lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    lines = [vars(record) for record in caplog.records]
    return [line for line in lines if line.get("eventType") == "DLQ_MESSAGE"]


@pytest.mark.batch_statements
def test_a_failed_task_is_logged_and_marked(
    stack: Stack, load: Load, caplog: pytest.LogCaptureFixture
) -> None:
    task = stack.submit("t", status=Status.FAILED, attempts=3, error_message="RuntimeError: bad")
    kept, _ = examine(stack, load, letter_of(task))
    assert kept == []
    assert (stack.record("t").dead_lettered_at or 0) > 0
    (line,) = dead_letter_lines(caplog)
    expected = {
        "levelname": "ERROR",
        "taskId": "t",
        "type": "echo",
        "attempts": 3,
        "retryCount": 2,
        "errorMessage": "RuntimeError: bad",
        "correlationId": "c",
    }
    assert expected.items() <= line.items()


@pytest.mark.parametrize(
    "letter", ["no JSON", '["a"]', '{"reason": "not a task message"}', '{"taskId": "nobody", "run": 1}']
)
def test_a_letter_of_no_task_is_logged_and_makes_no_record(
    stack: Stack, load: Load, caplog: pytest.LogCaptureFixture, letter: str
) -> None:
    assert examine(stack, load, letter)[0] == []
    assert len(dead_letter_lines(caplog)) == 1
    assert stack.items() == []


def test_a_letter_that_cannot_be_written_as_it_is_is_logged_all_the_same(
    stack: Stack, load: Load, caplog: pytest.LogCaptureFixture
) -> None:
    assert examine(stack, load, '{"reason": "half \\ud800", "correlationId": "\\udfff"}')[0] == []
    (line,) = dead_letter_lines(caplog)
    assert (line["errorMessage"], line["correlationId"]) == ("half ?", "?")


@pytest.mark.batch_statements
@pytest.mark.parametrize(
    "fields",
    [
        {"status": Status.PENDING},
        {"status": Status.RETRYING, "attempts": 1},
        {"status": Status.PROCESSING, "lease_until": 1},
    ],
)
def test_a_message_that_the_queue_gave_up_fails_its_task(
    stack: Stack, load: Load, caplog: pytest.LogCaptureFixture, fields: dict[str, Any]
) -> None:
    stack.submit("t", **fields)
    body = json.dumps({"taskId": "t", "run": 1, "type": "echo", "correlationId": "c"})
    assert examine(stack, load, body)[0] == []
    record = stack.record("t")
    assert record.status is Status.FAILED
    assert record.dead_lettered_at
    assert len(dead_letter_lines(caplog)) == 1


@pytest.mark.parametrize(
    ("fields", "run"),
    [
        ({"status": Status.PENDING, "run": 2}, 1),
        ({"status": Status.COMPLETED}, 1),
        ({"status": Status.FAILED, "dead_lettered_at": 5}, 1),
    ],
)
def test_a_letter_that_says_nothing_new_is_deleted_unmarked(
    stack: Stack, load: Load, caplog: pytest.LogCaptureFixture, fields: dict[str, Any], run: int
) -> None:
    task = stack.submit("t", **fields)
    assert examine(stack, load, letter_of(task, run=run))[0] == []
    assert stack.record("t").version == task.version
    assert dead_letter_lines(caplog) == []


def test_a_letter_of_a_task_that_may_still_run_waits_for_its_lease(stack: Stack, load: Load) -> None:
    task = stack.submit("t", status=Status.PROCESSING, attempts=1, lease_until=clock.now() + 800)
    kept, deliveries = examine(stack, load, letter_of(task))
    assert kept == [deliveries[0].message_id]
    assert stack.record("t").version == task.version
    assert len(stack.wait_for_messages(stack.dead_letter_queue_url)) == 1


@pytest.mark.batch_statements
def test_the_schedule_drains_the_queue(stack: Stack, load: Load, caplog: pytest.LogCaptureFixture) -> None:
    for n in range(25):
        task = stack.submit(f"t{n}", status=Status.FAILED, attempts=3, error_message="bad")
        stack.sqs.send_message(QueueUrl=stack.dead_letter_queue_url, MessageBody=letter_of(task))
    load("monitor_dlq").handler(SCHEDULED, lambda_context(60_000))
    assert len(dead_letter_lines(caplog)) == 25
    attributes = stack.sqs.get_queue_attributes(QueueUrl=stack.dead_letter_queue_url, AttributeNames=["All"])
    assert attributes["Attributes"]["ApproximateNumberOfMessages"] == "0"
    assert attributes["Attributes"]["ApproximateNumberOfMessagesNotVisible"] == "0"


def test_the_schedule_stops_before_its_time_is_over(stack: Stack, load: Load) -> None:
    stack.sqs.send_message(QueueUrl=stack.dead_letter_queue_url, MessageBody="x")
    load("monitor_dlq").handler(SCHEDULED, lambda_context(10_000))
    assert len(stack.receive(stack.dead_letter_queue_url)) == 1


def test_without_an_answer_from_aws_the_letter_stays(
    stack: Stack, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKS_TABLE", "not-there")
    kept, deliveries = examine(stack, load, '{"taskId": "t", "run": 1}')
    assert kept == [deliveries[0].message_id]


@pytest.mark.batch_statements
def test_a_batch_that_arrives_while_the_trigger_is_switched_is_answered_for_each_letter(
    stack: Stack, load: Load, caplog: pytest.LogCaptureFixture
) -> None:
    """Lambda deletes every message of a batch that is answered with nothing."""
    module = load("monitor_dlq")
    module.handler(SCHEDULED, lambda_context(60_000))
    reported = stack.submit("reported", status=Status.FAILED, attempts=3, error_message="bad")
    deferred = stack.submit("deferred", status=Status.PROCESSING, lease_until=clock.now() + 60_000)
    for task in (reported, deferred):
        stack.sqs.send_message(QueueUrl=stack.dead_letter_queue_url, MessageBody=letter_of(task))
    deliveries = stack.receive(stack.dead_letter_queue_url)
    answer = module.handler(event_of(deliveries), lambda_context())
    [kept] = [each.message_id for each in deliveries if DeadLetter.parse(each.body).task_id == "deferred"]
    assert answer == {"batchItemFailures": [{"itemIdentifier": kept}]}
    assert [line["taskId"] for line in dead_letter_lines(caplog)] == ["reported"]


def test_a_schedule_that_calls_while_the_trigger_is_switched_drains_the_queue(
    stack: Stack, load: Load, caplog: pytest.LogCaptureFixture
) -> None:
    module = load("monitor_dlq")
    assert module.handler(event_of([]), lambda_context()) == {"batchItemFailures": []}
    task = stack.submit("t", status=Status.FAILED, attempts=3, error_message="bad")
    stack.sqs.send_message(QueueUrl=stack.dead_letter_queue_url, MessageBody=letter_of(task))
    assert module.handler(SCHEDULED, lambda_context(60_000)) is None
    assert [line["taskId"] for line in dead_letter_lines(caplog)] == ["t"]
    assert stack.receive(stack.dead_letter_queue_url) == []
