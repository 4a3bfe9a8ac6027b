"""From the table's stream to the WebSocket clients."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator
from types import ModuleType
from typing import Any, NamedTuple
from unittest.mock import Mock

import boto3
import pytest
from botocore.config import Config
from tasklib.clock import Deadline
from tasklib.gateway import CONCURRENCY, Gateway
from tasklib.record import to_item
from tasklib.task import Status, Task
from tasklib.updates import MAX_FRAME, frames, newest

from tests.waiting import PATIENCE_SECONDS

from .conftest import Stack, a_task, lambda_context
from .websocket_gateway import WebSocketGateway
from .wire import Wire


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Generator[WebSocketGateway]:
    gateway = WebSocketGateway()
    monkeypatch.setenv("CONNECTIONS_URL", gateway.url)
    yield gateway
    gateway.close()


@pytest.fixture
def notify(gateway: WebSocketGateway, load: Callable[[str], ModuleType]) -> Callable[..., list[str]]:
    module = load("notify_clients")

    def notify(*tasks: Task | dict[str, Any], milliseconds: int = 30_000) -> list[str]:
        """Hands the function a batch and so much time; returns the sequence numbers that it says have failed."""
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
        answer = module.handler({"Records": records}, lambda_context(milliseconds))
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


def client_of(gateway: WebSocketGateway, read_timeout: float) -> Any:
    """A client that waits so many seconds for an answer; the function's own waits for 3."""
    clients: Any = boto3
    return clients.client(
        "apigatewaymanagementapi",
        endpoint_url=gateway.url,
        region_name="eu-west-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(
            read_timeout=read_timeout, retries={"total_max_attempts": 1}, max_pool_connections=CONCURRENCY
        ),
    )


def test_slow_clients_delay_nobody(gateway: WebSocketGateway) -> None:
    gateway.slow = {f"a-slow-{n:02d}" for n in range(10)}
    quick = [f"quick-{n:02d}" for n in range(20)]
    # More patient than the function's own, so that none of the slow ones is given up, which would make room.
    push = Gateway(client_of(gateway, PATIENCE_SECONDS), forget=Mock()).push
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


#: Something that goes wrong.
Fault = Callable[[WebSocketGateway, Wire], None]


class Way(NamedTuple):
    """One way in which a change does not reach a client, and what the client learns of it.

    Attributes:
        faults: What goes wrong, in the first attempt.
        learns: What the client learns by the first attempt.
        later: What it learns when the batch has come again; empty when the batch does not.
        milliseconds: Time of the first attempt.
    """

    faults: tuple[Fault, ...]
    learns: str
    later: str = ""
    milliseconds: int = 30_000


def push_is_refused(gateway: WebSocketGateway, _: Wire) -> None:
    gateway.failing.add("client")


def push_is_not_answered(gateway: WebSocketGateway, _: Wire) -> None:
    gateway.slow.add("client")


def connection_has_ended(gateway: WebSocketGateway, _: Wire) -> None:
    gateway.gone.add("client")


def disconnection_is_refused(gateway: WebSocketGateway, _: Wire) -> None:
    gateway.failing_to_end.add("client")


def subscription_stays(_: WebSocketGateway, wire: Wire) -> None:
    wire.refuse("DeleteItem", code="InternalServerError", times=3)


def subscriptions_cannot_be_read(_: WebSocketGateway, wire: Wire) -> None:
    wire.refuse("Query", code="InternalServerError", times=3)


#: Less than a push needs, and more than a disconnection needs; less than either needs.
SHORT, TOO_SHORT = 12_500, 4_900

#: What can keep a change from a client that was subscribed when its batch began.
WAYS = (
    Way((push_is_refused,), learns="its end"),
    Way((push_is_not_answered,), learns="its end"),
    Way((connection_has_ended,), learns="its end"),
    Way((push_is_refused, disconnection_is_refused), learns="by its ping"),
    Way((push_is_refused, subscription_stays), learns="its end"),
    Way((connection_has_ended, subscription_stays), learns="its end"),
    Way(
        (push_is_refused, disconnection_is_refused, subscription_stays), learns="nothing", later="the change"
    ),
    Way((), learns="its end", milliseconds=SHORT),
    Way((disconnection_is_refused,), learns="by its ping", milliseconds=SHORT),
    Way((), learns="nothing", later="the change", milliseconds=TOO_SHORT),
    Way((subscriptions_cannot_be_read,), learns="nothing", later="the change"),
)


def name_of(way: Way) -> str:
    return "+".join([*(fault.__name__ for fault in way.faults), f"{way.milliseconds} ms"])


def what_it_learns(
    connection_id: str, gateway: WebSocketGateway, ping: Callable[[str], dict[str, Any]]
) -> str:
    """What a client with this connection knows about a change."""
    if connection_id in gateway.frames:
        return "the change"
    if connection_id in (*gateway.ended, *gateway.gone):
        return "its end"
    return "nothing" if ping(connection_id)["isSubscribed"] else "by its ping"


@pytest.fixture
def ping(stack: Stack, load: Callable[[str], ModuleType]) -> Callable[[str], dict[str, Any]]:
    module = load("track_connections")

    def ping(connection_id: str) -> dict[str, Any]:
        """What the ping of a connection is answered."""
        context = {"eventType": "MESSAGE", "routeKey": "$default", "connectionId": connection_id}
        event = {"requestContext": context, "body": '{"action": "ping"}'}
        return json.loads(module.handler(event, lambda_context())["body"])

    return ping


