"""Tasks whose messages SQS has dropped: they end all the same, and those that wait get few copies."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from itertools import pairwise
from types import ModuleType
from typing import Any

import pytest
from tasklib import clock
from tasklib.clock import Deadline
from tasklib.task import Status, created_key
from tasklib.worker import Worker

from .conftest import Stack, lambda_context
from .wire import Wire

Load = Callable[[str], ModuleType]
Call = Callable[..., tuple[int, dict[str, Any]]]

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

#: After how long SQS drops a message of this stack.
RETENTION = 14 * DAY

NOTHING: Mapping[str, object] = {}

#: Data that is kept in an item of its own.
LARGE = {"text": "x" * 2000}


class Clock:
    """The functions' clock, which the test moves. SQS has its own: a test drops messages itself."""

    def __init__(self) -> None:
        self._real = clock.now
        self._ahead = timedelta(0)

    def now(self) -> int:
        return self._real() + self._ahead // timedelta(milliseconds=1)

    def move(self, by: timedelta) -> None:
        self._ahead += by


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    time = Clock()
    monkeypatch.setattr(clock, "now", time.now)
    return time


class Functions:
    """The functions that a task of this stack meets."""

    def __init__(self, stack: Stack, load: Load) -> None:
        self.stack = stack
        self._submit, self._retry, self._cancel, self._sweep = (
            load(f"{name}_tasks") for name in ("submit", "retry", "cancel", "sweep")
        )

    def submit(self, task_id: str = "t", payload: Mapping[str, object] = NOTHING, **fields: Any) -> int:
        body: dict[str, Any] = {"taskId": task_id, "type": "simulate", "payload": dict(payload)} | fields
        return self._call(self._submit, "POST /tasks", body=json.dumps(body))

    def retry(self, task_id: str = "t") -> int:
        return self._call(self._retry, "POST /tasks/{taskId}/retry", pathParameters={"taskId": task_id})

    def cancel(self, task_id: str = "t") -> int:
        return self._call(self._cancel, "DELETE /tasks/{taskId}", pathParameters={"taskId": task_id})

    def _call(self, module: ModuleType, route: str, **fields: Any) -> int:
        method, _, path = route.partition(" ")
        context = {"http": {"method": method}, "requestId": "r"}
        event = {"routeKey": route, "rawPath": path, "requestContext": context} | fields
        return module.handler(event, lambda_context())["statusCode"]

    def sweep(self) -> int:
        return self._sweep.handler({}, lambda_context(60_000))["sent"]

    def drop_messages(self) -> None:
        """SQS drops what it has. (It purges a queue once a minute at most.)"""
        while deliveries := self.stack.receive(self.stack.task_queue_url):
            for delivery in deliveries:
                self.stack.task_queue.delete(delivery)

    def set(self, task_id: str, **fields: Any) -> None:
        """Bring a task into another state, as a function that is not part of the test would."""
        names = {field: "".join(map(str.capitalize, field.split("_"))) for field in fields}
        names = {field: name[0].lower() + name[1:] for field, name in names.items()}
        values = {
            f":{field}": {"N" if isinstance(value, int) else "S": str(value)}
            for field, value in fields.items()
        }
        self.stack.dynamodb.update_item(
            TableName=self.stack.table,
            Key={"taskId": {"S": task_id}, "part": {"S": "state"}},
            UpdateExpression="SET " + ", ".join(f"#{field} = :{field}" for field in fields),
            ExpressionAttributeNames={f"#{field}": name for field, name in names.items()},
            ExpressionAttributeValues=values,
        )

    def rechecks(self) -> list[Any]:
        return [item for item in self.stack.items() if item["taskId"]["S"].startswith("#recheck#")]


@pytest.fixture
def functions(stack: Stack, load: Load, monkeypatch: pytest.MonkeyPatch) -> Functions:
    monkeypatch.setenv("TASK_RETENTION_DAYS", "7")
    return Functions(stack, load)


def waiting(functions: Functions, time: Clock) -> None:
    """Nobody has claimed it."""


def retrying(functions: Functions, time: Clock) -> None:
    functions.set("t", status="RETRYING", attempts=1, not_before=time.now())


