"""A receiver of webhooks that fails, is slow and redirects, and the secret that their deliveries are signed with."""

from __future__ import annotations

import base64
import random
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

KEY: Final = bytes(range(32))
SECRET: Final = f"whsec_{base64.b64encode(KEY).decode()}"


@dataclass
class Request:
    """A delivery as it came, and what was answered: `ok`, `busy`, `slow` or where it was sent on to."""

    headers: dict[str, str]
    body: bytes
    answered: str


@dataclass
class Receiver:
    """Takes deliveries to `/<what it may do>/<task>`; the dice are loaded, so each run of the test is the same."""

    elsewhere: tuple[str, ...]
    requests: dict[str, list[Request]] = field(default_factory=dict[str, list[Request]])

    def __post_init__(self) -> None:
        receiver = self
        self._lock = threading.Lock()
        self._closing = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                _, kind, task_id = self.path.split("/")
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                with suppress(OSError):
                    self._answer(receiver.receive(kind, task_id, headers, body))

            def _answer(self, answered: str) -> None:
                if answered == "slow":
                    receiver.wait(2)
                redirects = answered.startswith("http")
                self.send_response({"busy": 503}.get(answered, 307 if redirects else 200))
                if redirects:
                    self.send_header("location", answered)
                self.send_header("content-length", "6")
                self.end_headers()
                self.wfile.write(b"thanks")

            def log_message(self, format: str, *args: Any) -> None:
                """Says nothing."""

        class Server(ThreadingHTTPServer):
            request_queue_size = 256
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def receive(self, kind: str, task_id: str, headers: dict[str, str], body: bytes) -> str:
        """Keeps a request and says what becomes of it."""
        with self._lock:
            past = self.requests.setdefault(task_id, [])
            dice = random.Random(f"{task_id} {len(past)}")
            throw = dice.random()
            answered = kind
            if kind == "any":
                answered = "busy" if throw < 0.3 else dice.choice(self.elsewhere) if throw < 0.35 else "ok"
            past.append(Request(headers, body, answered))
            return answered

    def wait(self, seconds: float) -> None:
        """Takes its time, until the test ends."""
        self._closing.wait(seconds)

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
