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
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self, TypeVar, cast
from urllib.parse import quote
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
        payload: its data, when that is an object.
        error_message: the error of its last failed attempt.
        result: what its function returned.
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
        if not isinstance(value, dict):
            raise ValueError("not an object")
        fields = cast("dict[str, object]", value)
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

    async def _task(self, method: str, path: str, task_id: str, body: object = None) -> Task:
        status, headers, content = await self._exchange(method, path, body)
        if not 200 <= status < 300:
            raise from_answer(status, headers, content)
        try:
            task = Task.from_json(json.loads(content))
        except (ValueError, RecursionError) as error:
            kind = excerpt(headers.get("content-type", "no content type"))
            raise BadAnswerError(
                f"{status} with {kind}, which is not a task: {excerpt(str(error))}"
            ) from None
        if task.task_id != task_id:
            raise BadAnswerError(f"{status} with another task: {excerpt(task.task_id)}")
        return task

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
