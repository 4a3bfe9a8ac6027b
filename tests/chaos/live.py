"""A client of live updates: it follows all tasks for the whole run, and connects again whenever it is disconnected."""

import contextlib
import json
import threading
from types import TracebackType
from typing import Any, Self

import httpx
from tasklib.task import Status
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from tests.chaos.stack import Stack

#: Seconds without an update after which it connects again, and pauses before it does.
_SILENCE = 5.0
_PAUSE = 0.5


class LiveClient:
    """Runs in a thread of its own until its context is left. `told` are the tasks of whose end it has heard."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self.told: set[str] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._stopped.is_set():
            # The API fails now and then, as everything does.
            with contextlib.suppress(httpx.HTTPError, WebSocketException, OSError):
                self._use_a_connection()
            self._stopped.wait(_PAUSE)

    def _use_a_connection(self) -> None:
        answer = self._stack.http.post("/live", json={}).raise_for_status()
        with connect(answer.json()["webSocketUrl"]) as connection:
            connection.send(json.dumps({"action": "subscribe"}))
            while not self._stopped.is_set():
                self._note(json.loads(connection.recv(_SILENCE)))

    def _note(self, frame: dict[str, Any]) -> None:
        for update in frame.get("updates", []):
            if update["status"] in (Status.COMPLETED, Status.FAILED):
                self.told.add(update["taskId"])