def backing_off(functions: Functions, time: Clock) -> None:
    functions.set("t", status="RETRYING", attempts=1, not_before=time.now() + 10 * 3_600_000)


def running(functions: Functions, time: Clock) -> None:
    functions.set("t", status="PROCESSING", attempts=1, lease_until=time.now() + 30_000)


def failed(functions: Functions, time: Clock) -> None:
    functions.set("t", status="FAILED", attempts=3, error_message="bad")


def restarted(functions: Functions, time: Clock) -> None:
    failed(functions, time)
    assert functions.retry() == 202


def restarted_and_retrying(functions: Functions, time: Clock) -> None:
    restarted(functions, time)
    functions.set("t", status="RETRYING", attempts=1, not_before=time.now())
    functions.stack.dynamodb.update_item(
        TableName=functions.stack.table,
        Key={"taskId": {"S": "t"}, "part": {"S": "state"}},
        UpdateExpression="REMOVE unsentShard, unsentKey",
    )


#: All but one are written once more by the worker that ends them.
STATES = [
    failed,
    *(
        pytest.param(become, marks=pytest.mark.batch_statements)
        for become in (waiting, retrying, backing_off, running, restarted, restarted_and_retrying)
    ),
]


@pytest.mark.parametrize("become", STATES)
def test_a_task_whose_message_was_dropped_gets_another_and_ends(
    stack: Stack,
    worker: Worker,
    functions: Functions,
    time: Clock,
    become: Callable[[Functions, Clock], None],
) -> None:
    functions.submit(payload={"seconds": 0})
    become(functions, time)
    time.move(3 * MINUTE)
    functions.sweep()
    functions.drop_messages()
    # Whatever the list of unsent tasks sends meanwhile is lost as well.
    for _ in range(13):
        time.move(DAY)
        functions.sweep()
    functions.drop_messages()
    time.move(2 * DAY)
    # A task that was restarted within its first minutes may have been noted twice.
    assert 1 <= functions.sweep() <= 2
    deliveries = stack.receive(stack.task_queue_url)
    assert {json.loads(delivery.body)["taskId"] for delivery in deliveries} == {"t"}
    assert worker.work_off(deliveries, Deadline(30_000)) == []
    record = stack.record("t")
    if become is failed:
        assert [json.loads(letter)["taskId"] for letter in stack.letters()] == ["t"]
    else:
        # The sample types of the worker have no `simulate`.
        assert (record.status, record.error_message) == (Status.FAILED, "unknown task type 'simulate'")


def test_it_gets_one_after_each_retention_for_as_long_as_it_takes(functions: Functions, time: Clock) -> None:
    functions.submit()
    retrying(functions, time)
    time.move(3 * MINUTE)
    assert functions.sweep() == 0
    for _ in range(3):
        functions.drop_messages()
        time.move(RETENTION - HOUR)
        assert functions.sweep() == 0
        time.move(DAY + 2 * HOUR)
        assert functions.sweep() == 1
        assert functions.sweep() == 0
        assert len(functions.rechecks()) == 1


def test_the_data_of_a_task_lives_as_long_as_it_waits(
    stack: Stack, functions: Functions, time: Clock
) -> None:
    functions.submit(payload=LARGE)
    retrying(functions, time)
    time.move(3 * MINUTE)
    functions.sweep()
    for _ in range(4):
        time.move(RETENTION + DAY)
        assert functions.sweep() == 1
        (data,) = [item for item in stack.items() if item["part"]["S"].startswith("data#")]
        left = timedelta(seconds=int(data["expiresAt"]["N"])) - timedelta(milliseconds=time.now())
        # Longer than the new message, and a retry of the task at the end of its own time.
        assert left >= RETENTION + 7 * DAY + DAY


