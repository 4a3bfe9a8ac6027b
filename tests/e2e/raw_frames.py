"""A WebSocket client that sends what it is given, whether it is a frame or not."""

from __future__ import annotations

import json
import socket
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.waiting import PATIENCE_SECONDS

from .bad_frames import BadFrame, Then
from .conftest import LocalStack
from .live_client import address, ask

_PONG = json.dumps({"pong": True, "isSubscribed": True}, separators=(",", ":"))


class Heard(NamedTuple):
    """What came back after a frame."""

    frame: BadFrame
    said: Sequence[str]  #: messages
    closed: bool  #: whether the server ended the connection
    opened: bool  #: whether the frame was the first of its connection


def converse(stack: LocalStack, frames: Iterable[BadFrame]) -> list[Heard]:
    """Sends the frames one by one, over a new connection whenever one has ended, each with a good subscription.

    The last connection, and one that waits for the rest of a frame, end without a word.
    """
    left, heard = deque(frames), list[Heard]()
    while left:
        with connect(address(stack)) as connection:
            task_ids = [f"task-{place}" for place in range(100)]
            assert ask(connection, action="subscribe", taskIds=task_ids) == {"subscribed": task_ids}
            opened = True
            while left:
                heard.append(_say(connection, left.popleft(), opened=opened))
                opened = False
                if heard[-1].closed or heard[-1].frame.then is Then.WAIT:
                    break
            if not heard[-1].closed:
                with suppress(OSError):  # closed in the meantime by the server
                    connection.socket.shutdown(socket.SHUT_RDWR)
    return heard


def _say(connection: ClientConnection, frame: BadFrame, *, opened: bool) -> Heard:
    said: list[str] = []
    try:
        connection.socket.sendall(frame.wire)
        if frame.then in (Then.ANSWER, Then.NOTHING):
            # What is answered to this comes after what is answered to the frame.
            connection.send('{"action": "ping"}')
        while frame.then is not Then.WAIT:
            message = connection.recv(PATIENCE_SECONDS)
            if message == _PONG:
                break
            said.append(str(message))
    except (ConnectionClosed, ConnectionError):
        return Heard(frame, said, closed=True, opened=opened)
    return Heard(frame, said, closed=False, opened=opened)
