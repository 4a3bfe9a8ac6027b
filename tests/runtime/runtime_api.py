"""A stand-in for the Lambda Runtime API of one execution environment, and for the credentials that SnapStart gives it.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from typing import Any, Literal, NamedTuple, Self

_VERSION = "/2018-06-01/runtime"
_CREDENTIALS = "/credentials"

#: X-Ray's, of every invocation.
TRACE_ID = "1-5bef4de7-ad49b0e87f6ef6c87fc2e700"

_ARN = "arn:aws:lambda:eu-north-1:123456789012:function:tests"


class Invocation(NamedTuple):
    """An event for the function, and when its invocation ends, in milliseconds since 1970."""

    request_id: str
    event: bytes
    deadline: int


class Report(NamedTuple):
    """What the runtime client told: an invocation's response or error, or that the start or the restore failed."""

    kind: Literal["response", "error", "init", "restore"]
    request_id: str
    body: Any
    error_type: str | None


class RuntimeApi:
    """Hands out the events of an execution environment, one at a time, and keeps what comes back.

    Attributes:
        address: Host and port.
        reports: What the client told.
        is_snapshot_due: The client has finished its start and waits until it is restored.
        credentials_given: How often somebody fetched the credentials of the restored environment.
    """

    def __init__(self) -> None:
        self.reports: SimpleQueue[Report] = SimpleQueue()
        self.is_snapshot_due = threading.Event()
        self.credentials_given = 0
        self.token = str(uuid.uuid4())
        self._invocations: SimpleQueue[Invocation | None] = SimpleQueue()
        self._restored = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.address = f"127.0.0.1:{self._server.server_port}"
        self.credentials_url = f"http://{self.address}{_CREDENTIALS}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._invocations.put(None)
        self._restored.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def send(self, event: object, milliseconds: int) -> str:
        """Hand an event to the function, whose invocation ends after this time. Returns the invocation's ID."""
        request_id = str(uuid.uuid4())
        deadline = time.time_ns() // 1_000_000 + milliseconds
        self._invocations.put(Invocation(request_id, json.dumps(event).encode(), deadline))
        return request_id

    def restore(self) -> None:
        """Go on from the snapshot."""
        self._restored.set()

    def next_invocation(self) -> Invocation | None:
        """Wait for the next event; None when there will be none."""
        return self._invocations.get()

    def take_snapshot(self) -> None:
        """Wait until the environment is restored."""
        self.is_snapshot_due.set()
        self._restored.wait()

    def credentials(self) -> dict[str, str]:
        """The credentials of the function's role. Those of the snapshot have expired when it is restored."""
        is_restored = self._restored.is_set()
        self.credentials_given += is_restored
        name = "restored" if is_restored else "snapshot"
        expiration = datetime.now(UTC) + (timedelta(hours=6) if is_restored else timedelta())
        return {
            "AccessKeyId": name,
            "SecretAccessKey": name,
            "Token": name,
            "Expiration": expiration.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients are killed in the middle of requests; what else goes wrong, they notice."""


def _handler(api: RuntimeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            match self.path.removeprefix(_VERSION):
                case "/invocation/next":
                    if invocation := api.next_invocation():
                        headers = {
                            "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
                            "Lambda-Runtime-Deadline-Ms": str(invocation.deadline),
                            "Lambda-Runtime-Invoked-Function-Arn": _ARN,
                            "Lambda-Runtime-Trace-Id": f"Root={TRACE_ID};Sampled=0",
                        }
                        self._answer(200, invocation.event, headers)
                case "/restore/next":
                    api.take_snapshot()
                    self._answer(200, b"")
                case path if path == _CREDENTIALS and self.headers["authorization"] == api.token:
                    self._answer(200, json.dumps(api.credentials()).encode())
                case _:
                    self._answer(404, b"")

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            error_type = self.headers["Lambda-Runtime-Function-Error-Type"]
            match self.path.removeprefix(_VERSION).split("/"):
                case ["", "invocation", request_id, "response" | "error" as kind]:
                    api.reports.put(Report(kind, request_id, body, error_type))
                    self._answer(202, b"{}")
                case ["", "init" | "restore" as phase, "error"]:
                    api.reports.put(Report(phase, "", body, error_type))
                    self._answer(202, b"{}")
                case _:
                    self._answer(404, b"")

        def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"content-type": "application/json", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Keeps the test's output clean."""

    return Handler