@pytest.mark.parametrize("way", WAYS, ids=name_of)
def test_a_client_that_a_change_does_not_reach_learns_of_it(
    stack: Stack,
    gateway: WebSocketGateway,
    wire: Wire,
    notify: Callable[..., list[str]],
    ping: Callable[[str], dict[str, Any]],
    way: Way,
) -> None:
    stack.connections.subscribe("client", None)
    for fault in way.faults:
        fault(gateway, wire)
    failed = notify(*states("a", Status.PENDING), *states("b", Status.PENDING), milliseconds=way.milliseconds)
    assert what_it_learns("client", gateway, ping) == way.learns
    assert failed == (["100"] if way.later else [])
    if way.later:
        gateway.failing.clear()
        assert notify(*states("a", Status.PENDING), *states("b", Status.PENDING)) == []
        assert what_it_learns("client", gateway, ping) == way.later


def test_after_a_change_that_it_was_not_told_of_a_client_is_in_nobodys_way(
    stack: Stack, gateway: WebSocketGateway, notify: Callable[..., list[str]]
) -> None:
    for name in ("here", "client"):
        stack.connections.subscribe(name, None)
    gateway.failing = gateway.failing_to_end = {"client"}
    assert notify(*states("a", Status.PENDING)) == []
    assert [one.connection_id for one in stack.connections.subscriptions()] == ["here"]
    # It came back, on the same connection or on another.
    gateway.failing = gateway.failing_to_end = set()
    stack.connections.subscribe("client", None)
    assert notify(*states("b", Status.PENDING)) == []
    assert gateway.updates("here") == [[("a", "PENDING", 1)], [("b", "PENDING", 1)]]
    assert gateway.updates("client") == [[("b", "PENDING", 1)]]


def test_a_client_that_subscribes_after_the_subscriptions_were_read_reads_the_change(
    stack: Stack, gateway: WebSocketGateway, wire: Wire, notify: Callable[..., list[str]]
) -> None:
    stack.connections.subscribe("here", None)
    read: list[Task] = []

    def subscribe_and_read() -> None:
        stack.connections.subscribe("late", None)
        read.append(stack.record("a"))

    wire.meanwhile("Query", stack.connections_table, subscribe_and_read)
    task = stack.submit("a", status=Status.PROCESSING, version=2)
    assert notify(task) == []
    assert gateway.updates("here") == [[("a", "PROCESSING", 2)]]
    assert gateway.updates("late") == []
    assert [(task.status, task.version) for task in read] == [(Status.PROCESSING, 2)]


def test_a_batch_that_was_killed_in_the_middle_is_pushed_as_a_whole(
    stack: Stack, gateway: WebSocketGateway, wire: Wire, notify: Callable[..., list[str]]
) -> None:
    for name in ("here", "failing"):
        stack.connections.subscribe(name, None)
    gateway.failing.add("failing")
    # What is left when the function is killed after the disconnection: nobody was told that it was successful.
    wire.refuse("DeleteItem", code="InternalServerError", times=3)
    notify(*states("a", Status.PENDING))
    assert gateway.ended == ["failing"]
    assert {one.connection_id for one in stack.connections.subscriptions()} == {"here", "failing"}
    assert notify(*states("a", Status.PENDING)) == []
    assert gateway.updates("here") == [[("a", "PENDING", 1)]] * 2
    assert [one.connection_id for one in stack.connections.subscriptions()] == ["here"]


@pytest.mark.parametrize(
    ("kind", "learns"),
    [
        ("slow", {"its end"}),
        ("slow to push to and to end", {"by its ping"}),
        ("slow but successful", {"the change", "its end"}),
        ("refused", {"by its ping"}),
    ],
)
def test_of_many_slow_clients_each_is_told(
    stack: Stack,
    gateway: WebSocketGateway,
    ping: Callable[[str], dict[str, Any]],
    kind: str,
    learns: set[str],
) -> None:
    names = [f"client-{n:03d}" for n in range(5 * CONCURRENCY)]
    for name in names:
        stack.connections.subscribe(name, None)
    match kind:
        case "slow but successful":
            gateway.seconds = dict.fromkeys(names, 1.4)
        case "refused":
            gateway.failing = gateway.failing_to_end = set(names)
        case _:
            gateway.slow = set(names)
            gateway.slow_to_end = set(names) if "end" in kind else set()
    client = client_of(gateway, read_timeout=2 if kind == "slow but successful" else 0.25)
    push = Gateway(client, stack.connections.unsubscribe).push
    # A second in which to push. The batch comes again as long as it is said to.
    for _ in range(4):
        if push({one.connection_id: [b"{}"] for one in stack.connections.subscriptions()}, Deadline(14_000)):
            break
    assert {what_it_learns(name, gateway, ping) for name in names} == learns


def test_when_time_is_short_it_is_not_always_the_same_clients_that_are_disconnected(
    gateway: WebSocketGateway,
) -> None:
    names = [f"client-{n:03d}" for n in range(3 * CONCURRENCY)]
    gateway.seconds = dict.fromkeys(names, 1.1)
    push = Gateway(client_of(gateway, read_timeout=2), forget=Mock()).push
    reached: list[set[str]] = []
    for _ in range(2):
        gateway.frames.clear()
        gateway.ended.clear()
        assert push({name: [b"{}"] for name in names}, Deadline(14_000))
        assert sorted([*gateway.frames, *gateway.ended]) == names
        reached.append({*gateway.frames})
    assert reached[0] != reached[1]


def test_a_client_that_was_pushed_a_part_when_time_ends_is_disconnected(gateway: WebSocketGateway) -> None:
    gateway.seconds = {"client": 1.1}
    push = Gateway(client_of(gateway, read_timeout=2), forget=Mock()).push
    assert push({"client": [b"1", b"2"]}, Deadline(14_000))
    assert gateway.frames == {"client": [b"1"]}
    assert gateway.ended == ["client"]


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