@pytest.mark.parametrize("days", [(7, 0), (0, 7), (7, 90)])
def test_the_data_of_a_task_that_waits_lives_on_when_the_retention_of_tasks_changes(
    stack: Stack, load: Load, time: Clock, monkeypatch: pytest.MonkeyPatch, days: tuple[int, int]
) -> None:
    before, after = days
    monkeypatch.setenv("TASK_RETENTION_DAYS", str(before))
    functions = Functions(stack, load)
    functions.submit(payload=LARGE)
    retrying(functions, time)
    time.move(3 * MINUTE)
    functions.sweep()
    monkeypatch.setenv("TASK_RETENTION_DAYS", str(after))
    functions = Functions(stack, load)
    for _ in range(3):
        time.move(RETENTION + DAY)
        assert functions.sweep() == 1
        (data,) = [item for item in stack.items() if item["part"]["S"].startswith("data#")]
        assert "expiresAt" not in data or int(data["expiresAt"]["N"]) * 1000 > time.now() + 15 * clock.DAY


def test_a_damaged_recheck_is_reported_and_stays(
    stack: Stack, functions: Functions, time: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    functions.submit()
    time.move(3 * MINUTE)
    functions.sweep()
    (recheck,) = functions.rechecks()
    stack.dynamodb.put_item(TableName=stack.table, Item=recheck | {"taskIds": {"L": [{"S": "t"}]}})
    time.move(RETENTION + DAY)
    assert functions.sweep() == 0
    lines = [vars(line) for line in caplog.records if line.levelname == "ERROR"]
    assert [line["problem"] for line in lines] == ["taskIds: not what this code writes"]
    assert len(functions.rechecks()) == 1


def test_tasks_that_end_in_time_are_not_noted(
    stack: Stack, wire: Wire, functions: Functions, time: Clock
) -> None:
    for number, fields in enumerate(
        [{"status": "COMPLETED"}, {"status": "CANCELLED"}, {"dead_lettered_at": 1}]
    ):
        functions.submit(f"t{number}")
        functions.set(f"t{number}", **{"status": "FAILED", **fields})
    # Nor are those whose message is not sent yet.
    functions.submit("later", delaySeconds=DAY.total_seconds())
    time.move(3 * MINUTE)
    assert functions.sweep() == 0
    assert functions.rechecks() == []


def test_many_unended_tasks_are_noted_together(stack: Stack, functions: Functions, time: Clock) -> None:
    place = {"list_shard": "1", "created_key": created_key("", time.now())}
    ids = [f"t{number:03}" for number in range(100)]
    stack.submit_many("echo", ids, status=Status.RETRYING, **place)
    time.move(3 * MINUTE)
    functions.sweep()
    (recheck,) = functions.rechecks()
    assert sorted(recheck["taskIds"]["S"].split(",")) == ids


def test_a_sweep_that_is_cut_off_and_repeated_notes_them_once(
    stack: Stack, wire: Wire, functions: Functions, time: Clock
) -> None:
    functions.submit()
    time.move(3 * MINUTE)
    wire.refuse("SendMessageBatch", code="InternalError", times=3)
    with pytest.raises(Exception, match="InternalError"):
        functions.sweep()
    assert functions.sweep() == 1
    assert len(functions.rechecks()) == 1


def test_a_recheck_that_is_cut_off_is_made_again(
    stack: Stack, wire: Wire, functions: Functions, time: Clock
) -> None:
    functions.submit()
    retrying(functions, time)
    time.move(3 * MINUTE)
    functions.sweep()
    time.move(RETENTION + DAY)
    wire.refuse("SendMessageBatch", code="InternalError", times=3)
    with pytest.raises(Exception, match="InternalError"):
        functions.sweep()
    assert functions.sweep() == 1


@pytest.mark.batch_statements
class TestATaskThatWaits:
    """In a backlog, or while no worker runs."""

    def test_has_no_more_rechecks_than_days_of_a_message(self, functions: Functions, time: Clock) -> None:
        functions.submit()
        restarted(functions, time)
        for _ in range(60):
            time.move(DAY)
            functions.sweep()
            assert len(functions.rechecks()) <= 14 + 2

    @pytest.mark.parametrize("become", [waiting, restarted])
    def test_gets_few_messages(
        self, functions: Functions, time: Clock, become: Callable[[Functions, Clock], None]
    ) -> None:
        functions.submit(delaySeconds=0 if become is restarted else 60)
        become(functions, time)
        sent = 0
        for _ in range(180):
            time.move(MINUTE)
            sent += functions.sweep()
        # After 2, 4, 8, ... minutes; the last is due after four hours.
        assert 5 <= sent <= 8
        assert functions.stack.record("t").version <= 2 + sent + 1

    def test_has_a_message_at_all_times(self, functions: Functions, time: Clock) -> None:
        functions.submit()
        restarted(functions, time)
        task, now = functions.stack.record("t"), clock.now()
        sent: list[int] = []
        while now < clock.now() + 40 * clock.DAY:
            now += 120_000
            if (task.unsent_key or "") < created_key("", now - 120_000):
                sent.append(now)
                task = task.sent_again(now)
        gaps = [later - earlier for earlier, later in pairwise(sent)]
        # A message lives for a day at least.
        assert max(gaps) <= clock.DAY
        assert len([at for at in sent if at <= clock.now() + clock.DAY]) <= 12
        assert len(sent) <= 12 + 40


class TestAnOverdueTask:
    """One that no worker has, a quarter of an hour after it could have started."""

    @pytest.mark.parametrize("become", [waiting, retrying, running])
    def test_gets_another_message_by_a_retry(
        self,
        stack: Stack,
        functions: Functions,
        time: Clock,
        become: Callable[[Functions, Clock], None],
    ) -> None:
        functions.submit()
        become(functions, time)
        functions.drop_messages()
        before = stack.record("t")
        assert functions.retry() == 409
        time.move(16 * MINUTE)
        assert functions.retry() == 202
        assert len(stack.receive(stack.task_queue_url)) == 1
        assert stack.record("t") == before

    def test_gets_none_by_the_same_submission(self, stack: Stack, functions: Functions, time: Clock) -> None:
        """Clients submit again when a backlog is long, which would make it longer."""
        functions.submit()
        functions.drop_messages()
        time.move(16 * MINUTE)
        assert functions.submit() == 200
        assert stack.receive(stack.task_queue_url) == []

    def test_is_not_retried_without_its_data(self, stack: Stack, functions: Functions, time: Clock) -> None:
        functions.submit(payload=LARGE)
        functions.drop_messages()
        time.move(16 * MINUTE)
        (data,) = [item for item in stack.items() if item["part"]["S"].startswith("data#")]
        stack.dynamodb.delete_item(
            TableName=stack.table, Key={name: data[name] for name in ("taskId", "part")}
        )
        assert functions.retry() == 409
        assert stack.receive(stack.task_queue_url) == []

    @pytest.mark.batch_statements
    def test_that_is_retried_again_and_again_has_one_recheck_a_day(
        self, functions: Functions, time: Clock
    ) -> None:
        functions.submit()
        restarted(functions, time)
        for _ in range(48):
            time.move(HOUR)
            assert functions.retry() == 202
        assert len(functions.rechecks()) <= 4

    def test_is_looked_at_again_after_a_retry(self, functions: Functions, time: Clock) -> None:
        functions.submit()
        retrying(functions, time)
        time.move(30 * DAY)
        assert functions.retry() == 202
        functions.drop_messages()
        # Past the end of the list, as if the sweep had met it before there were rechecks.
        functions.set("t", list_shard="9")
        time.move(RETENTION + DAY)
        assert functions.sweep() == 1

    @pytest.mark.batch_statements
    def test_whose_worker_died_can_be_cancelled(
        self, stack: Stack, functions: Functions, time: Clock
    ) -> None:
        functions.submit()
        task = stack.record("t")
        held = task.claimed("dead", lease_until=time.now() + 30_000, now=time.now())
        assert stack.store.change(task, held)
        assert functions.cancel() == 409
        time.move(MINUTE)
        assert functions.cancel() == 200
        record = stack.record("t")
        assert (record.status, record.claim_id, record.lease_until) == (Status.CANCELLED, None, None)
        assert [attempt["errorMessage"] for attempt in json.loads(record.history or "")] == [
            "the worker died"
        ]
        # The worker was not dead after all.
        assert not stack.store.change(held, held.completed(None, keep=0, now=time.now()))
        assert stack.record("t") == record
