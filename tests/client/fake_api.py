"""A server on 127.0.0.1 that speaks the tasks API as a client sees it, and misbehaves on request.

It runs in threads of the test's own process, so a test reads what it saw and decides what it does next.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit

#: Answers a request in place of the API, or does worse.
Fault = Callable[["Handler"], None]

FIELDS = {"taskId", "type", "answer", "payload", "delaySeconds", "runAt"}

UPDATE_FIELDS = {
    *("taskId", "type", "status", "run", "attempts", "errorMessage", "version", "createdAt", "updatedAt")
}

MAX_BATCH = 100

#: A list and a batch leave out data of more bytes of JSON than this.
MAX_SHOWN = 1024


@dataclass
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    host: str
    body: Any
    authorization: str | None = None
    at: float = field(default_factory=time.perf_counter)


@dataclass
class Stored:
    """A task on the server, and when its processing really ended (`time.perf_counter`)."""

    number: int
    fields: dict[str, Any]
    polls: int = 0
    finished_at: float | None = None


class FakeApi:
    """The server and its knobs.

    Attributes:
        polls_to_finish: a task is finished from this poll on; None: it never is.
        seconds_to_finish: if set, tasks finish by the clock instead.
        ending: status and attempts of a finished task, by its number from 0.
        faults: by method, what to do instead of answering: each is used once, in order.
        always: by method, what to do with every further request.
        refusals: problems for tasks of batches: each is used once, in order; None accepts its task.
        barrier: if set, every POST waits there before it is answered.
        live_url: what POST /live answers, with the number of the answer as its ticket; None: there is no such path.
        seen: every request, in order.
        connections: how many were opened.
        most_at_once: the largest number of requests that were under way together.
    """

    def __init__(self) -> None:
        self.polls_to_finish: int | None = 1
        self.seconds_to_finish: float | None = None
        self.ending: Callable[[int], tuple[str, int]] = lambda _: ("COMPLETED", 1)
        self.faults: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self.always: dict[str, Fault] = {}
        self.refusals: deque[dict[str, Any] | None] = deque()
        self.barrier: threading.Barrier | None = None
        self.prefix = ""
        self.live_url: str | None = None
        self.tickets = 0
        self.seen: list[Seen] = []
        self.stored: dict[str, Stored] = {}
        self.connections = 0
        self.most_at_once = 0
        self.at_once = 0
        self.changed = threading.Condition()
        self.closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.api = self
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self.closing.set()
        if self.barrier is not None:
            self.barrier.abort()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def requests(self, method: str) -> list[Seen]:
        with self.changed:
            return [seen for seen in self.seen if seen.method == method]

    def wait_until(self, condition: Callable[[], bool], seconds: float = 20) -> None:
        """Wait until a request has made `condition` true."""
        with self.changed:
            assert self.changed.wait_for(condition, seconds), f"not so within {seconds} s"

    def answer(self, handler: Handler, method: str, path: str, body: Any) -> None:
        url = urlsplit(path.removeprefix(self.prefix))
        match method, [unquote(segment) for segment in url.path.strip("/").split("/")]:
            case "POST", ["tasks"]:
                self._submit(handler, body)
            case "POST", ["tasks", "batch"]:
                self._submit_batch(handler, body)
            case "POST", ["tasks", task_id, "retry"]:
                self.retry(task_id)(handler)
            case "POST", ["live"] if self.live_url is not None:
                self.tickets += 1
                handler.send(200, {"webSocketUrl": f"{self.live_url}?ticket={self.tickets}"})
            case "DELETE", ["tasks", task_id]:
                self.cancel(task_id)(handler)
            case "GET", ["tasks"]:
                self._list(handler, {name: values[0] for name, values in parse_qs(url.query).items()})
            case "GET", ["tasks", task_id] if task_id in self.stored:
                handler.send(200, self._poll(self.stored[task_id]))
            case _:
                problem(404, "Not found")(handler)

    def store(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Accept a task as POST /tasks does: 202 when it is new."""
        with self.changed:
            known = self.stored.get(body["taskId"])
            if known is not None:
                return 200, known.fields
            now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            fields: dict[str, Any] = {
                "type": "simulate",
                **body,
                "status": "PENDING",
                "attempts": 0,
                "retries": 0,
            }
            fields |= {"run": 1, "version": 1, "createdAt": now, "updatedAt": now}
            if "delaySeconds" in fields:
                start = datetime.now(UTC) + timedelta(seconds=fields.pop("delaySeconds"))
                fields["runAt"] = start.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            self.stored[body["taskId"]] = Stored(len(self.stored), fields)
            if self.seconds_to_finish is not None:
                timer = threading.Timer(self.seconds_to_finish, self._finish, [self.stored[body["taskId"]]])
                timer.daemon = True
                timer.start()
            return 202, fields

    def store_failed(self, *task_ids: str) -> None:
        """Have tasks that ended FAILED, the last one the newest."""
        for task_id in task_ids:
            self.store({"taskId": task_id, "answer": "x"})
            self.stored[task_id].fields |= {"status": "FAILED", "attempts": 3, "retries": 2}

    def change(self, task_id: str, status: str, **changes: Any) -> dict[str, Any]:
        """Let something happen to a task, which is made if need be. Returns it as a live update shows it."""
        with self.changed:
            if task_id in self.stored:
                fields = self.stored[task_id].fields
                fields["version"] += 1
            else:
                _, fields = self.store({"taskId": task_id, "answer": "x"})
            fields |= {"status": status, **changes}
            return {name: value for name, value in fields.items() if name in UPDATE_FIELDS}

    def retry(self, task_id: str) -> Fault:
        """Start a task anew as POST /tasks/{taskId}/retry does. Returns the answer."""
        with self.changed:
            if task_id not in self.stored:
                return problem(404, "Not Found", f"There is no task {task_id}.")
            fields = self.stored[task_id].fields
            if fields["status"] == "FAILED":
                fields |= {"status": "PENDING", "attempts": 0, "retries": 0, "run": fields["run"] + 1}
            elif (fields["status"], fields["attempts"]) != ("PENDING", 0) or fields["run"] == 1:
                detail = f"Task {task_id} is {fields['status']}; only FAILED can be retried."
                return problem(409, "Conflict", detail)
            location = {"Location": f"/tasks/{task_id}"}
            return lambda handler: handler.send(202, fields, location)

    def cancel(self, task_id: str) -> Fault:
        """Cancel a task as DELETE /tasks/{taskId} does. Returns the answer."""
        with self.changed:
            if task_id not in self.stored:
                return problem(404, "Not Found", f"There is no task {task_id}.")
            fields = self.stored[task_id].fields
            if fields["status"] not in ("PENDING", "RETRYING", "CANCELLED"):
                return problem(409, "Conflict", f"Task {task_id} is {fields['status']}.")
            fields["status"] = "CANCELLED"
            return lambda handler: handler.send(200, fields)

    def _list(self, handler: Handler, query: dict[str, str]) -> None:
        """Newest first; a cursor is the number of the last task of the page before."""
        with self.changed:
            newest_first = sorted(self.stored.values(), key=lambda stored: -stored.number)
            below = int(query.get("cursor", len(newest_first)))
            rest = [
                one
                for one in newest_first
                if one.number < below and ("status" not in query or one.fields["status"] == query["status"])
            ]
            page = rest[: int(query.get("limit", 20))]
            cursor = {"nextCursor": str(page[-1].number)} if len(page) < len(rest) else {}
            handler.send(200, {"tasks": [one.fields for one in page]} | cursor)

    def _submit(self, handler: Handler, body: Any) -> None:
        status, fields = self._accept(body)
        if status >= 400:
            problem(status, fields["title"], fields["detail"], fields.get("errors"))(handler)
        else:
            handler.send(status, fields, {"Location": f"/tasks/{fields['taskId']}"})

    def _submit_batch(self, handler: Handler, body: Any) -> None:
        if set(body) != {"tasks"} or not 1 <= len(body["tasks"]) <= MAX_BATCH:
            problem(400, "Bad Request", "tasks: must be 1 to 100 tasks")(handler)
            return
        results: list[dict[str, Any]] = []
        for task in body["tasks"]:
            with self.changed:
                refusal = self.refusals.popleft() if self.refusals else None
            status, fields = (refusal["status"], refusal) if refusal else self._accept(task)
            shown = {"problem": fields} if status >= 400 else {"task": as_listed(fields)}
            results.append({"status": status} | shown)
        handler.send(207, {"results": results}, {"X-Correlation-Id": "corr-1"})

    def _accept(self, task: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status, and the task or what is wrong with it."""
        if (
            set(task) - FIELDS
            or ("answer" in task) == ("payload" in task)
            or {"delaySeconds", "runAt"} <= set(task)
        ):
            wrong = [{"field": "answer", "message": "is wrong"}]
            return 400, problem_fields(400, "Bad Request", errors=wrong)
        status, fields = self.store(task)
        if any(fields.get(name) != task.get(name) for name in ("answer", "payload")):
            return 409, problem_fields(409, "Conflict", f"Task {task['taskId']} exists with other content.")
        return status, fields

    def _poll(self, stored: Stored) -> dict[str, Any]:
        with self.changed:
            stored.polls += 1
            by_polls = self.seconds_to_finish is None and self.polls_to_finish is not None
            if by_polls and stored.polls >= cast("int", self.polls_to_finish):
                self._finish(stored)
            return stored.fields

    def _finish(self, stored: Stored) -> None:
        status, attempts = self.ending(stored.number)
        with self.changed:
            error = {"errorMessage": "it was \x1b[31mbad"} if status == "FAILED" else {}
            stored.fields |= {"status": status, "attempts": attempts, "retries": attempts - 1, **error}
            stored.finished_at = stored.finished_at or time.perf_counter()


class _Server(ThreadingHTTPServer):
    api: FakeApi
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is none of a test's business."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def api(self) -> FakeApi:
        return cast("_Server", self.server).api

    def setup(self) -> None:
        super().setup()
        with self.api.changed:
            self.api.connections += 1

    def do_GET(self) -> None:
        self._handle("GET")

    def do_DELETE(self) -> None:
        self._handle("DELETE")

    def do_POST(self) -> None:
        self._handle("POST")

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""

    def _handle(self, method: str) -> None:
        api = self.api
        content = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.body: Any = json.loads(content) if content else None
        with api.changed:
            api.seen.append(
                Seen(method, self.path, self.headers["host"], self.body, self.headers["authorization"])
            )
            api.at_once += 1
            api.most_at_once = max(api.most_at_once, api.at_once)
            fault = api.faults[method].popleft() if api.faults[method] else api.always.get(method)
            api.changed.notify_all()
        try:
            if method == "POST" and api.barrier is not None:
                api.barrier.wait(timeout=20)
            if fault is not None:
                fault(self)
            else:
                api.answer(self, method, self.path, self.body)
        finally:
            with api.changed:
                api.at_once -= 1

    def send(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        self.send_bytes(
            status, json.dumps(body).encode(), {"Content-Type": "application/json"} | (headers or {})
        )

    def send_bytes(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(content))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.drop()

    def drop(self) -> None:
        """End the connection."""
        self.close_connection = True
        self.connection.close()


def as_usual(handler: Handler) -> None:
    """No fault: the API's own answer."""
    handler.api.answer(handler, handler.command, handler.path, handler.body)


def as_listed(fields: dict[str, Any]) -> dict[str, Any]:
    """A task as a list and a batch show it."""
    short = {name: value for name, value in fields.items() if len(json.dumps(value)) <= MAX_SHOWN}
    return short if short == fields else short | {"truncated": True}


def problem_fields(
    status: int, title: str, detail: str = "", errors: list[dict[str, str]] | None = None
) -> dict[str, Any]:
    """An error that the API itself tells (RFC 9457)."""
    fields: dict[str, Any] = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return fields | ({"errors": errors} if errors else {})


def problem(status: int, title: str, detail: str = "", errors: list[dict[str, str]] | None = None) -> Fault:
    """An error that the API itself answers."""
    headers = {"Content-Type": "application/problem+json", "X-Correlation-Id": "corr-1"}
    return lambda handler: handler.send(status, problem_fields(status, title, detail, errors), headers)


def gateway(status: int, message: str) -> Fault:
    """An error that the gateway answers."""
    return lambda handler: handler.send(status, {"message": message})


def answer(status: int, content: bytes, content_type: str = "application/json", **headers: str) -> Fault:
    """Any answer at all."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.send_bytes(status, content, {"Content-Type": content_type} | named)


def html(status: int) -> Fault:
    """A page of something that is not this API."""
    return answer(status, b"<html><title>Sign in</title></html>", "text/html; charset=utf-8")


def reset(handler: Handler) -> None:
    """No answer but a TCP reset."""
    handler.reset()


def close(handler: Handler) -> None:
    """No answer but the end of the connection."""
    handler.drop()


def lost_answer(handler: Handler) -> None:
    """The task is accepted, the answer is lost."""
    handler.api.store(handler.body)
    handler.reset()


def lost_cancel(handler: Handler) -> None:
    """The task is cancelled, the answer is lost."""
    handler.api.cancel(handler.path.split("/")[-1])
    handler.reset()


def lost_retry(handler: Handler) -> None:
    """The task is started anew, the answer is lost."""
    handler.api.retry(handler.path.split("/")[-2])
    handler.reset()


def truncated(handler: Handler) -> None:
    """Half an answer."""
    handler.send_bytes(200, b'{"taskId"', {"Content-Length": "500"})
    handler.drop()


def not_http(handler: Handler) -> None:
    """Another protocol."""
    handler.wfile.write(b"* OK IMAP4rev1 ready\r\n\r\n")
    handler.drop()


def one_result_too_few(handler: Handler) -> None:
    """The tasks of a batch are accepted, and the last of them has no result."""
    tasks = [handler.api.store(task)[1] for task in handler.body["tasks"]]
    handler.send(207, {"results": [{"status": 202, "task": task} for task in tasks[:-1]]})


def hang(handler: Handler) -> None:
    """No answer until the server ends."""
    handler.api.closing.wait(30)
    handler.drop()


def slow(handler: Handler) -> None:
    """The right answer, a quarter of a second late."""
    handler.api.closing.wait(0.25)
    as_usual(handler)


def drip(handler: Handler) -> None:
    """An answer that never stops coming, a byte at a time."""
    handler.send_bytes(200, b"", {"Content-Length": "100000"})
    while not handler.api.closing.wait(0.02):
        handler.wfile.write(b" ")
