"""A WebSocket client of a stack, as its parts see it: where to connect, a connection, its frames."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.waiting import PATIENCE_SECONDS

from .conftest import LocalStack


def address(stack: LocalStack) -> str:
    """Where to connect, good for one connection."""
    answer = stack.http.post("/live", json={})
    assert answer.status_code == 200, answer.text
    return answer.json()["webSocketUrl"]


@contextmanager
def connected(stack: LocalStack) -> Generator[ClientConnection]:
    """A client that has asked where to connect, as each does."""
    with connect(address(stack)) as connection:
        yield connection


def ask(connection: ClientConnection, **frame: Any) -> dict[str, Any]:
    """The answer to a frame; updates that come before it are left out."""
    connection.send(json.dumps(frame))
    while True:
        answer = receive(connection)
        if "updates" not in answer:
            return answer


def receive(connection: ClientConnection) -> dict[str, Any]:
    return json.loads(connection.recv(PATIENCE_SECONDS))
