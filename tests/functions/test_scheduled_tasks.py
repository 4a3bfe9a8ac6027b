"""Tasks that start later, and tasks that are cancelled before they start."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import pytest
from tasklib import clock
from tasklib.clock import Deadline
from tasklib.task import QUEUED_AHEAD, Status, Task
from tasklib.worker import Worker

from .conftest import Stack, a_task, lambda_context
from .wire import Wire

Call = Callable[..., tuple[int, dict[str, Any]]]
NOW = 1_800_000_000_000
MINUTE = 60_000


def caller(module: ModuleType, route: str) -> Call:
    method, path = route.split()

    def call(body: object = None, **parameters: str) -> tuple[int, dict[str, Any]]:
        event = {
            "routeKey": route,
            "rawPath": path,
            "requestContext": {"http": {"method": method}, "requestId": "r"},
            "pathParameters": parameters,
            "body": json.dumps(body),
        }
        answer = module.handler(event, lambda_context())
        return answer["statusCode"], json.loads(answer["body"])

    return call


@pytest.fixture
def post(stack: Stack, load: Callable[[str], ModuleType]) -> Call:
    return caller(load("submit_tasks"), "POST /tasks")


@pytest.fixture
def post_batch(stack: Stack, load: Callable[[str], ModuleType]) -> Call:
    return caller(load("submit_tasks"), "POST /tasks/batch")


@pytest.fixture
def cancel(stack: Stack, load: Callable[[str], ModuleType]) -> Call:
    return caller(load("cancel_tasks"), "DELETE /tasks/{taskId}")


@pytest.fixture
def sweep(stack: Stack, load: Callable[[str], ModuleType]) -> Callable[[], int]:
    module = load("sweep_tasks")
    return lambda: module.handler({}, lambda_context(60_000))["sent"]


@pytest.fixture
def travel(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Lets the functions believe that it is later than it is."""
    real = clock.now

    def travel(by: timedelta) -> None:
        monkeypatch.setattr(clock, "now", lambda: real() + by // timedelta(milliseconds=1))

    return travel


def iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def delays(wire: Wire) -> list[int]:
    """For how long each message that was sent is kept back, in seconds."""
    single = [body["DelaySeconds"] for body in wire.bodies("SendMessage")]
    return single + [
        entry["DelaySeconds"] for body in wire.bodies("SendMessageBatch") for entry in body["Entries"]
    ]


# What is asked for


def test_a_delay_or_a_time_is_shown_and_kept(stack: Stack, post: Call) -> None:
    run_at = datetime.now(UTC) + timedelta(hours=3)
    status, task = post({"taskId": "t", "answer": "x", "runAt": iso(run_at)})
    assert (status, task["status"], task["runAt"]) == (202, "PENDING", iso(run_at))
    before = clock.now()
    status, task = post({"taskId": "d", "answer": "x", "delaySeconds": 0.5})
    after = clock.now()
    record = stack.record("d")
    assert record.run_at is not None
    assert before + 500 <= record.run_at <= after + 500
    assert task["runAt"] == clock.to_iso(record.run_at)


def test_the_same_again_is_the_same_task_whenever_it_is_to_run(stack: Stack, post: Call) -> None:
    _, first = post({"taskId": "t", "answer": "x", "delaySeconds": 100})
    status, second = post({"taskId": "t", "answer": "x", "delaySeconds": 200})
    assert status == 200
    assert second["runAt"] == first["runAt"]


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"delaySeconds": -1}, "delaySeconds", "is -1; it must be a number from 0 to 31622400"),
        ({"delaySeconds": 31_622_401}, "delaySeconds", "is 31622401; it must be a number from 0 to"),
        ({"delaySeconds": True}, "delaySeconds", "is true; it must be a number"),
        ({"delaySeconds": "60"}, "delaySeconds", "is '60'; it must be a number"),
        ({"delaySeconds": None}, "delaySeconds", "is null; it must be a number"),
        ({"delaySeconds": 10**400}, "delaySeconds", "is 1000"),
        ({"runAt": "tomorrow"}, "runAt", "is 'tomorrow'; it must be a time with its offset"),
        ({"runAt": "2026-12-24T18:00:00"}, "runAt", "is '2026-12-24T18:00:00'; it must be a time with its"),
        ({"runAt": "2026-02-30T18:00:00Z"}, "runAt", "is '2026-02-30T18:00:00Z'; it must be a time"),
        ({"runAt": "9999-12-31T00:00:00Z"}, "runAt", "is '9999-12-31T00:00:00Z'; it must be within a year"),
        ({"runAt": 1_800_000_000}, "runAt", "is 1800000000; it must be a time with its offset"),
        (
            {"runAt": "2026-12-24T18:00:00Z", "delaySeconds": 1},
            "runAt",
            "came with delaySeconds; send either",
        ),
    ],
)
def test_what_is_no_time_is_refused(
    stack: Stack, post: Call, fields: dict[str, Any], field: str, message: str
) -> None:
    status, problem = post({"answer": "x"} | fields)
    assert status == 400
    (error,) = problem["errors"]
    assert error["field"] == field
    assert error["message"].startswith(message)
    assert stack.items() == []


