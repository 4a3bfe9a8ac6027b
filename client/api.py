"""A typed client of the tasks API, for the commands here and for other programs.

    async with TasksClient("https://abc.execute-api.eu-west-1.amazonaws.com") as tasks:
        task = await tasks.submit(answer="hello")
        task = await tasks.get(task.task_id)
        print(task.status, task.attempts)

Every failure is a `client.errors.TasksError`; nothing of httpx comes through.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self, TypeVar, cast
from urllib.parse import quote, urlencode
from uuid import uuid4

import httpx

from client import address
from client.errors import BadAnswerError, NoAnswerError, excerpt, from_answer, from_transport

#: Seconds for a whole request. The gateway gives up on a function after 30, and its answer is awaited.
REQUEST_TIMEOUT_SECONDS = 32.0

#: Seconds for a connection to be made, within those of the request: a host that is there answers sooner.
CONNECT_TIMEOUT_SECONDS = 5.0

#: Bytes read of an answer. The gateway sends at most 10 MB.
MAX_ANSWER_BYTES = 10 * 1024 * 1024

#: Statuses that a task does not leave by itself.
FINISHED_STATUSES = frozenset({"COMPLETED", "FAILED", "CANCELLED"})

FieldT = TypeVar("FieldT")
AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True, slots=True, kw_only=True)
class PastAttempt:
    """An attempt that ended, as a task's history tells it.

    Attributes:
        run: the run that it was part of.
        attempt: its number within that run, from 1.
        started_at: when it was claimed.
        duration_seconds: how long it took; None when its worker died, and nobody saw when.
        error_message: the start of its error; None when it ended well.
    """

    run: int
    attempt: int
    started_at: datetime
    duration_seconds: float | None = None
    error_message: str | None = None

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read an attempt from the API's JSON; raises as `Task.from_json`."""
        fields = _fields(value)
        milliseconds = _optional(fields, "durationMs", int)
        return cls(
            run=_required(fields, "run", int),
            attempt=_required(fields, "attempt", int),
            started_at=datetime.fromisoformat(_required(fields, "startedAt", str)),
            duration_seconds=None if milliseconds is None else milliseconds / 1000,
            error_message=_optional(fields, "errorMessage", str),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task as the API showed it at one moment.

    Attributes:
        task_id: its name, chosen by who submitted it.
        type: which function runs it.
        status: PENDING, PROCESSING, RETRYING, COMPLETED, FAILED or CANCELLED. A later API may know more.
        attempts: attempts begun in this run.
        retries: attempts after the first.
        run: how often it was started anew, from 1.
        version: grows with every change, so of two answers the one with the larger is the newer.
        created_at: when it was accepted.
        updated_at: when it last changed.
        answer: its data, when that is a string.
        payload: its data, when that is an object. A list leaves large data out: neither is there then.
        error_message: the error of its last failed attempt.
        result: what its function returned.
        history: the last attempts that ended, over all runs, the oldest first. The API keeps a few, and
            none of a task that succeeded at once.
    """

    task_id: str
    type: str
    status: str
    attempts: int
    retries: int
    run: int
    version: int
    created_at: datetime
    updated_at: datetime
    answer: str | None = None
    payload: Mapping[str, Any] | None = None
    error_message: str | None = None
    result: object = None
    history: Sequence[PastAttempt] = ()

    @property
    def finished(self) -> bool:
        """True when it is COMPLETED, FAILED or CANCELLED: nothing changes unless somebody retries it."""
        return self.status in FINISHED_STATUSES

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read a task from the API's JSON; fields that are not known here are passed over.

        Raises:
            ValueError: a field is missing or of another type; the message names it.
        """
        fields = _fields(value)
        return cls(
            task_id=_required(fields, "taskId", str),
            type=_required(fields, "type", str),
            status=_required(fields, "status", str),
            attempts=_required(fields, "attempts", int),
            retries=_required(fields, "retries", int),
            run=_required(fields, "run", int),
            version=_required(fields, "version", int),
            created_at=datetime.fromisoformat(_required(fields, "createdAt", str)),
            updated_at=datetime.fromisoformat(_required(fields, "updatedAt", str)),
            answer=_optional(fields, "answer", str),
            payload=cast("dict[str, Any] | None", _optional(fields, "payload", dict)),
            error_message=_optional(fields, "errorMessage", str),
            result=fields.get("result"),
            history=tuple(
                map(PastAttempt.from_json, cast("list[object]", _optional(fields, "history", list) or []))
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some tasks of a list, the newest first, and where it goes on; `next_cursor` is None at its end.

    A page can be short, or empty, and not be the last.
    """

    tasks: Sequence[Task]
    next_cursor: str | None

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read a page from the API's JSON; raises as `Task.from_json`."""
        fields = _fields(value)
        return cls(
            tasks=tuple(map(Task.from_json, cast("list[object]", _required(fields, "tasks", list)))),
            next_cursor=_optional(fields, "nextCursor", str),
        )


class TasksClient:
    """The API at one URL. Keeps its connections; close it, or use it in `async with`.

    Nothing is sent twice: what to repeat is the caller's choice (`client.backoff`).

    Args:
        url: of the API, as in the stack's output `apiUrl`; a stage path is kept.
        timeout: seconds for one request, from connecting to the last byte.
        connections: most at once; a further request waits for one first, and its time runs from then on.

    Raises:
        ValueError: the URL, or a proxy or certificate named in the environment, cannot be used.
    """

    def __init__(self, url: str, *, timeout: float = REQUEST_TIMEOUT_SECONDS, connections: int = 20) -> None:
        self.url = address.base_url(url)
        self._timeout = timeout
        self._slots = asyncio.Semaphore(connections)
        try:
            self._tls = httpx.create_ssl_context()
            self._idle = [self._connection()]
        except (ImportError, OSError, ValueError) as error:
            raise ValueError(f"a proxy or certificate setting in the environment fails: {error}") from error

    def _connection(self) -> httpx.AsyncClient:
        """One connection, made by its first request and again whenever it was lost.

        Each is an httpx client of its own: with 20 requests at once, one client over 20 connections was
        measured to send a third as many a second, some of them seconds late (httpx 0.28, httpcore 1.0).
        """
        return httpx.AsyncClient(
            headers={"accept": "application/json", "user-agent": "tasks-client"},
            # The whole request has one deadline (_exchange): time-outs per read let a slow drip through.
            timeout=httpx.Timeout(None, connect=min(self._timeout, CONNECT_TIMEOUT_SECONDS)),
            verify=self._tls,
            transport=address.transport(self.url, self._tls),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection."""
        for connection in self._idle:
            await connection.aclose()

    async def submit(
        self,
        *,
        task_id: str | None = None,
        task_type: str | None = None,
        answer: str | None = None,
        payload: Mapping[str, Any] | None = None,
    ) -> Task:
        """Submit a task and return it as accepted, or as it is now when it was submitted before.

        Args:
            task_id: made here when None. Keep one ID over repeats, and they make one task.
            task_type: the API's default type when None.
            answer: the task's data as a string; either this or `payload`.
            payload: the task's data as an object.

        Raises:
            StatusError: 400 for what is wrong with the task, 409 when the ID is that of another one, 413
                when it is too large; otherwise the gateway's or a fault's.
            NoAnswerError: no answer; the task may have been accepted.
            BadAnswerError: the answer is not this API's.
        """
        task_id = task_id or str(uuid4())
        given = {"taskId": task_id, "type": task_type, "answer": answer, "payload": payload}
        body = {name: value for name, value in given.items() if value is not None}
        return await self._task("POST", "/tasks", task_id, body)

    async def get(self, task_id: str) -> Task:
        """Read a task.

        Raises:
            StatusError: 404 when there is none of this ID; otherwise as `submit`.
            NoAnswerError: no answer.
            BadAnswerError: the answer is not this API's.
        """
        return await self._task("GET", f"/tasks/{quote(task_id, safe='')}", task_id)

    async def retry(self, task_id: str) -> Task:
        """Start a FAILED task anew and return it in its new run.

        Safe to repeat: until a worker has claimed the new run, that run's message is sent again; after
        that the answer is 409.

        Raises:
            StatusError: 404 when there is no such task, 409 when it has not failed or its data is gone;
                otherwise as `submit`.
            NoAnswerError: no answer; the task may have been started anew.
            BadAnswerError: the answer is not this API's.
        """
        return await self._task("POST", f"/tasks/{quote(task_id, safe='')}/retry", task_id)

    async def page(
        self, *, status: str | None = None, limit: int | None = None, cursor: str | None = None
    ) -> Page:
        """Read one page of the list of tasks.

        Args:
            status: of the tasks; None for any.
            limit: tasks of the page at most, 1 to 100; the API's default when None.
            cursor: the `next_cursor` of the page before; None for the newest tasks.

        Raises:
            StatusError: 400 for what is wrong with these; otherwise as `submit`.
            NoAnswerError: no answer.
            BadAnswerError: the answer is not this API's.
        """
        given = {"status": status, "limit": limit, "cursor": cursor}
        query = urlencode({name: value for name, value in given.items() if value is not None})
        page = await self._ask(
            "GET", f"/tasks?{query}" if query else "/tasks", Page.from_json, "a page of tasks"
        )
        if page.next_cursor is not None and page.next_cursor == cursor:
            raise BadAnswerError("a page of tasks that leads back to itself")
        return page

    async def list(
        self, *, status: str | None = None, limit: int | None = None, cursor: str | None = None
    ) -> AsyncIterator[Page]:
        """Read the list of tasks page by page, each when it is asked for. Arguments and errors as `page`.

        An error ends the iteration; `cursor` of the last page that came takes it up again. Tasks that are
        submitted meanwhile are newer than the first page, and none of the others comes twice.
        """
        while True:
            page = await self.page(status=status, limit=limit, cursor=cursor)
            yield page
            cursor = page.next_cursor
            if cursor is None:
                return

    async def _task(self, method: str, path: str, task_id: str, body: object = None) -> Task:
        task = await self._ask(method, path, Task.from_json, "a task", body)
        if task.task_id != task_id:
            raise BadAnswerError(f"with another task: {excerpt(task.task_id)}")
        return task

    async def _ask(
        self, method: str, path: str, read: Callable[[object], AnswerT], what: str, body: object = None
    ) -> AnswerT:
        status, headers, content = await self._exchange(method, path, body)
        if not 200 <= status < 300:
            raise from_answer(status, headers, content)
        try:
            return read(json.loads(content))
        except (ValueError, RecursionError) as error:
            kind = excerpt(headers.get("content-type", "no content type"))
            raise BadAnswerError(
                f"{status} with {kind}, which is not {what}: {excerpt(str(error))}"
            ) from None

    async def _exchange(self, method: str, path: str, body: object) -> tuple[int, httpx.Headers, bytes]:
        # Escaped by json.dumps, so that even half a surrogate pair arrives, and the API can refuse it.
        content = None if body is None else json.dumps(body, allow_nan=False).encode()
        headers = {} if content is None else {"content-type": "application/json"}
        received = bytearray()
        async with self._slots:
            connection = self._idle.pop() if self._idle else self._connection()
            try:
                async with (
                    asyncio.timeout(self._timeout),
                    connection.stream(method, self.url + path, content=content, headers=headers) as response,
                ):
                    async for chunk in response.aiter_bytes():
                        received += chunk
                        if len(received) > MAX_ANSWER_BYTES:
                            raise BadAnswerError(f"{response.status_code} with over {MAX_ANSWER_BYTES} bytes")
            except httpx.HTTPError as error:
                raise from_transport(error) from error
            except TimeoutError as error:
                raise NoAnswerError("timeout", f"no answer within {self._timeout:g} s") from error
            finally:
                self._idle.append(connection)
        return response.status_code, response.headers, bytes(received)


def _fields(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return cast("dict[str, object]", value)


def _required(fields: Mapping[str, object], name: str, kind: type[FieldT]) -> FieldT:
    value = _optional(fields, name, kind)
    if value is None:
        raise ValueError(f"no {name}")
    return value


def _optional(fields: Mapping[str, object], name: str, kind: type[FieldT]) -> FieldT | None:
    value = fields.get(name)
    if value is None or (isinstance(value, kind) and not isinstance(value, bool)):
        return value
    raise ValueError(f"{name} is not of type {kind.__name__}")
