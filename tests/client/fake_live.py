"""A WebSocket server on 127.0.0.1 that speaks the API's live updates, and misbehaves on request.

It runs in threads of the test's own process, so a test reads what it saw and decides what it sends next.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve


@dataclass
class Peer:
    """A client's connection, and the frames that came from it."""

    connection: ServerConnection
    path: str
    host: str
    frames: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    subscribed: bool = False
    gone: bool = False

    def send(self, *frames: object) -> None:
        for frame in frames:
            self.connection.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))

    def push(self, *updates: dict[str, Any]) -> None:
        self.send({"updates": updates})

    def drop(self) -> None:
        """End the connection without a word."""
        self.connection.socket.shutdown(2)

    def count(self, action: str) -> int:
        return sum(frame["action"] == action for frame in self.frames)


#: Answers a frame in place of the API, or does worse.
Reply = Callable[[Peer, dict[str, Any]], None]


class FakeLive:
    """The server and its knobs.

    Attributes:
        peers: every connection, in order.
        handshakes: statuses to refuse connections with: each is used once, in order; None takes the connection.
        replies: by action, what to do instead of answering: each is used once, in order.
        always: by action, what to do with every further frame.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.peers: list[Peer] = []
        self.handshakes: deque[int | None] = deque()
        self.replies: dict[str, deque[Reply]] = {"subscribe": deque(), "ping": deque()}
        self.always: dict[str, Reply] = {}
        self.changed = threading.Condition()
        self._server = serve(
            self._handle,
            "127.0.0.1",
            0,
            process_request=self._refuse,
            ssl=tls,
            compression=None,
            ping_interval=None,
            close_timeout=1,
        )
        self.port: int = self._server.socket.getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}/live"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        for peer in self.peers:
            if not peer.gone:
                peer.drop()
        self._thread.join()

    def wait_until(self, condition: Callable[[], bool], seconds: float = 20) -> None:
        """Wait until a connection or a frame has made `condition` true."""
        with self.changed:
            assert self.changed.wait_for(condition, seconds), f"not so within {seconds} s"

    def subscriber(self, number: int = 1) -> Peer:
        """The connection of this number, from 1, once it has subscribed."""
        self.wait_until(lambda: len(self.peers) >= number and self.peers[number - 1].subscribed)
        return self.peers[number - 1]

    def _refuse(self, connection: ServerConnection, _: Request) -> Response | None:
        with self.changed:
            status = self.handshakes.popleft() if self.handshakes else None
        if status is None:
            return None
        response = connection.respond(HTTPStatus(status), json.dumps({"message": "no \x1b[31mway"}))
        response.headers["Location"] = "ws://127.0.0.1:1/elsewhere"
        return response

    def _handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        peer = Peer(connection, connection.request.path, connection.request.headers["Host"])
        with self.changed:
            self.peers.append(peer)
            self.changed.notify_all()
        try:
            for message in connection:
                self._take(peer, json.loads(message))
        except (ConnectionClosed, OSError):
            pass
        finally:
            with self.changed:
                peer.gone = True
                self.changed.notify_all()

    def _take(self, peer: Peer, frame: dict[str, Any]) -> None:
        action = frame["action"]
        with self.changed:
            peer.frames.append(frame)
            replies = self.replies[action]
            reply = replies.popleft() if replies else self.always.get(action, answer)
        reply(peer, frame)
        with self.changed:
            self.changed.notify_all()


def answer(peer: Peer, frame: dict[str, Any]) -> None:
    """No fault: the API's own answer."""
    match frame["action"]:
        case "subscribe":
            peer.subscribed = True
            peer.send({"subscribed": frame.get("taskIds", "all")})
        case "ping":
            peer.send({"pong": True, "isSubscribed": True})
        case _:
            peer.send({"problem": {"status": 400, "title": "Bad Request", "detail": "no such action"}})


def say(*frames: object) -> Reply:
    """These frames in place of the answer."""
    return lambda peer, _: peer.send(*frames)


def silence(_peer: Peer, _frame: dict[str, Any]) -> None:
    """No answer."""


def drop(peer: Peer, _frame: dict[str, Any]) -> None:
    """No answer but the end of the connection."""
    peer.drop()


UNAVAILABLE = {
    "problem": {"type": "about:blank", "title": "Service Unavailable", "status": 503, "detail": "x"}
}
BAD_FRAME = {
    "problem": {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "x",
        "errors": [{"field": "taskIds", "message": "is wrong"}],
    }
}
GATEWAY_ERROR = {"message": "Internal server error", "connectionId": "c1=", "requestId": "r1="}
