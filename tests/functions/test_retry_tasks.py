"""`POST /tasks/{taskId}/retry`, and the history that a record keeps over its runs."""

import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from tasklib import aws, clock
from tasklib.clock import Deadline
from tasklib.queue import Delivery, TaskMessage
from tasklib.store import TaskStore
from tasklib.task import Status
from tasklib.worker import Worker

from .conftest import Stack, lambda_context
from .wire import Wire

Retry = Callable[[str], tuple[int, dict[str, Any]]]


def make_retry(module: ModuleType) -> Retry:
    def retry(task_id: str) -> tuple[int, dict[str, Any]]:
        answer = module.handler(
            {
                "routeKey": "POST /tasks/{taskId}/retry",
                "rawPath": f"/tasks/{task_id}/retry",
                "requestContext": {"http": {"method": "POST"}, "requestId": "r"},
                "pathParameters": {"taskId": task_id},
            },
            lambda_context(),
        )
        return answer["statusCode"], json.loads(answer["body"])

    return retry


@pytest.fixture
def retry(stack: Stack, load: Callable[[str], ModuleType]) -> Retry:
    return make_retry(load("retry_tasks"))


@pytest.mark.batch_statements
def test_a_failed_task_starts_a_new_run(
    stack: Stack, worker: Worker, deadline: Deadline, retry: Retry
) -> None:
    worker.work_off(stack.deliver(stack.submit("t", "failing", attempts=2)), deadline)
    failed = stack.record("t")
    before = failed.dead_lettered(clock.now())
    assert stack.store.change(failed, before)
    status, task = retry("t")
    assert status == 202
    assert (task["status"], task["run"], task["attempts"]) == ("PENDING", 2, 0)
    assert "errorMessage" not in task
    record = stack.record("t")
    assert record.version == before.version + 1
    leftovers = (record.dead_lettered_at, record.not_before, record.claim_id, record.lease_until)
    assert leftovers == (None, None, None, None)
    (delivery,) = stack.receive(stack.task_queue_url)
    assert json.loads(delivery.body)["run"] == 2


@pytest.mark.batch_statements
def test_the_new_run_leaves_the_list_of_failed_and_of_unsent_tasks(
    stack: Stack, worker: Worker, deadline: Deadline, retry: Retry
) -> None:
    worker.work_off(stack.deliver(stack.submit("t", "failing", attempts=2)), deadline)
    retry("t")
    keys = stack.items("state")[0].keys()
    assert "failedShard" not in keys
    assert "unsentShard" in keys
    worker.work_off(stack.receive(stack.task_queue_url), Deadline(30_000))
    assert {"unsentShard", "unsentKey"}.isdisjoint(stack.items("state")[0])


def test_a_message_of_the_old_run_changes_nothing(
    stack: Stack, worker: Worker, deadline: Deadline, retry: Retry
) -> None:
    task = stack.submit("t", status=Status.FAILED, attempts=3)
    retry("t")
    stack.receive(stack.task_queue_url)
    before = stack.record("t")
    assert worker.work_off(stack.deliver(task), deadline) == []
    assert stack.record("t") == before


@pytest.mark.batch_statements
def test_a_retry_whose_message_was_lost_can_be_repeated(stack: Stack, retry: Retry) -> None:
    stack.submit("t", status=Status.FAILED, attempts=3)
    assert retry("t")[0] == 202
    stack.sqs.purge_queue(QueueUrl=stack.task_queue_url)
    status, task = retry("t")
    assert (status, task["run"]) == (202, 2)
    assert len(stack.receive(stack.task_queue_url)) == 1


@pytest.mark.batch_statements
def test_a_retry_while_the_monitor_marks_the_task_starts_a_new_run(
    stack: Stack, wire: Wire, retry: Retry
) -> None:
    failed = stack.submit("t", status=Status.FAILED, attempts=3)
    marks: list[bool] = []
    marked = failed.dead_lettered(clock.now())
    wire.meanwhile("GetItem", '"t"', lambda: marks.append(stack.store.change(failed, marked)))
    status, task = retry("t")
    assert (marks, status, task["run"]) == ([True], 202, 2)
    assert (stack.record("t").run, stack.record("t").dead_lettered_at) == (2, None)


