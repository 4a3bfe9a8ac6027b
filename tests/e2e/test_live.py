"""Live updates from end to end: real WebSocket clients of a running stack."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.sync.client import ClientConnection as SyncConnection

from tests.waiting import PATIENCE_SECONDS, wait_for

from . import scenarios
from .conftest import LocalStack, running
from .live_client import address, ask, connected, receive

pytestmark = pytest.mark.xdist_group("live")

CLIENTS, KILLED, TASKS = 50, 10, 200


@pytest.fixture(scope="module")
def reliable(tmp_path_factory: pytest.TempPathFactory) -> Generator[LocalStack]:
    """A stack of this module's own: whoever reads the log of one waits for all that was ever called in it."""
    with running(tmp_path_factory.mktemp("live") / "log", "failureRate=0", "backoffBaseSeconds=1") as stack:
        yield stack


def updates_until(connection: SyncConnection, task_id: str, status: str) -> list[dict[str, Any]]:
    """The updates up to the one that says this."""
    updates: list[dict[str, Any]] = []
    while not updates or (updates[-1]["taskId"], updates[-1]["status"]) != (task_id, status):
        updates += receive(connection)["updates"]
    return updates


def test_a_task_is_followed_from_its_submission_to_its_end(reliable: LocalStack) -> None:
    with connected(reliable) as connection:
        assert ask(connection, action="subscribe") == {"subscribed": "all"}
        reliable.submit("followed", payload={"seconds": 1})
        updates = updates_until(connection, "followed", "COMPLETED")
    mine = [update for update in updates if update["taskId"] == "followed"]
    versions = [update["version"] for update in mine]
    assert versions == sorted(set(versions))
    assert mine[-2]["status"] == "PROCESSING"
    task = reliable.task("followed")
    known = {name: task[name] for name in mine[-1]}
    assert mine[-1] == known
    assert mine[-1].keys() == {
        *("taskId", "type", "status", "run", "attempts", "version", "createdAt", "updatedAt"),
    }


def test_a_client_hears_of_the_tasks_that_it_named_and_no_other(reliable: LocalStack) -> None:
    with connected(reliable) as connection:
        assert ask(connection, action="subscribe", taskIds=["named"]) == {"subscribed": ["named"]}
        reliable.submit("not-named")
        reliable.finished("not-named")
        reliable.submit("named")
        updates = updates_until(connection, "named", "COMPLETED")
        assert {update["taskId"] for update in updates} == {"named"}
        assert ask(connection, action="unsubscribe") == {"unsubscribed": True}
        reliable.submit("unheard-of")
        reliable.finished("unheard-of")
        # What was pushed before would come before the answer.
        connection.send('{"action": "ping"}')
        assert receive(connection) == {"pong": True, "isSubscribed": False}


def test_a_client_whose_subscription_was_removed_learns_it_from_its_ping(reliable: LocalStack) -> None:
    scenarios.pings_tell_who_is_subscribed(reliable, wait_for)


def test_a_bad_frame_is_answered_and_ends_nothing(reliable: LocalStack) -> None:
    with connected(reliable) as connection:
        connection.send("<nonsense>")
        problem = receive(connection)["problem"]
        assert (problem["status"], problem["errors"][0]["field"]) == (400, "body")
        for frame in (b"\xff\xfe", "[" * 100_000, '{"action": "$connect"}', '{"action": "$disconnect"}'):
            connection.send(frame)
            assert receive(connection)["problem"]["status"] == 400
        assert ask(connection, action="ping") == {"pong": True, "isSubscribed": False}


@pytest.mark.long
def test_fifty_clients_see_the_end_of_every_task_though_ten_are_killed(reliable: LocalStack) -> None:
    asyncio.run(fifty_clients(reliable))
    # Whoever left is forgotten: the gateway told of it, or a push found it gone.
    wait_for(lambda: connections(reliable) == 0, "an empty table of connections")


def connections(stack: LocalStack) -> int:
    """How many connections the stack believes to be subscribed."""
    return stack.dynamodb.query(
        TableName=stack.table.replace("-tasks", "-connections"),
        KeyConditionExpression="#state = :subscribed",
        ExpressionAttributeNames={"#state": "state"},
        ExpressionAttributeValues={":subscribed": {"S": "subscribed"}},
    )["Count"]


async def fifty_clients(stack: LocalStack) -> None:
    ended: list[set[str]] = [set() for _ in range(CLIENTS)]
    some_have_ended = asyncio.Event()

    async def listen(client: ClientConnection, mine: set[str]) -> None:
        async for frame in client:
            assert len(frame) <= 32 * 1024
            for update in json.loads(frame).get("updates", []):
                if update["status"] == "COMPLETED":
                    mine.add(update["taskId"])
            if len(mine) >= TASKS // 4:
                some_have_ended.set()
            if len(mine) == TASKS:
                return

    async with AsyncExitStack() as connections, asyncio.timeout(PATIENCE_SECONDS):
        clients = [await connections.enter_async_context(connect(address(stack))) for _ in range(CLIENTS)]
        for client in clients:
            await client.send('{"action": "subscribe"}')
            assert json.loads(await client.recv()) == {"subscribed": "all"}
        listening = [
            asyncio.create_task(listen(client, mine)) for client, mine in zip(clients, ended, strict=True)
        ]
        for _ in range(TASKS // 100):
            body = {"tasks": [{"payload": {"seconds": 0}}] * 100}
            answer = await asyncio.to_thread(stack.http.post, "/tasks/batch", json=body)
            assert {result["status"] for result in answer.json()["results"]} == {202}
        await some_have_ended.wait()
        for client, task in zip(clients[:KILLED], listening[:KILLED], strict=True):
            task.cancel()
            client.transport.abort()
        await asyncio.gather(*listening[KILLED:])
    assert all(len(mine) == TASKS for mine in ended[KILLED:])
