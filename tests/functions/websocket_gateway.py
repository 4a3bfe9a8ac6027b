"""The gateway's side of a push: a real server for `@connections`, which behaves as each connection is told to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from tests.waiting import PATIENCE_SECONDS, wait_for


class WebSocketGateway:
    """Keeps what was pushed to each connection.

    A connection can be `gone`, can be `failing` (of which the function may end it), or be `slow`: its push is answered
    when `let_go` is called. A push can also take some `seconds` and succeed. The end of a connection can be
    `failing_to_end` or `slow_to_end`.
    """

    def __init__(self) -> None:
        self.frames: dict[str, list[bytes]] = {}
        self.ended: list[str] = []
        self.gone: set[str] = set()
        self.failing: set[str] = set()
        self.slow: set[str] = set()
        self.seconds: dict[str, float] = {}
        self.failing_to_end: set[str] = set()
        self.slow_to_end: set[str] = set()
        self._let_go = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/live"

    def updates(self, connection_id: str) -> list[list[tuple[str, str, int]]]:
        """What a connection was told, frame by frame: IDs, states and versions."""
        frames = [json.loads(frame)["updates"] for frame in self.frames.get(connection_id, [])]
        return [
            [(update["taskId"], update["status"], update["version"]) for update in frame] for frame in frames
        ]

    def wait_for_frames(self, connection_id: str) -> list[bytes]:
        """What was pushed to a connection, once it is anything."""
        return wait_for(lambda: self.frames.get(connection_id), f"a frame for {connection_id}")

    def let_go(self) -> None:
        """Answer the pushes to slow connections."""
        self._let_go.set()

    def push(self, connection_id: str, frame: bytes) -> int:
        """Take a frame; returns the HTTP status."""
        if connection_id in self.slow:
            assert self._let_go.wait(PATIENCE_SECONDS)
        time.sleep(self.seconds.get(connection_id, 0))
        if connection_id in self.gone or connection_id in self.ended:
            return 410
        if connection_id in self.failing:
            return 500
        self.frames.setdefault(connection_id, []).append(frame)
        return 200

    def end(self, connection_id: str) -> int:
        """End a connection; returns the HTTP status."""
        if connection_id in self.slow_to_end:
            assert self._let_go.wait(PATIENCE_SECONDS)
        if connection_id in self.failing_to_end:
            return 500
        if connection_id in self.gone or connection_id in self.ended:
            return 410
        self.ended.append(connection_id)
        return 204

    def close(self) -> None:
        """Stop serving."""
        self.let_go()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    """Takes as many connections at once as a gateway does: where the queue of new ones is full, they wait a second."""

    request_queue_size = 256


def _handler(gateway: WebSocketGateway) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            self._answer(lambda connection_id: gateway.push(connection_id, body))

        def do_DELETE(self) -> None:
            self._answer(gateway.end)

        def _answer(self, act: Callable[[str], int]) -> None:
            prefix, _, connection_id = self.path.rpartition("/")
            status = act(unquote(connection_id)) if prefix == "/live/@connections" else 404
            body = json.dumps({"message": "told to"}).encode() if status >= 400 else b""
            self.send_response(status)
            if status == 410:
                self.send_header("x-amzn-errortype", "GoneException")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Keeps the test's output clean."""

    return Handler