@pytest.mark.batch_statements
@pytest.mark.parametrize(("attempts", "expected"), [(0, 202), (1, 409)])
def test_a_retry_while_another_one_restarts_the_task_makes_one_run(
    stack: Stack, wire: Wire, retry: Retry, attempts: int, expected: int
) -> None:
    failed = stack.submit("t", status=Status.FAILED, attempts=3)

    def act() -> None:
        restarted = failed.restarted(clock.now())
        assert stack.store.change(failed, restarted)
        if attempts:
            now = clock.now()
            assert stack.store.change(restarted, restarted.claimed("c", lease_until=now + 9_000, now=now))

    wire.meanwhile("GetItem", '"t"', act)
    assert retry("t")[0] == expected
    assert (stack.record("t").run, stack.record("t").attempts) == (2, attempts)


@pytest.mark.parametrize(
    "fields",
    [
        {"status": Status.PENDING},
        {"status": Status.PENDING, "run": 2, "attempts": 1},
        {"status": Status.RETRYING, "run": 2, "attempts": 1},
        {"status": Status.PROCESSING, "run": 2, "attempts": 1},
        {"status": Status.COMPLETED, "run": 2, "attempts": 1},
    ],
)
def test_a_task_that_has_not_failed_is_a_conflict(stack: Stack, retry: Retry, fields: dict[str, Any]) -> None:
    stack.submit("t", **fields)
    before = stack.record("t")
    status, problem = retry("t")
    assert status == 409
    assert before.status in problem["detail"]
    assert stack.record("t") == before
    assert stack.receive(stack.task_queue_url) == []


def test_what_is_not_there_cannot_be_retried(stack: Stack, retry: Retry) -> None:
    stack.submit("expired", status=Status.FAILED, expires_at=clock.now() // 1000 - 1)
    assert retry("nobody")[0] == 404
    assert retry("expired")[0] == 404
    assert retry("not an id")[0] == 400


@pytest.mark.batch_statements
def test_data_lives_on_with_the_new_run(
    stack: Stack, load: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASK_RETENTION_DAYS", "7")
    retry = make_retry(load("retry_tasks"))
    stack.store = TaskStore(aws.dynamodb(), stack.table, retention=7 * clock.DAY)
    task = stack.submit("t", payload=json.dumps({"long": "x" * 2000}), status=Status.FAILED)
    key = {"taskId": {"S": "t"}, "part": {"S": f"data#{task.content_hash}"}}

    def expires_in_days() -> float:
        item = stack.dynamodb.get_item(TableName=stack.table, Key=key).get("Item", {})
        return (int(item.get("expiresAt", {}).get("N", 0)) - clock.now() / 1000) / 86_400

    assert 7 < expires_in_days() < 8.1
    assert retry("t")[0] == 202
    assert 23.9 < expires_in_days() <= 24
    stack.dynamodb.delete_item(TableName=stack.table, Key=key)
    stack.submit("u", payload=json.dumps({"long": "x" * 2000}), status=Status.FAILED)
    stack.dynamodb.delete_item(TableName=stack.table, Key=key | {"taskId": {"S": "u"}})
    status, problem = retry("u")
    assert status == 409
    assert problem["detail"] == "The data of task u is gone; submit it again under another ID."
    assert stack.record("u").status is Status.FAILED


@pytest.mark.batch_statements
def test_the_record_remembers_its_last_five_attempts(stack: Stack, worker: Worker, retry: Retry) -> None:
    stack.submit("t", "stubborn")
    for _ in range(3):
        for _ in range(2):
            record = stack.record("t")
            if record.not_before:  # the wait is over
                stack.dynamodb.update_item(
                    TableName=stack.table,
                    Key={"taskId": {"S": "t"}, "part": {"S": "state"}},
                    UpdateExpression="REMOVE notBefore",
                )
            message = Delivery("message", "receipt", TaskMessage.of(record).body(), receives=1)
            worker.work_off([message], Deadline(30_000))
        retry("t")
    history = json.loads(stack.record("t").history or "")
    assert [(attempt["run"], attempt["attempt"]) for attempt in history] == [
        (1, 2),
        (2, 1),
        (2, 2),
        (3, 1),
        (3, 2),
    ]
    assert {attempt["errorMessage"] for attempt in history} == {"RuntimeError: as ever"}
    assert all(attempt["durationMs"] >= 0 and attempt["startedAt"] for attempt in history)


@pytest.mark.batch_statements
def test_the_history_tells_of_crashes_and_of_the_success_after(
    stack: Stack, worker: Worker, deadline: Deadline
) -> None:
    crashed = stack.submit("t", status=Status.PROCESSING, attempts=1, lease_until=1)
    worker.work_off(stack.deliver(crashed), deadline)
    first, second = json.loads(stack.record("t").history or "")
    assert (first["attempt"], first["errorMessage"]) == (1, "the worker died")
    assert "durationMs" not in first
    assert second["attempt"] == 2
    assert "errorMessage" not in second
