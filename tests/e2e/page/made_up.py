"""An API that the browser sees in place of the stack's own: for lists and updates that no stack would give at will."""

from __future__ import annotations

import json
from collections.abc import Sequence
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
    """Answers the reads of a page from `tasks`, newest first, and speaks to it as the WebSocket API does.

    `sockets` are all that were opened; while it `is_silent`, their pings get no answer.
    """

    def __init__(self, page: Page, tasks: Sequence[Task]) -> None:
        self.tasks = tasks
        self.sockets: list[WebSocketRoute] = []
        self.is_silent = False
        page.route("**/tasks*", self._list)
        page.route("**/tasks/*", self._one)
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

    def _list(self, route: Route) -> None:
        query = {name: values[0] for name, values in parse_qs(urlsplit(route.request.url).query).items()}
        start, limit = int(query.get("cursor", "0")), int(query["limit"])
        fitting = [task for task in self.tasks if query.get("status") in (None, task["status"])]
        body: dict[str, Any] = {"tasks": fitting[start : start + limit]}
        if start + limit < len(fitting):
            body["nextCursor"] = str(start + limit)
        route.fulfill(json=body)

    def _one(self, route: Route) -> None:
        task_id = urlsplit(route.request.url).path.rpartition("/")[2]
        found = [task for task in self.tasks if task["taskId"] == task_id]
        if found:
            route.fulfill(json=found[0])
        else:
            route.fulfill(
                status=404, json={"title": "Not Found", "status": 404, "detail": "There is no such task."}
            )

    def _connect(self, socket: WebSocketRoute) -> None:
        def answer(message: str | bytes) -> None:
            action = json.loads(message)["action"]
            if self.is_silent and action == "ping":
                return
            socket.send(json.dumps({"subscribed": "all"} if action == "subscribe" else {"pong": True}))

        socket.on_message(answer)
        self.sockets.append(socket)
