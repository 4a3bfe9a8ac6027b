"""From the table's stream to the WebSocket clients."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator
from types import ModuleType
from typing import Any
from unittest.mock import Mock

import boto3
import pytest
from botocore.config import Config
from tasklib.clock import Deadline
from tasklib.gateway import Gateway
from tasklib.record import to_item
from tasklib.task import Status, Task
from tasklib.updates import MAX_FRAME, frames, newest

from tests.waiting import PATIENCE_SECONDS

from .conftest import Stack, a_task, lambda_context
from .websocket_gateway import WebSocketGateway
from .wire import FOREVER, Wire


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Generator[WebSocketGateway]:
    gateway = WebSocketGateway()
    monkeypatch.setenv("CONNECTIONS_URL", gateway.url)
    yield gateway
    gateway.close()


@pytest.fixture
def notify(gateway: WebSocketGateway, load: Callable[[str], ModuleType]) -> Callable[..., list[str]]:
    module = load("notify_clients")

    def notify(*tasks: Task | dict[str, Any]) -> list[str]:
        """Hands the function a batch; returns the sequence numbers that it says have failed."""
        records = [
            {
                "eventID": f"event-{place}",
                "eventName": "MODIFY",
                "dynamodb": {
                    "SequenceNumber": str(100 + place),
                    "NewImage": to_item(task) if isinstance(task, Task) else task,
                },
            }
            for place, task in enumerate(tasks)
        ]
        answer = module.handler({"Records": records}, lambda_context())
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]

    return notify


def states(task_id: str, *statuses: Status) -> list[Task]:
    """A task as it changes, version by version."""
    return [a_task(task_id, "echo", status=status, version=n + 1) for n, status in enumerate(statuses)]


def test_each_client_hears_once_of_what_it_wants_in_its_newest_state(
    stack: Stack, gateway: WebSocketGateway, notify: Callable[..., list[str]]
) -> None:
    stack.connections.subscribe("all", None)
    stack.connections.subscribe("one", ["b", "elsewhere"])
    stack.connections.subscribe("none", ["elsewhere"])
    a = states("a", Status.PENDING, Status.PROCESSING, Status.COMPLETED)
    b = states("b", Status.PENDING, Status.PROCESSING)
    assert notify(a[0], b[0], a[1], b[1], a[2]) == []
    assert gateway.updates("all") == [[("b", "PROCESSING", 2), ("a", "COMPLETED", 3)]]
    assert gateway.updates("one") == [[("b", "PROCESSING", 2)]]
    assert gateway.updates("none") == []


def test_an_update_says_where_the_task_stands_and_nothing_of_its_data(
    stack: Stack, gateway: WebSocketGateway, notify: Callable[..., list[str]]
) -> None:
    stack.connections.subscribe("all", None)
    task = a_task(
        "a",
        "echo",
        '{"secret": 1}',
        status=Status.FAILED,
        attempts=3,
        version=7,
        updated_at=1_800_000_000_123,
        error_message="no " * 200,
        result='"secret"',
    )
    notify(task)
    ((update,),) = [json.loads(frame)["updates"] for frame in gateway.frames["all"]]
    assert update == {
        "taskId": "a",
        "type": "echo",
        "status": "FAILED",
        "run": 1,
        "attempts": 3,
        "errorMessage": ("no " * 200)[:200],
        "version": 7,
        "createdAt": task.created_at,
        "updatedAt": "2027-01-15T08:00:00.123Z",
    }


def test_with_nobody_connected_a_batch_costs_one_query(
    stack: Stack, wire: Wire, notify: Callable[..., list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    assert notify(*states("a", Status.PENDING), {"broken": {"S": "record"}}) == []
    assert wire.calls() == {"Query": 1}
    assert all(body["ConsistentRead"] for body in wire.bodies("Query"))
    # Nobody to tell, nothing to read.
    assert caplog.records == []


def test_more_than_one_page_of_clients_is_reached(
    stack: Stack, gateway: WebSocketGateway, notify: Callable[..., list[str]]
) -> None:
    # A page is a megabyte: each of these subscriptions weighs 13 KB.
    task_ids = [f"{n:03d}".ljust(128, "x") for n in range(100)]
    names = [f"client-{n:03d}" for n in range(90)]
    for name in names:
        stack.connections.subscribe(name, task_ids)
    notify(*states(task_ids[50], Status.PENDING))
    assert gateway.frames.keys() == set(names)


def test_who_is_gone_is_forgotten_and_nobody_else_notices(
    stack: Stack, gateway: WebSocketGateway, notify: Callable[..., list[str]]
) -> None:
    for name in ("here", "gone", "there"):
        stack.connections.subscribe(name, None)
    gateway.gone.add("gone")
    assert notify(*states("a", Status.PENDING)) == []
    assert gateway.updates("here") == gateway.updates("there") == [[("a", "PENDING", 1)]]
    assert {one.connection_id for one in stack.connections.subscriptions()} == {"here", "there"}
    assert gateway.ended == []


def test_who_cannot_be_told_is_disconnected_so_that_it_comes_back_and_reads(
    stack: Stack,
    gateway: WebSocketGateway,
    notify: Callable[..., list[str]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name in ("here", "failing"):
        stack.connections.subscribe(name, None)
    gateway.failing.add("failing")
    assert notify(*states("a", Status.PENDING)) == []
    assert gateway.ended == ["failing"]
    assert [one.connection_id for one in stack.connections.subscriptions()] == ["here"]
    (line,) = caplog.records
    assert (line.getMessage(), vars(line)["reached"], vars(line)["disconnected"]) == (
        "not every client was reached",
        1,
        1,
    )


def test_slow_clients_delay_nobody(gateway: WebSocketGateway) -> None:
    gateway.slow = {f"a-slow-{n:02d}" for n in range(10)}
    quick = [f"quick-{n:02d}" for n in range(20)]
    # More patient than the function's own, so that none of the slow ones is given up, which would make room.
    config = Config(read_timeout=PATIENCE_SECONDS, retries={"total_max_attempts": 1}, max_pool_connections=32)
    clients: Any = boto3
    client = clients.client(
        "apigatewaymanagementapi",
        endpoint_url=gateway.url,
        region_name="eu-west-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=config,
    )
    push = Gateway(client, forget=Mock()).push
    told = threading.Thread(
        target=push, args=({key: [b"{}"] for key in [*sorted(gateway.slow), *quick]}, Deadline(900_000))
    )
    told.start()
    for name in quick:
        gateway.wait_for_frames(name)
    assert not gateway.frames.keys() & gateway.slow
    gateway.let_go()
    told.join()


def test_the_next_batch_waits_for_none_of_them(
    stack: Stack, gateway: WebSocketGateway, notify: Callable[..., list[str]]
) -> None:
    gateway.slow = {"slow"}
    for name in ("slow", "quick"):
        stack.connections.subscribe(name, None)
    assert notify(*states("a", Status.PENDING)) == []
    assert gateway.ended == ["slow"]
    assert [one.connection_id for one in stack.connections.subscriptions()] == ["quick"]
    gateway.ended.clear()
    assert notify(*states("b", Status.PENDING)) == []
    assert gateway.ended == []
    assert gateway.updates("quick") == [[("a", "PENDING", 1)], [("b", "PENDING", 1)]]


def test_a_batch_comes_again_when_there_was_no_time_for_everybody(
    stack: Stack, gateway: WebSocketGateway, notify: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.connections.subscribe("all", None)
    with monkeypatch.context() as short:
        short.setattr(Deadline, "remaining", Mock(return_value=8_999))
        assert notify(*states("a", Status.PENDING), *states("b", Status.PENDING)) == ["100"]
    assert gateway.frames == {}
    assert [one.connection_id for one in stack.connections.subscriptions()] == ["all"]


@pytest.mark.parametrize(
    "damage",
    [
        {"status": None},
        {"createdKey": None},
        {"updatedAt": None},
        {"updatedAt": {"S": "then"}},
    ],
)
def test_a_record_that_cannot_be_read_keeps_nothing_back(
    stack: Stack,
    gateway: WebSocketGateway,
    notify: Callable[..., list[str]],
    caplog: pytest.LogCaptureFixture,
    damage: dict[str, Any],
) -> None:
    stack.connections.subscribe("all", None)
    fields = {**to_item(a_task("a", "echo"))} | damage
    broken = {name: value for name, value in fields.items() if value is not None}
    assert notify(*states("b", Status.PENDING), broken, *states("c", Status.PENDING)) == []
    assert gateway.updates("all") == [[("b", "PENDING", 1), ("c", "PENDING", 1)]]
    (line,) = caplog.records
    assert (line.getMessage(), vars(line)["taskId"]) == ("a record cannot be read", "a")


def test_without_the_table_of_connections_the_whole_batch_is_to_come_again(
    stack: Stack, wire: Wire, gateway: WebSocketGateway, notify: Callable[..., list[str]]
) -> None:
    stack.connections.subscribe("all", None)
    wire.refuse("Query", code="InternalServerError", times=3)
    assert notify(*states("a", Status.PENDING), *states("b", Status.PENDING)) == ["100"]
    assert gateway.frames == {}
    assert notify(*states("a", Status.PENDING)) == []
    assert gateway.updates("all") == [[("a", "PENDING", 1)]]


def test_a_connection_that_cannot_be_forgotten_is_found_gone_again(
    stack: Stack, wire: Wire, gateway: WebSocketGateway, notify: Callable[..., list[str]]
) -> None:
    for name in ("here", "gone"):
        stack.connections.subscribe(name, None)
    gateway.gone.add("gone")
    wire.refuse("DeleteItem", code="InternalServerError", times=FOREVER)
    assert notify(*states("a", Status.PENDING)) == []
    assert gateway.updates("here") == [[("a", "PENDING", 1)]]


def test_frames_hold_32_kilobytes_and_every_update_once() -> None:
    tasks = [
        a_task(f"{n:03d}".ljust(128, "x"), "echo", error_message="\N{COLLISION SYMBOL}" * 300)
        for n in range(100)
    ]
    made = frames(newest([{"dynamodb": {"NewImage": to_item(task)}} for task in tasks]))
    assert len(made) > 1
    assert all(len(frame) <= MAX_FRAME for frame in made)
    # As few as can hold them: none has room for one more.
    assert all(len(frame) > MAX_FRAME - 1500 for frame in made[:-1])
    told = [update["taskId"] for frame in made for update in json.loads(frame)["updates"]]
    assert told == [task.task_id for task in tasks]
    assert frames([]) == []
