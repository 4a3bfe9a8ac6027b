"""CloudWatch Logs on the wire, for what the emulator does not do: pages with tokens, IDs of events, errors."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast


class FakeLogs:
    """The server.

    Attributes:
        events: by log group, in the order in which they are sent, two a page; a None is a page of its own without
            any.
        requests: what each reading asked for.
        refusals: answers instead: status, code, message; each is used once, in order.
    """

    def __init__(self) -> None:
        self.events: dict[str, list[dict[str, Any] | None]] = {}
        self.requests: list[dict[str, Any]] = []
        self.refusals: list[tuple[int, str, str]] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.logs = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def put(self, group: str, event_id: str, timestamp: int, message: str) -> None:
        event = {"logStreamName": "s", "eventId": event_id, "timestamp": timestamp, "message": message}
        self.events.setdefault(group, []).append(event)

    def answer(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        start = int(request.get("nextToken", 0))
        if operation == "DescribeLogGroups":
            names = sorted(name for name in self.events if name.startswith(request["logGroupNamePrefix"]))
            page = [{"logGroupName": name} for name in names[start : start + 1]]
            return {"logGroups": page} | ({"nextToken": str(start + 1)} if start + 1 < len(names) else {})
        self.requests.append(request)
        events = self.events[request["logGroupName"]]
        page = [event for event in events[start : start + 2] if event is not None]
        end = request.get("endTime", math.inf)
        new = [event for event in page if request["startTime"] <= event["timestamp"] <= end]
        return {"events": new} | ({"nextToken": str(start + 2)} if start + 2 < len(events) else {})


class _Server(ThreadingHTTPServer):
    logs: FakeLogs
    daemon_threads = True


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        logs = cast("_Server", self.server).logs
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if logs.refusals:
            status, code, message = logs.refusals.pop(0)
            self._send(status, {"__type": code, "message": message})
        else:
            self._send(200, logs.answer(self.headers["x-amz-target"].partition(".")[2], request))

    def _send(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    log_message: Callable[..., None] = lambda *_: None
