"""The clients: they submit tasks and start failed ones anew; none gives up on an error of the server."""

import math
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from typing import Any

import httpx
from tasklib.task import Status

from tests.chaos.plans import Plan
from tests.chaos.stack import Stack

#: Requests at the same time.
_CLIENTS = 8

#: One task by itself, and the others of so many in a batch.
_GROUP = 5


class Clients:
    """Sends requests and keeps what was promised: of each task that got a 2xx, the latest run."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self.promised: dict[str, int] = {}
        self.retried = 0  #: failed tasks that were started anew

    @contextmanager
    def submitting(self, plans: Sequence[Plan]) -> Generator["Future[None]"]:
        """Submit tasks beside what the context does, and end with it; whoever is in the list twice is sent twice."""
        with ThreadPoolExecutor(1) as pool:
            submission = pool.submit(self.submit_all, plans)
            try:
                yield submission
            finally:
                self._stopped.set()

    def submit_all(self, plans: Sequence[Plan]) -> None:
        """Submit tasks until each is accepted, every fifth by itself and the others in batches."""
        groups = [plans[at : at + _GROUP] for at in range(0, len(plans), _GROUP)]
        with ThreadPoolExecutor(_CLIENTS) as pool:
            for _ in pool.map(self._submit, groups):
                pass

    def _submit(self, group: Sequence[Plan]) -> None:
        self._submit_one(group[0])
        self._submit_batch(group[1:])

    def _submit_one(self, plan: Plan) -> None:
        answer = self._insist(lambda: self._stack.http.post("/tasks", json=plan.submission()))
        if answer is not None:
            answer.raise_for_status()
            self._promise(answer.json())

    def _submit_batch(self, plans: Sequence[Plan]) -> None:
        left = plans
        while left and not self._stopped.is_set():
            tasks = [plan.submission() for plan in left]
            answer = self._insist(
                lambda tasks=tasks: self._stack.http.post("/tasks/batch", json={"tasks": tasks})
            )
            if answer is None:
                return
            answer.raise_for_status()
            results = answer.json()["results"]
            for result in results:
                if "task" in result:
                    self._promise(result["task"])
                elif result["status"] < HTTPStatus.INTERNAL_SERVER_ERROR:
                    raise RuntimeError(f"a good task was refused: {result}")
            # Not stored, as far as the API knows, or its record cannot be read: sent again, like everything that the
            # server did not take.
            left = [plan for plan, result in zip(left, results, strict=True) if "task" not in result]
            self._stopped.wait(0.2 if left else 0)

    def retry(self, task_ids: Iterable[str]) -> None:
        """Ask for a new run of failed tasks; that one is not (or no longer) FAILED is an answer too."""
        for task_id in task_ids:
            answer = self._insist(lambda task_id=task_id: self._stack.http.post(f"/tasks/{task_id}/retry"))
            if answer is not None and answer.status_code != HTTPStatus.CONFLICT:
                answer.raise_for_status()
                self.retried += 1
                self._promise(answer.json())

    def read_list(self, status: Status | None = None, *, patience: float = 0) -> set[str]:
        """Read the list to its end, or to a page that the server does not give within `patience` seconds.

        Returns the IDs of the tasks that it shows.
        """
        found: set[str] = set()
        params = {"limit": "100"} | ({"status": str(status)} if status else {})
        read = partial(self._stack.http.get, "/tasks", params=params)
        while True:
            answer = self._insist(read, patience)
            if answer is None:
                return found
            page = answer.raise_for_status().json()
            found |= {task["taskId"] for task in page["tasks"]}
            if "nextCursor" not in page:
                return found
            params["cursor"] = page["nextCursor"]

    def _promise(self, task: Mapping[str, Any]) -> None:
        with self._lock:
            known = self.promised.get(task["taskId"], 0)
            self.promised[task["taskId"]] = max(known, task["run"])

    def _insist(
        self, send: Callable[[], httpx.Response], patience: float = math.inf
    ) -> httpx.Response | None:
        """Send until there is an answer that is not the server's trouble.

        None when there is none within `patience` seconds, or the clients were stopped.
        """
        pause = 0.2
        end = time.monotonic() + patience
        while not self._stopped.is_set():
            try:
                answer = send()
            except httpx.TransportError:
                self._stack.assert_running()
            else:
                if not answer.is_server_error:
                    return answer
            if time.monotonic() >= end:
                return None
            self._stopped.wait(pause)
            pause = min(2 * pause, 3.0)
        return None
