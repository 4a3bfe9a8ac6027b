"""Each attribute of a record, damaged in each way, met by each reader: the others are served, and people are told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from types import ModuleType
from typing import Any

import pytest
from tasklib import clock
from tasklib.clock import Deadline
from tasklib.connections import Subscription
from tasklib.queue import DeadLetter
from tasklib.record import FIELDS, RANGES, key_of, to_item
from tasklib.store import Recheck
from tasklib.task import Status, Task, TaskData, created_key
from tasklib.worker import Worker

from .conftest import Stack, a_task, event_of, lambda_context, message_of
from .websocket_gateway import WebSocketGateway
from .wire import Wire

Load = Callable[[str], ModuleType]

#: Long ago, for the sweep and for leases.
PAST = 1_700_000_000_000

NUMBERS = {
    *("run", "attempts", "version", "updatedAt", "leaseUntil"),
    *("notBefore", "deadLetteredAt", "expiresAt", "runAt"),
}
DATA = ("answer", "payload")
TEXTS = {*FIELDS, *DATA} - NUMBERS - {"taskId"}

#: DynamoDB takes no other type for the key of an index.
INDEXED = {"listShard", "createdKey", "failedShard", "unsentShard", "unsentKey"}

#: What a record cannot be without.
REQUIRED = {
    *("type", "status", "run", "attempts", "version", "createdKey", "listShard"),
    *("updatedAt", "contentHash", "correlationId"),
}

#: Texts that no release writes. All other attributes may hold any text.
BAD_TEXTS = {
    "type": ["", "x" * 1025],
    "status": ["", "PAUSED", "pending"],
    "createdKey": ["0 long ago", "2023-13-01T00:00:00.000Z#t", "2023-01-01T00:00:00.000Z"],
    "unsentKey": ["0 soon", "2023-01-01T25:00:00.000Z#t"],
    "result": ["", "{", "[" * 100_000, "NaN", r'"\ud800"'],
    "history": ["long ago", "{}", "[1]", r'[{"errorMessage": "\udfff"}]'],
    "payload": ["", "{", "[]", '"x"', r'{"a": "\uDEAD"}', '{"a": Infinity}'],
    **{name: ["x" * 1025] for name in ("contentHash", "correlationId", "claimId")},
}
OTHER_TYPES: Sequence[Any] = ({"BOOL": True}, {"NULL": True}, {"M": {}}, {"B": b"1"})
OUT_OF_RANGE = ["-1", "1.5", "1" + "0" * 30]


def missing() -> Iterator[tuple[str, Any]]:
    yield from ((name, None) for name in REQUIRED)


def of_another_type() -> Iterator[tuple[str, Any]]:
    for name in (NUMBERS | TEXTS) - INDEXED:
        yield name, {"S": "1"} if name in NUMBERS else {"N": "1"}
        yield from ((name, value) for value in OTHER_TYPES)


def out_of_range() -> Iterator[tuple[str, Any]]:
    for name in NUMBERS:
        yield from ((name, {"N": number}) for number in OUT_OF_RANGE)
    for name, texts in BAD_TEXTS.items():
        yield from ((name, {"S": text}) for text in texts)


KINDS: Mapping[str, Callable[[], Iterator[tuple[str, Any]]]] = {
    "missing": missing,
    "of another type": of_another_type,
    "out of range": out_of_range,
}

NOTHING: dict[str, Any] = {}

GOOD = ("good-1", "good-2")


class Damaged:
    """Good tasks, and one task for each damage of a kind, all alike but for their damages."""

    def __init__(self, stack: Stack, kind: str, **fields: Any) -> None:
        self.stack = stack
        self.items: dict[str, dict[str, Any]] = {}
        for number, (name, value) in enumerate(KINDS[kind]()):
            # Its data is `payload`, but where its `answer` is damaged.
            self._add(f"{name}-{number}", fields, {name: value})
        self.ids = [*self.items]
        for task_id in GOOD:
            self._add(task_id, fields, {})

    def _add(self, task_id: str, fields: Mapping[str, Any], damage: Mapping[str, Any]) -> None:
        values: dict[str, Any] = {
            "created_key": created_key(task_id, PAST),
            "data": TaskData("payload", "{}"),
            **fields,
        }
        item: dict[str, Any] = {**to_item(a_task(task_id, "echo", **values)), **damage}
        self.items[task_id] = {name: value for name, value in item.items() if value is not None}

    def store(self) -> Damaged:
        """Writes them all."""
        requests = [{"PutRequest": {"Item": item}} for item in self.items.values()]
        for group in batched_by_25(requests):
            answer = self.stack.dynamodb.batch_write_item(RequestItems={self.stack.table: group})
            assert not answer["UnprocessedItems"]
        return self


def batched_by_25(requests: Sequence[Any]) -> Iterator[list[Any]]:
    for at in range(0, len(requests), 25):
        yield [*requests[at : at + 25]]


@pytest.fixture(params=[*KINDS])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


class People:
    """What people are told."""

    def __init__(self, log: pytest.LogCaptureFixture, output: pytest.CaptureFixture[str]) -> None:
        self._log = log
        self._output = output

    def know(self, task_ids: Sequence[str]) -> None:
        """Each of these tasks was named in the log, no other was, and each time was counted."""
        lines = [vars(line) for line in self._log.records if line.getMessage() == "a record cannot be read"]
        assert {line["taskId"] for line in lines} == set(task_ids)
        assert all(line["levelname"] == "ERROR" for line in lines)
        for line in lines:
            assert line["taskId"].startswith((line["problem"].partition(":")[0], "t")), line["problem"]
        metrics = [line for line in self._output.readouterr().out.splitlines() if '"DamagedRecords"' in line]
        assert len(metrics) == len(lines)


@pytest.fixture
def people(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> People:
    return People(caplog, capsys)


def queued(stack: Stack) -> set[str]:
    """The tasks that have messages on the queue."""
    ids: set[str] = set()
    while deliveries := stack.receive(stack.task_queue_url):
        ids |= {json.loads(delivery.body)["taskId"] for delivery in deliveries}
    return ids


@pytest.mark.batch_statements
@pytest.mark.parametrize(
    "fields",
    [
        {"status": Status.RETRYING, "attempts": 1, "not_before": PAST},
        {"status": Status.PROCESSING, "attempts": 1, "lease_until": PAST},
        {"status": Status.PROCESSING, "attempts": 9, "lease_until": PAST},
    ],
    ids=["claims", "claims again", "gives up"],
)
def test_the_worker(stack: Stack, worker: Worker, people: People, kind: str, fields: dict[str, Any]) -> None:
    damaged = Damaged(stack, kind, **fields).store()
    deliveries = [message_of(task_id) for task_id in damaged.items]
    kept = worker.work_off(deliveries, Deadline(30_000))
    assert set(kept) == {f"message of {task_id}" for task_id in damaged.ids}
    ended = Status.FAILED if fields["attempts"] == 9 else Status.COMPLETED
    assert {stack.record(task_id).status for task_id in GOOD} == {ended}
    people.know(damaged.ids)


def test_the_sweep_of_new_tasks(stack: Stack, load: Load, people: People, kind: str) -> None:
    damaged = Damaged(stack, kind, list_shard="1").store()
    load("sweep_tasks").handler({}, lambda_context(60_000))
    assert queued(stack) == set(GOOD)
    unlisted = {
        task_id for task_id, item in damaged.items.items() if not {"listShard", "createdKey"} <= item.keys()
    }
    people.know([task_id for task_id in damaged.ids if task_id not in unlisted])


@pytest.mark.batch_statements
def test_the_sweep_of_unsent_tasks(stack: Stack, load: Load, people: People, kind: str) -> None:
    fields: dict[str, Any] = {"run": 2, "unsent_shard": "1", "unsent_key": created_key("", PAST)}
    # Not in the list of all tasks of the sweep's shards.
    damaged = Damaged(stack, kind, list_shard="9", **fields).store()
    module = load("sweep_tasks")
    module.handler({}, lambda_context(60_000))
    assert queued(stack) == set(GOOD)
    people.know(damaged.ids)


def test_the_sweep_of_tasks_to_recheck(stack: Stack, load: Load, people: People, kind: str) -> None:
    damaged = Damaged(stack, kind, list_shard="9", status=Status.RETRYING, attempts=1).store()
    for ids in batched_by_25([*damaged.items]):
        stack.store.add_recheck(Recheck.at(PAST, "1", ids))
    load("sweep_tasks").handler({}, lambda_context(60_000))
    assert queued(stack) == set(GOOD)
    people.know(damaged.ids)
    # And again when somebody may have mended them.
    due = created_key("", clock.now() + 2 * clock.DAY)
    noted = [task_id for recheck in stack.store.rechecks("1", due) for task_id in recheck.task_ids]
    assert sorted(noted) == sorted(damaged.ids)


def event(route: str, **fields: Any) -> dict[str, Any]:
    """A request, as the gateway hands it over."""
    method, _, path = route.partition(" ")
    http = {"http": {"method": method}, "requestId": "r"}
    return {"routeKey": route, "rawPath": path, "requestContext": http} | fields


@pytest.mark.parametrize("status", [None, Status.COMPLETED])
def test_the_list(stack: Stack, load: Load, people: People, kind: str, status: Status | None) -> None:
    fields: dict[str, Any] = {"status": Status.COMPLETED, "attempts": 1, "result": '{"a":1}', "history": "[]"}
    damaged = Damaged(stack, kind, list_shard="1", **fields).store()
    handler = load("read_tasks").handler
    query = {"limit": "7"} | ({"status": status} if status else {})
    found: list[str] = []
    while True:
        answer = handler(event("GET /tasks", queryStringParameters=query), lambda_context())
        assert answer["statusCode"] == 200
        page = json.loads(answer["body"])
        found += [task["taskId"] for task in page["tasks"]]
        if "nextCursor" not in page:
            break
        query["cursor"] = page["nextCursor"]
    assert sorted(found) == sorted(GOOD)
    unlisted = {
        task_id for task_id, item in damaged.items.items() if not {"listShard", "createdKey"} <= item.keys()
    }
    people.know([task_id for task_id in damaged.ids if task_id not in unlisted])


@pytest.mark.parametrize(
    ("function", "route", "fields", "answer"),
    [
        ("read_tasks", "GET /tasks/{taskId}", {"status": Status.COMPLETED, "attempts": 1}, 200),
        pytest.param(
            *("retry_tasks", "POST /tasks/{taskId}/retry", {"status": Status.FAILED, "attempts": 3}, 202),
            marks=pytest.mark.batch_statements,
        ),
        pytest.param(
            *("cancel_tasks", "DELETE /tasks/{taskId}", NOTHING, 200), marks=pytest.mark.batch_statements
        ),
    ],
    ids=["read", "retry", "cancel"],
)
def test_a_request_for_one_task(
    stack: Stack,
    load: Load,
    people: People,
    kind: str,
    function: str,
    route: str,
    fields: dict[str, Any],
    answer: int,
) -> None:
    damaged = Damaged(stack, kind, **fields).store()
    handler = load(function).handler
    for task_id in damaged.ids:
        response = handler(event(route, pathParameters={"taskId": task_id}), lambda_context())
        assert response["statusCode"] == 500
        detail = json.loads(response["body"])["detail"]
        assert detail == f"The record of task {task_id} is damaged; it has been logged."
    for task_id in GOOD:
        response = handler(event(route, pathParameters={"taskId": task_id}), lambda_context())
        assert response["statusCode"] == answer
    people.know(damaged.ids)


def test_a_submission_under_the_same_id(stack: Stack, load: Load, people: People, kind: str) -> None:
    damaged = Damaged(stack, kind, content_hash=TaskData("payload", "{}").content_hash("simulate")).store()
    # One that has expired is replaced, damaged or not; what is no number never expires.
    expiring = [task_id for task_id in damaged.ids if task_id.startswith("expiresAt")]
    ids = [task_id for task_id in damaged.items if task_id not in expiring]
    handler = load("submit_tasks").handler
    results: list[Any] = []
    for start in range(0, len(ids), 100):
        body: dict[str, Any] = {
            "tasks": [{"taskId": task_id, "payload": {}} for task_id in ids[start : start + 100]]
        }
        answer = handler(event("POST /tasks/batch", body=json.dumps(body)), lambda_context(30_000))
        results += json.loads(answer["body"])["results"]
    statuses = dict(zip(ids, (result["status"] for result in results), strict=True))
    good = {task_id: statuses.pop(task_id) for task_id in GOOD}
    assert set(good.values()) == {200}
    assert set(statuses.values()) == {500}
    people.know([*statuses])


@pytest.mark.batch_statements
def test_the_monitor(stack: Stack, load: Load, people: People, kind: str) -> None:
    damaged = Damaged(stack, kind, status=Status.FAILED, attempts=3, error_message="bad").store()
    for task_id in damaged.items:
        stack.sqs.send_message(
            QueueUrl=stack.dead_letter_queue_url, MessageBody=DeadLetter(task_id, 1, "bad", "c").body()
        )
    module = load("monitor_dlq")
    kept: set[str] = set()
    while deliveries := stack.receive(stack.dead_letter_queue_url):
        answer = module.handler(event_of(deliveries), lambda_context(60_000))
        failures = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        kept |= {
            json.loads(delivery.body)["taskId"] for delivery in deliveries if delivery.message_id in failures
        }
    assert kept == set(damaged.ids)
    assert all(stack.record(task_id).dead_lettered_at for task_id in GOOD)
    people.know(damaged.ids)


def test_live_updates(
    stack: Stack,
    load: Load,
    people: People,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    damaged = Damaged(stack, kind)
    with closing(WebSocketGateway()) as gateway:
        monkeypatch.setenv("CONNECTIONS_URL", gateway.url)
        stack.connections.subscribe("all", None)
        records = [
            {"eventID": task_id, "dynamodb": {"SequenceNumber": "1", "NewImage": item}}
            for task_id, item in damaged.items.items()
        ]
        assert load("notify_clients").handler({"Records": records}, lambda_context()) == {
            "batchItemFailures": []
        }
        (frame,) = gateway.updates("all")
    assert {task_id for task_id, *_ in frame} == set(GOOD)
    people.know(damaged.ids)


@pytest.mark.batch_statements
def test_an_attribute_that_a_record_may_be_without_is_missed_by_no_reader(
    stack: Stack, worker: Worker
) -> None:
    optional = (NUMBERS | TEXTS) - REQUIRED - {*DATA, "claimId"}
    fields: dict[str, Any] = {
        "status": Status.PROCESSING,
        "attempts": 1,
        "history": "[]",
        "lease_until": PAST,
    }
    damaged = Damaged(stack, "missing", **fields)
    for name in optional:
        damaged.items[name] = damaged.items["good-1"] | key_of(name, "state")
        damaged.items[name].pop(name, None)
    damaged.store()
    worker.work_off([message_of(name) for name in optional], Deadline(30_000))
    assert {stack.record(name).status for name in optional} == {Status.COMPLETED}


@pytest.mark.batch_statements
def test_numbers_at_the_edge_of_their_range_are_read_by_every_reader(
    stack: Stack, load: Load, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    """What is let in must do no harm inside."""
    # But for the last value of what is counted, after which there is none.
    edges = [(name, numbers[0]) for name, numbers in RANGES.items()]
    edges += [(name, RANGES[name][-1]) for name in RANGES.keys() - {"run", "attempts", "version"}]
    ids = [f"{name}-{number}" for name, number in edges]
    for status in (Status.PENDING, Status.RETRYING, Status.PROCESSING, Status.FAILED, Status.COMPLETED):
        place = {"unsent_shard": "1", "unsent_key": created_key("", PAST)} if status is Status.PENDING else {}
        fields: dict[str, Any] = {"status": status, "list_shard": "1", **place}
        damaged = Damaged(stack, "missing", **fields)
        damaged.items = {
            task_id: {**damaged.items["good-1"], **key_of(task_id, "state"), name: {"N": str(number)}}
            for task_id, (name, number) in zip(ids, edges, strict=True)
        }
        damaged.store()
        stack.store.add_recheck(Recheck.at(PAST, "1", ids))
        handler = load("sweep_tasks").handler
        handler({}, lambda_context(60_000))
        for function, route in (
            ("read_tasks", "GET /tasks/{taskId}"),
            ("retry_tasks", "POST /tasks/{taskId}/retry"),
            ("cancel_tasks", "DELETE /tasks/{taskId}"),
        ):
            for task_id in ids:
                answer = load(function).handler(
                    event(route, pathParameters={"taskId": task_id}), lambda_context()
                )
                assert answer["statusCode"] in (200, 202, 404, 409), answer
        assert load("read_tasks").handler(event("GET /tasks"), lambda_context())["statusCode"] == 200
        damaged.store()
        worker.work_off([message_of(task_id) for task_id in ids], Deadline(30_000))
    assert [line.getMessage() for line in caplog.records if line.exc_info] == []


@pytest.mark.batch_statements
def test_a_record_that_is_damaged_while_the_sweep_is_at_it_leaves_its_neighbours_alone(
    stack: Stack, wire: Wire, load: Load, people: People
) -> None:
    fields: dict[str, Any] = {"run": 2, "unsent_shard": "1", "unsent_key": created_key("", PAST)}
    for task_id in ("bad", *GOOD):
        stack.submit(task_id, list_shard="9", **fields)

    def damage() -> None:
        stack.dynamodb.update_item(
            TableName=stack.table,
            Key=key_of("bad", "state"),
            UpdateExpression="SET version = :other, updatedAt = :text",
            ExpressionAttributeValues={":other": {"N": "9"}, ":text": {"S": "then"}},
        )

    wire.meanwhile("SendMessageBatch", "bad", damage)
    handler = load("sweep_tasks").handler
    assert handler({}, lambda_context(60_000)) == {"sent": 3}
    assert all((stack.record(task_id).unsent_key or "") > created_key("", PAST + 1) for task_id in GOOD)
    assert handler({}, lambda_context(60_000)) == {"sent": 0}


@pytest.mark.parametrize("operation", ["Query", "SendMessageBatch"])
def test_a_list_that_cannot_be_swept_leaves_the_others_alone(
    stack: Stack, wire: Wire, load: Load, operation: str
) -> None:
    for shard in range(3):
        stack.submit(f"t{shard}", created_key=created_key(f"t{shard}", PAST), list_shard=str(shard))
    stack.submit("recheck", status=Status.RETRYING, attempts=1, list_shard="9")
    stack.store.add_recheck(Recheck.at(PAST, "2", ["recheck"]))
    text = {"Query": "#recheck#1", "SendMessageBatch": "t1"}[operation]
    wire.refuse(operation, text, code="ValidationException")
    with pytest.raises(Exception, match="ValidationException"):
        load("sweep_tasks").handler({}, lambda_context(60_000))
    assert queued(stack) >= {"t0", "t2", "recheck"}


def test_a_record_whose_place_in_the_list_was_damaged_is_sent_once_it_is_mended(
    stack: Stack, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = stack.submit("t", created_key=created_key("t", PAST), list_shard="1")
    item = to_item(task)
    stack.dynamodb.put_item(TableName=stack.table, Item={**item, "createdKey": {"S": "0 long ago"}})
    handler = load("sweep_tasks").handler
    handler({}, lambda_context(60_000))
    stack.dynamodb.put_item(
        TableName=stack.table, Item={**item, "payload": {"S": "{}"}, "version": {"N": "2"}}
    )
    stack.store.move_cursor(1, created_key("", PAST + 1))
    later = clock.now() + 2 * clock.DAY
    monkeypatch.setattr(clock, "now", lambda: later)
    handler({}, lambda_context(60_000))
    assert queued(stack) == {"t"}


def test_a_damaged_subscription_hears_of_all_tasks(stack: Stack) -> None:
    stack.connections.subscribe("c", ["t"])
    (item,) = stack.dynamodb.scan(TableName=stack.connections_table)["Items"]
    stack.dynamodb.put_item(TableName=stack.connections_table, Item={**item, "taskIds": {"S": "t"}})
    assert stack.connections.subscriptions() == [Subscription("c", None)]


class TestTheDataOfATask:
    """Data in an item of its own, which holds what no release writes."""

    VALUES = pytest.mark.parametrize("value", [None, {"N": "1"}, {"S": "{"}], ids=[*KINDS])

    def store(self, stack: Stack, value: Any) -> Task:
        """A task whose data is damaged."""
        task = stack.submit("t", payload=json.dumps({"long": "x" * 2000}))
        item = key_of("t", f"data#{task.content_hash}") | ({"payload": value} if value else {})
        stack.dynamodb.put_item(TableName=stack.table, Item=item)
        return task

    @VALUES
    @pytest.mark.batch_statements
    def test_fails_the_attempt(self, stack: Stack, worker: Worker, people: People, value: Any) -> None:
        """Somebody may mend it before the next one."""
        task = self.store(stack, value)
        worker.work_off(stack.deliver(task), Deadline(30_000))
        record = stack.record("t")
        assert (record.status, record.attempts) == (Status.RETRYING, 1)
        assert (record.error_message or "").startswith("the task's data cannot be read: payload: ")
        people.know(["t"])

    @VALUES
    def test_does_not_hide_the_task(self, stack: Stack, load: Load, value: Any) -> None:
        self.store(stack, value)
        answer = load("read_tasks").handler(
            event("GET /tasks/{taskId}", pathParameters={"taskId": "t"}), lambda_context()
        )
        task = json.loads(answer["body"])
        assert (answer["statusCode"], task["truncated"], "payload" in task) == (200, True, False)


def test_a_damaged_cursor_stops_the_sweep_of_its_shard_alone(
    stack: Stack, load: Load, caplog: pytest.LogCaptureFixture
) -> None:
    for shard in range(3):
        task_id = f"t{shard}"
        stack.submit(task_id, created_key=created_key(task_id, PAST), list_shard=str(shard))
    stack.dynamodb.put_item(TableName=stack.table, Item=key_of("#sweep", "cursor#1") | {"place": {"N": "1"}})
    load("sweep_tasks").handler({}, lambda_context(60_000))
    assert queued(stack) == {"t0", "t2"}
    assert [vars(line)["problem"] for line in caplog.records if line.levelname == "ERROR"] == [
        "cursor of shard 1: not what this code writes"
    ]
