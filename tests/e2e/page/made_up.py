"""An API that the browser sees in place of the stack's own: for lists and updates that no stack would give at will."""

from __future__ import annotations

import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page, Route, WebSocketRoute

Task = dict[str, Any]


def task(number: int, **fields: Any) -> Task:
    """A task as the API shows it; a greater number is newer."""
    at = f"2026-01-01T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}.000Z"
    return {
        "taskId": f"task-{number}",
        "type": "simulate",
        "answer": "42",
        "status": "PENDING",
        "attempts": 0,
        "retries": 0,
        "run": 1,
        "version": 1,
        "createdAt": at,
        "updatedAt": at,
    } | fields


class MadeUpApi:
    """Answers a page from `tasks`, newest first, and speaks to it as the WebSocket API does.

    `sockets` are all that were opened; an action that is in `unanswered` gets no answer. The answer to a ping says
    whether the API `is_subscribed` to by the connection. While `hold` is set, the
    answer to each request that has it in its method and URL is kept back, in `held`, as it was when it was asked for.
    While it `is_broken`, every answer is an error.
    """

    def __init__(self, page: Page, tasks: Sequence[Task]) -> None:
        self.tasks = tasks
        self.sockets: list[WebSocketRoute] = []
        self.unanswered: set[str] = set()
        self.is_subscribed = True
        self.hold = ""
        self.held: list[tuple[Route, str, int]] = []
        self.is_broken = False
        page.route("**/tasks*", self._list)
        page.route("**/tasks/*", self._one)
        page.route("**/tasks/*/retry", self._retry)
        page.route_web_socket("**", self._connect)

    def push(self, *updates: Task) -> None:
        """Sends updates, in one frame."""
        self.say({"updates": updates})

    def say(self, frame: dict[str, Any]) -> None:
        """Sends a frame."""
        self.sockets[-1].send(json.dumps(frame))

    def close(self) -> None:
        """Ends the connection as the gateway does."""
        self.sockets[-1].close()

    def release(self) -> None:
        """Gives the answers that were kept back."""
        held, self.held = self.held, []
        for answer in held:
            _give(*answer)

    def _answer(self, route: Route, body: dict[str, Any], status: int = HTTPStatus.OK) -> None:
        if self.is_broken:
            status = HTTPStatus.SERVICE_UNAVAILABLE
            body = {"title": status.phrase, "status": status, "detail": "It is broken."}
        answer = (route, json.dumps(body), status)
        if self.hold and self.hold in f"{route.request.method} {route.request.url}":
            self.held.append(answer)
        else:
            _give(*answer)

    def _refuse(self, route: Route, status: HTTPStatus, detail: str) -> None:
        self._answer(route, {"title": status.phrase, "status": status, "detail": detail}, status)

    def _list(self, route: Route) -> None:
        query = {name: values[0] for name, values in parse_qs(urlsplit(route.request.url).query).items()}
        start, limit = int(query.get("cursor", "0")), int(query["limit"])
        fitting = [task for task in self.tasks if query.get("status") in (None, task["status"])]
        body: dict[str, Any] = {"tasks": fitting[start : start + limit]}
        if start + limit < len(fitting):
            body["nextCursor"] = str(start + limit)
        return self._answer(route, body)

    def _find(self, task_id: str) -> Task | None:
        return next((task for task in self.tasks if task["taskId"] == task_id), None)

    def _one(self, route: Route) -> None:
        task = self._find(urlsplit(route.request.url).path.split("/")[-1])
        if task is None:
            return self._refuse(route, HTTPStatus.NOT_FOUND, "There is no such task.")
        if route.request.method == "DELETE":
            if task["status"] not in {"PENDING", "RETRYING"}:
                return self._refuse(route, HTTPStatus.CONFLICT, f"It is {task['status']}.")
            task.update(status="CANCELLED", version=task["version"] + 1)
        return self._answer(route, task)

    def _retry(self, route: Route) -> None:
        task = self._find(urlsplit(route.request.url).path.split("/")[-2])
        if task is None or task["status"] != "FAILED":
            return self._refuse(route, HTTPStatus.CONFLICT, "It did not fail.")
        task.update(status="PENDING", run=task["run"] + 1, version=task["version"] + 1)
        return self._answer(route, task, HTTPStatus.ACCEPTED)

    def _connect(self, socket: WebSocketRoute) -> None:
        def answer(message: str | bytes) -> None:
            action = json.loads(message)["action"]
            if action in self.unanswered:
                return
            pong = {"pong": True, "isSubscribed": self.is_subscribed}
            socket.send(json.dumps({"subscribed": "all"} if action == "subscribe" else pong))

        socket.on_message(answer)
        self.sockets.append(socket)


def _give(route: Route, body: str, status: int) -> None:
    route.fulfill(body=body, status=status, content_type="application/json")
