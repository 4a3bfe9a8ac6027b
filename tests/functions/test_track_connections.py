"""What WebSocket clients ask for, and what they are answered."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from tasklib import clock

from .conftest import Stack, lambda_context
from .wire import FOREVER, Wire

Say = Callable[..., dict[str, Any]]


@pytest.fixture
def say(stack: Stack, load: Callable[[str], ModuleType]) -> Say:
    module = load("track_connections")

    def say(
        frame: object, connection_id: str = "c1", kind: str = "MESSAGE", route: str = "$default"
    ) -> dict[str, Any]:
        event = {
            "requestContext": {"eventType": kind, "routeKey": route, "connectionId": connection_id},
            "body": frame if isinstance(frame, str) else json.dumps(frame),
        }
        answer = module.handler(event, lambda_context())
        assert answer["statusCode"] == 200
        return json.loads(answer["body"])

    return say


def subscriptions(stack: Stack) -> dict[str, frozenset[str] | None]:
    return {one.connection_id: one.task_ids for one in stack.connections.subscriptions()}


def connect(module: ModuleType, query: dict[str, str] | None) -> int:
    """What the gateway is told about a client that connects to an address with this query."""
    event = {
        "requestContext": {"eventType": "CONNECT", "routeKey": "$connect", "connectionId": "c1"},
        "queryStringParameters": query,
        "body": "",
    }
    return module.handler(event, lambda_context())["statusCode"]


@pytest.fixture
def module(stack: Stack, load: Callable[[str], ModuleType]) -> ModuleType:
    return load("track_connections")


def items(stack: Stack) -> list[dict[str, Any]]:
    items: list[Any] = stack.dynamodb.scan(TableName=stack.connections_table, ConsistentRead=True)["Items"]
    return items


def test_a_ticket_lets_one_connection_in(stack: Stack, module: ModuleType) -> None:
    ticket, other = stack.connections.issue_ticket(), stack.connections.issue_ticket()
    assert connect(module, {"ticket": ticket}) == 200
    assert connect(module, {"ticket": ticket}) == 403
    assert len(items(stack)) == 1
    assert connect(module, {"ticket": other}) == 200
    assert items(stack) == []


@pytest.mark.parametrize("query", [None, {}, {"ticket": ""}, {"ticket": "made-up"}, {"ticket": "\ud800"}])
def test_without_a_ticket_nobody_gets_in(
    stack: Stack, module: ModuleType, query: dict[str, str] | None
) -> None:
    ticket = stack.connections.issue_ticket()
    assert connect(module, query) == 403
    assert connect(module, {"ticket": ticket}) == 200


def test_what_the_table_holds_of_a_ticket_is_none(stack: Stack, module: ModuleType) -> None:
    ticket = stack.connections.issue_ticket()
    [item] = items(stack)
    assert ticket not in json.dumps(item)
    assert connect(module, {"ticket": item["connectionId"]["S"]}) == 403


def test_a_connection_is_no_ticket(stack: Stack, module: ModuleType) -> None:
    stack.connections.subscribe("c1", None)
    assert connect(module, {"ticket": "c1"}) == 403
    assert subscriptions(stack) == {"c1": None}


def test_a_ticket_is_good_for_half_a_minute_though_its_item_is_still_there(
    stack: Stack, module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = clock.now()
    first, second = stack.connections.issue_ticket(), stack.connections.issue_ticket()
    monkeypatch.setattr(clock, "now", lambda: now + 28_000)
    assert connect(module, {"ticket": first}) == 200
    monkeypatch.setattr(clock, "now", lambda: now + 31_000)
    assert connect(module, {"ticket": second}) == 403
    assert len(items(stack)) == 1


def test_tickets_are_no_subscriptions(stack: Stack) -> None:
    stack.connections.issue_ticket()
    assert subscriptions(stack) == {}


def test_nobody_gets_in_while_aws_does_not_answer(stack: Stack, module: ModuleType, wire: Wire) -> None:
    ticket = stack.connections.issue_ticket()
    wire.refuse("DeleteItem", code="InternalServerError", times=FOREVER)
    assert connect(module, {"ticket": ticket}) == 503


def test_a_ticket_is_in_no_log_line(
    stack: Stack,
    module: ModuleType,
    wire: Wire,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    ticket = stack.connections.issue_ticket()
    assert [connect(module, {"ticket": ticket}) for _ in range(2)] == [200, 403]
    wire.refuse("DeleteItem", code="InternalServerError", times=FOREVER)
    assert connect(module, {"ticket": ticket}) == 503
    lines = [str(vars(record)) for record in caplog.records]
    assert any("no answer from AWS" in line for line in lines)
    assert ticket not in "".join([*lines, *capfd.readouterr()])


def test_a_client_subscribes_to_all_tasks_or_to_some_and_unsubscribes(stack: Stack, say: Say) -> None:
    assert say({"action": "subscribe"}) == {"subscribed": "all"}
    assert say({"action": "subscribe", "taskIds": ["a", "b", "a"]}, "c2") == {"subscribed": ["a", "b"]}
    assert subscriptions(stack) == {"c1": None, "c2": {"a", "b"}}
    assert say({"action": "subscribe", "taskIds": ["c"]}) == {"subscribed": ["c"]}
    assert say({"action": "subscribe"}, "c2") == {"subscribed": "all"}
    assert subscriptions(stack) == {"c1": {"c"}, "c2": None}
    assert say({"action": "unsubscribe"}) == {"unsubscribed": True}
    assert say({"action": "unsubscribe"}) == {"unsubscribed": True}
    assert subscriptions(stack) == {"c2": None}


def test_a_ping_is_answered_with_whether_the_connection_is_subscribed(stack: Stack, say: Say) -> None:
    assert say({"action": "ping"}) == {"pong": True, "isSubscribed": False}
    say({"action": "subscribe", "taskIds": ["a"]})
    assert say({"action": "ping"}) == {"pong": True, "isSubscribed": True}
    assert say({"action": "ping"}, "c2") == {"pong": True, "isSubscribed": False}
    # As notify-clients does when it cannot push.
    stack.connections.unsubscribe("c1")
    assert say({"action": "ping"}) == {"pong": True, "isSubscribed": False}
    say({"action": "subscribe"})
    say({"action": "unsubscribe"})
    assert say({"action": "ping"}) == {"pong": True, "isSubscribed": False}


def test_a_ping_costs_one_consistent_read(say: Say, wire: Wire) -> None:
    say({"action": "ping"})
    assert wire.calls() == {"GetItem": 1}
    [call] = wire.bodies("GetItem")
    assert call["ConsistentRead"] is True


def test_a_connection_that_has_ended_is_forgotten(stack: Stack, say: Say) -> None:
    say({"action": "subscribe"})
    say({"action": "subscribe"}, "c2")
    say("", kind="DISCONNECT")
    say("", "never subscribed", kind="DISCONNECT")
    assert subscriptions(stack) == {"c2": None}


def test_a_subscription_ends_by_itself_some_time_after_its_connection_must_have(
    stack: Stack, say: Say
) -> None:
    say({"action": "subscribe"})
    (item,) = stack.dynamodb.scan(TableName=stack.connections_table)["Items"]
    left = int(item["expiresAt"].get("N", 0)) * 1000 - clock.now()
    assert 2 * 3_600_000 < left < 3 * 3_600_000


@pytest.mark.parametrize("route", ["$connect", "$disconnect"])
def test_a_frame_that_names_a_route_of_the_gateway_is_a_frame(stack: Stack, say: Say, route: str) -> None:
    say({"action": "subscribe"})
    answer = say({"action": route}, route=route)
    assert answer["problem"]["errors"][0]["field"] == "action"
    assert subscriptions(stack) == {"c1": None}


@pytest.mark.parametrize(
    ("frame", "field", "message"),
    [
        ("nonsense", "body", "is not JSON"),
        ("", "body", "is not JSON"),
        ("[" * 100_000, "body", "is not JSON: it nests too deep"),
        ("\ud800", "body", "is not JSON: it is not UTF-8"),
        ("1e999", "body", "is a number that would be stored as another one"),
        ('{"action": "ping", "action": "ping"}', "action", "is there more than once"),
        (
            '{"action": "subscribe", "taskIds": ["a", 1e999]}',
            "taskIds[1]",
            "is a number that would be stored",
        ),
        ('{"action": [[{"a": 1, "a": 1}]]}', "action", "is an array; it must be subscribe"),
        ("[]", "body", "is an array; it must be a JSON object"),
        ("{}", "action", "is missing; it must be subscribe, unsubscribe or ping"),
        ({"action": "shout"}, "action", "is 'shout'; it must be subscribe, unsubscribe or ping"),
        ({"action": 1}, "action", "is 1; it must be subscribe, unsubscribe or ping"),
        ({"action": "ping", "taskIds": ["a"]}, "taskIds", "is not a field of a frame that asks to ping"),
        ({"action": "subscribe", "ids": []}, "ids", "is not a field of a frame that asks to subscribe"),
        ({"action": "subscribe", "taskIds": "a"}, "taskIds", "is a string; it must be an array of 1 to 100"),
        ({"action": "subscribe", "taskIds": None}, "taskIds", "is null; it must be an array of 1 to 100"),
        ({"action": "subscribe", "taskIds": []}, "taskIds", "holds 0 task IDs; it must be 1 to 100"),
        ({"action": "subscribe", "taskIds": ["a"] * 101}, "taskIds", "holds 101 task IDs"),
        ({"action": "subscribe", "taskIds": ["a", "b c"]}, "taskIds[1]", "is 'b c'; it must be 1 to 128 of"),
        ({"action": "subscribe", "taskIds": [7]}, "taskIds[0]", "is 7; it must be 1 to 128 of"),
    ],
)
def test_a_bad_frame_is_answered_with_what_is_wrong(
    stack: Stack, say: Say, frame: object, field: str, message: str
) -> None:
    problem = say(frame)["problem"]
    assert problem["status"] == 400
    (error,) = problem["errors"]
    assert error["field"] == field
    assert error["message"].startswith(message)
    assert subscriptions(stack) == {}


def test_the_answer_to_a_bad_frame_fits_into_one(say: Say) -> None:
    names = {f"{number}{chr(0x1F4A5)}": 1 for number in range(900)}
    answer = say({"action": "ping", **names})
    assert answer["problem"]["errors"][-1]["message"] == "has 890 more errors"
    assert len(json.dumps(answer)) < 8_000


def test_the_answer_to_a_frame_of_repeated_names_fits_into_one(say: Say) -> None:
    names = ",".join(f'"{number}{chr(0x1F4A5)}":1' for number in range(900))
    answer = say(f'{{"action":"ping",{names},{names}}}')
    assert answer["problem"]["errors"][-1]["message"] == "has 890 more errors"
    assert len(json.dumps(answer)) < 8_000


def test_without_an_answer_of_aws_the_client_may_ask_again(stack: Stack, say: Say, wire: Wire) -> None:
    for operation in ("PutItem", "GetItem"):
        wire.refuse(operation, code="InternalServerError", times=FOREVER)
    for action in ("subscribe", "ping"):
        problem = say({"action": action})["problem"]
        assert (problem["status"], problem["title"]) == (503, "Service Unavailable")
    assert subscriptions(stack) == {}