def test_a_year_is_a_year_also_across_a_leap_day(
    stack: Stack, post: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime(2027, 3, 1, tzinfo=UTC)
    monkeypatch.setattr(clock, "now", lambda: int(now.timestamp() * 1000))
    assert post({"answer": "x", "runAt": "2028-03-01T00:00:00Z"})[0] == 202
    assert post({"answer": "x", "runAt": "2028-03-01T00:00:01Z"})[0] == 400


@pytest.mark.parametrize(
    "text", ["2027-01-15T09:00:00+01:00", "2027-01-15t08:00z", "2027-01-15 08:00:00.0009Z"]
)
def test_a_time_may_be_written_as_the_standard_has_it(
    stack: Stack, post: Call, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW - 1)
    assert post({"answer": "x", "runAt": text})[1]["runAt"] == clock.to_iso(NOW)


# When its message is sent


@pytest.mark.parametrize(
    ("due_in", "messages"),
    [
        (timedelta(seconds=-5), [0]),
        (timedelta(seconds=20), [20]),
        (timedelta(minutes=15), [900]),
        (timedelta(minutes=15, seconds=2), []),
        (timedelta(days=364), []),
    ],
)
def test_a_message_is_sent_at_once_if_the_queue_can_keep_it_back(
    post: Call, post_batch: Call, wire: Wire, due_in: timedelta, messages: list[int]
) -> None:
    run_at = iso(datetime.now(UTC) + due_in)
    assert post({"answer": "x", "runAt": run_at})[0] == 202
    assert delays(wire) == messages
    post_batch({"tasks": [{"answer": "x", "runAt": run_at}, {"answer": "y", "runAt": run_at}]})
    assert delays(wire) == messages * 3


@pytest.mark.batch_statements
def test_the_sweep_sends_what_is_due_later_a_quarter_of_an_hour_before_and_once(
    stack: Stack,
    post: Call,
    wire: Wire,
    sweep: Callable[[], int],
    travel: Callable[[timedelta], None],
) -> None:
    post({"taskId": "t", "answer": "x", "delaySeconds": 3600})
    for minutes in (5, 44):
        travel(timedelta(minutes=minutes))
        assert sweep() == 0
    travel(timedelta(minutes=48))
    assert sweep() == 1
    (delay,) = delays(wire)
    assert 11 * 60 <= delay <= 12 * 60
    for minutes in (49, 55, 61):
        travel(timedelta(minutes=minutes))
        assert sweep() == 0
    # Nobody has claimed it: its message may be lost.
    travel(timedelta(minutes=63))
    assert sweep() == 1
    assert delays(wire)[1:] == [0]


@pytest.mark.batch_statements
def test_a_worker_claims_it_when_it_is_due_and_not_before(
    stack: Stack, worker: Worker, post: Call, travel: Callable[[timedelta], None], wire: Wire
) -> None:
    post({"taskId": "t", "type": "simulate", "payload": {"seconds": 0}, "delaySeconds": 600})
    stack.store.change(stack.record("t"), retyped := typed(stack.record("t"), "echo"))
    worker.work_off(stack.deliver(retyped), Deadline(30_000))
    assert stack.record("t").status is Status.PENDING
    assert 598 <= wire.delays()[0] <= 600
    travel(timedelta(seconds=601))
    worker.work_off(stack.deliver(stack.record("t")), Deadline(30_000))
    done = stack.record("t")
    assert (done.status, done.attempts) == (Status.COMPLETED, 1)
    assert (done.unsent_shard, done.unsent_key, done.not_before) == (None, None, None)
    assert done.run_at is not None


def typed(task: Task, task_type: str) -> Task:
    """The task as one of a type that the tests' worker knows."""
    return a_task(
        task.task_id,
        task_type,
        version=task.version + 1,
        created_key=task.created_key,
        run_at=task.run_at,
        not_before=task.not_before,
        unsent_shard=task.unsent_shard,
        unsent_key=task.unsent_key,
    )


def test_its_data_outlives_a_late_start(
    stack: Stack, load: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASK_RETENTION_DAYS", "7")
    post = caller(load("submit_tasks"), "POST /tasks")
    post({"taskId": "t", "answer": "x" * 2000, "delaySeconds": 300 * 86_400})
    (data,) = [item for item in stack.items() if item["part"]["S"] != "state"]
    days = int(data["expiresAt"]["N"]) / 86_400 - clock.now() / clock.DAY
    assert 300 + 14 + 7 < days < 300 + 14 + 7 + 4


def test_put_off_lists_a_task_until_its_claim() -> None:
    task = a_task("t", "echo")
    soon, late = task.put_off(NOW + MINUTE, NOW), task.put_off(NOW + QUEUED_AHEAD + 1, NOW)
    assert soon.is_queued(NOW)
    assert not late.is_queued(NOW)
    assert soon.unsent_key == f"{clock.to_iso(NOW + MINUTE)}#t"
    assert late.unsent_key == f"{clock.to_iso(NOW + 1)}#t"
    for put_off in (soon, late):
        claimed = put_off.claimed("c", lease_until=NOW, now=NOW)
        assert (claimed.not_before, claimed.unsent_shard, claimed.unsent_key) == (None, None, None)
    past = task.put_off(NOW - 1, NOW)
    assert (past.run_at, past.not_before, past.unsent_key) == (NOW - 1, None, None)


# Cancelling


@pytest.mark.batch_statements
@pytest.mark.parametrize("status", [Status.PENDING, Status.RETRYING])
def test_a_task_that_waits_is_cancelled_and_never_runs(
    stack: Stack, worker: Worker, cancel: Call, status: Status
) -> None:
    task = stack.submit("t", status=status, not_before=clock.now() + 1)
    answer, shown = cancel(taskId="t")
    assert (answer, shown["status"], shown["version"]) == (200, "CANCELLED", task.version + 1)
    assert cancel(taskId="t") == (answer, shown)
    assert worker.work_off(stack.deliver(task), Deadline(30_000)) == []
    record = stack.record("t")
    assert (record.status, record.version) == (Status.CANCELLED, task.version + 1)


@pytest.mark.batch_statements
def test_a_scheduled_task_that_is_cancelled_leaves_the_list_of_the_sweep(
    stack: Stack,
    post: Call,
    cancel: Call,
    sweep: Callable[[], int],
    travel: Callable[[timedelta], None],
) -> None:
    post({"taskId": "t", "answer": "x", "delaySeconds": 3600})
    assert cancel(taskId="t")[0] == 200
    assert {"unsentShard", "unsentKey", "notBefore"}.isdisjoint(stack.items()[0])
    travel(timedelta(hours=2))
    assert sweep() == 0


@pytest.mark.parametrize("status", [Status.PROCESSING, Status.COMPLETED, Status.FAILED])
def test_a_task_that_has_started_is_not_cancelled(stack: Stack, cancel: Call, status: Status) -> None:
    task = stack.submit("t", status=status, attempts=1, lease_until=clock.now() + 60_000)
    answer, problem = cancel(taskId="t")
    assert answer == 409
    assert problem["detail"] == f"Task t is {status}; only one that no worker has can be cancelled."
    assert (stack.record("t").status, stack.record("t").version) == (status, task.version)


def test_there_is_nothing_to_cancel(cancel: Call) -> None:
    assert cancel(taskId="nobody")[0] == 404


@pytest.mark.batch_statements
def test_a_worker_that_claims_it_meanwhile_has_it(stack: Stack, cancel: Call, wire: Wire) -> None:
    task = stack.submit("t")

    def claim() -> None:
        assert stack.store.change(task, task.claimed("c", lease_until=clock.now() + 60_000, now=clock.now()))

    wire.meanwhile("GetItem", '"t"', claim)
    assert cancel(taskId="t")[0] == 409
    assert stack.record("t").status is Status.PROCESSING


@pytest.mark.batch_statements
def test_a_cancellation_whose_answer_was_lost_is_no_other(stack: Stack, cancel: Call, wire: Wire) -> None:
    stack.submit("t")
    wire.lose("BatchExecuteStatement", times=1)
    answer, shown = cancel(taskId="t")
    assert (answer, shown["version"]) == (200, 2)


@pytest.mark.batch_statements
def test_cancelled_tasks_are_kept_as_long_as_finished_ones(
    stack: Stack, load: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASK_RETENTION_DAYS", "7")
    stack.submit("t")
    caller(load("cancel_tasks"), "DELETE /tasks/{taskId}")(taskId="t")
    assert stack.record("t").expires_at == (stack.record("t").updated_at + 7 * clock.DAY) // 1000
