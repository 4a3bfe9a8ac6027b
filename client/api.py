"""A typed client of the tasks API, for the commands here and for other programs.

    async with TasksClient("https://abc.execute-api.eu-west-1.amazonaws.com") as tasks:
        task = await tasks.submit(answer="hello")
        task = await tasks.get(task.task_id)
        print(task.status, task.attempts)
        await tasks.submit(answer="later", run_at=datetime(2027, 1, 1, tzinfo=UTC))
        results = await tasks.submit_batch([Submission(answer="hello"), Submission(payload={"n": 1})])
        async for update in tasks.watch():
            print(update.task_id, update.status)

The data classes are those of `client.task`. Every failure is a `client.errors.TasksError`; nothing of httpx
comes through.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import quote, urlencode
from uuid import uuid4

import httpx

from client import address
from client.batch import BatchResult, read_results
from client.channel import Channel, Timing, open_channel
from client.errors import BadAnswerError, NoAnswerError, excerpt, from_answer, from_transport
from client.fields import fields_of, required
from client.live import Event, Live
from client.task import Page, Submission, Task
from client.update import Update

#: Seconds for a whole request. The gateway gives up on a function after 30, and its answer is awaited.
REQUEST_TIMEOUT_SECONDS = 32.0

#: Seconds for a connection to be made, within those of the request: a host that is there answers sooner.
CONNECT_TIMEOUT_SECONDS = 5.0

#: Bytes read of an answer. The gateway sends at most 10 MB.
MAX_ANSWER_BYTES = 10 * 1024 * 1024

#: A token as RFC 6750 has it.
BEARER_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")

#: Of `watch`, as the API's gateway wants it.
USUAL_TIMING = Timing()

AnswerT = TypeVar("AnswerT")


class _Answer(NamedTuple):
    """A whole answer, whatever it says."""

    status: int
    headers: httpx.Headers
    content: bytes

    def read(self, read: Callable[[object], AnswerT], what: str) -> AnswerT:
        """Its JSON as `what`, made of it by `read`. Raises BadAnswerError where that raises ValueError."""
        try:
            return read(json.loads(self.content))
        except (ValueError, RecursionError) as error:
            kind = excerpt(self.headers.get("content-type", "no content type"))
            message = f"{self.status} with {kind}, which is not {what}: {excerpt(str(error))}"
            raise BadAnswerError(message) from None


class TasksClient:
    """The API at one URL. Keeps its connections; close it, or use it in `async with`.

    Nothing is sent twice: what to repeat is the caller's choice (`client.backoff`).

    Args:
        url: of the API, as in the stack's output `apiUrl`; a stage path is kept.
        timeout: seconds for one request, from connecting to the last byte.
        connections: most at once; a further request waits for one first, and its time runs from then on.
        token: sent with every request as `Authorization: Bearer`, over https or to this machine only.

    Raises:
        ValueError: the URL, or a proxy or certificate named in the environment, cannot be used; or the token
            cannot be sent, or not there.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = REQUEST_TIMEOUT_SECONDS,
        connections: int = 20,
        token: str | None = None,
    ) -> None:
        self.url = address.base_url(url)
        self._authorization = {} if token is None else _bearer(token, self.url)
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
            headers={"accept": "application/json", "user-agent": "tasks-client", **self._authorization},
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
        delay_seconds: float | None = None,
        run_at: datetime | None = None,
    ) -> Task:
        """Submit a task and return it as accepted, or as it is now when it was submitted before.

        Args:
            task_id: made here when None. Keep one ID over repeats, and they make one task.
            task_type: the API's default type when None.
            answer: the task's data as a string; either this or `payload`.
            payload: the task's data as an object.
            delay_seconds: it starts so many seconds later, 0 to 31,622,400; either this or `run_at`, or at once.
            run_at: it starts then, within a year: a moment with its zone. One in the past is at once.

        Raises:
            ValueError: `run_at` has no zone.
            StatusError: 400 for what is wrong with the task, 409 when the ID is that of another one, 413
                when it is too large; otherwise the gateway's or a fault's.
            NoAnswerError: no answer; the task may have been accepted.
            BadAnswerError: the answer is not this API's.
        """
        task_id = task_id or str(uuid4())
        submission = Submission(
            task_id=task_id,
            task_type=task_type,
            answer=answer,
            payload=payload,
            delay_seconds=delay_seconds,
            run_at=run_at,
        )
        return await self._task("POST", "/tasks", task_id, submission.as_json())

    async def submit_batch(self, submissions: Sequence[Submission]) -> list[BatchResult]:
        """Submit 1 to 100 tasks in one request and return what became of each, in their order.

        Each has a result of its own: the task as accepted, or as it is now when it was submitted before; or
        the StatusError that `submit` would raise, here returned. 503 among these is transient, and that task
        may have been stored: repeat it under its ID. In a list or batch the API leaves out data and results of
        over 1 KB.

        Args:
            submissions: the tasks; IDs are made here where there are none.

        Raises:
            StatusError: the request as a whole was refused, 400 when it is none of 1 to 100 tasks, 413 when
                it is too large; otherwise as `submit`.
            NoAnswerError: no answer; any of the tasks may have been accepted.
            BadAnswerError: the answer is not this API's, or not that for these tasks.
        """
        task_ids = [submission.task_id or str(uuid4()) for submission in submissions]
        named = zip(submissions, task_ids, strict=True)
        body = {"tasks": [replace(submission, task_id=task_id).as_json() for submission, task_id in named]}
        answer = await self._ask("POST", "/tasks/batch", body)
        correlation_id = answer.headers.get("x-correlation-id")
        read = partial(read_results, task_ids=task_ids, correlation_id=correlation_id)
        return answer.read(read, "the results of this batch")

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
            StatusError: 404 when there is no such task, 409 when it is neither FAILED nor overdue, or its data is gone;
                otherwise as `submit`.
            NoAnswerError: no answer; the task may have been started anew.
            BadAnswerError: the answer is not this API's.
        """
        return await self._task("POST", f"/tasks/{quote(task_id, safe='')}/retry", task_id)

    async def cancel(self, task_id: str) -> Task:
        """Cancel a task that no worker has, and return it, CANCELLED; so too when it was before.

        Safe to repeat.

        Raises:
            StatusError: 404 when there is no such task, 409 when it runs or has ended; otherwise as `submit`.
            NoAnswerError: no answer; the task may have been cancelled.
            BadAnswerError: the answer is not this API's.
        """
        return await self._task("DELETE", f"/tasks/{quote(task_id, safe='')}", task_id)

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
        answer = await self._ask("GET", f"/tasks?{query}" if query else "/tasks")
        page = answer.read(Page.from_json, "a page of tasks")
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

    def watch(
        self,
        task_ids: Sequence[str] | None = None,
        *,
        timing: Timing = USUAL_TIMING,
        notify: Callable[[Event], None] = lambda _: None,
    ) -> AsyncGenerator[Update]:
        """Follow tasks live: first where they stand, then every change, without end.

        A task's updates come in their order; of changes that follow each other at once some may be missing,
        never the last one. Lost connections are made anew, and what was missed meanwhile is read: of all
        tasks, as far as it is among the newest 1,000. An update that is lost on the way is about a minute late. Of
        all tasks, one that had FAILED and was retried meanwhile is heard of when it changes next.

        Leave it by `break` inside of `contextlib.aclosing`, or by cancelling the task that reads it.

        Args:
            task_ids: the tasks, 1 to 100; those that are not there yet are waited for. None for all, which
                begins with the newest 20.
            timing: when to ping and to connect again.
            notify: told when the connection is there, when it is lost, and of task IDs that are not there.

        Raises:
            ValueError: there are no task IDs in `task_ids`, or too many; raised by this call itself.
            StatusError, NoAnswerError, BadAnswerError: the first connection, or the first read of the tasks,
                fails. Later on, only StatusError 401: the token has expired.
        """
        return Live(self, task_ids, timing=timing, notify=notify).updates()

    @asynccontextmanager
    async def channel(self, timing: Timing) -> AsyncGenerator[Channel]:
        """A new connection for live updates; what `watch` is made of.

        Raises:
            StatusError, NoAnswerError, BadAnswerError: there is none to be had.
        """
        # Asked for before each connection: the address may hold a ticket for this one.
        answer = await self._ask("POST", "/live", {})
        url = answer.read(_web_socket_url, "the address of live updates")
        async with open_channel(url, self._tls, timing) as channel:
            yield channel

    async def _task(self, method: str, path: str, task_id: str, body: object = None) -> Task:
        answer = await self._ask(method, path, body)
        task = answer.read(Task.from_json, "a task")
        if task.task_id != task_id:
            raise BadAnswerError(f"with another task: {excerpt(task.task_id)}")
        return task

    async def _ask(self, method: str, path: str, body: object = None) -> _Answer:
        answer = await self._exchange(method, path, body)
        if not 200 <= answer.status < 300:
            raise from_answer(answer.status, answer.headers, answer.content)
        return answer

    async def _exchange(self, method: str, path: str, body: object) -> _Answer:
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
        return _Answer(response.status_code, response.headers, bytes(received))


def _bearer(token: str, url: str) -> dict[str, str]:
    """The header of a token. No message shows it."""
    if not BEARER_TOKEN.fullmatch(token):
        raise ValueError("the token is none: it must be letters, digits and - . _ ~ + / =")
    if not address.is_private(url):
        raise ValueError(f"the token would cross the network in the clear: {url} is not https")
    return {"authorization": f"Bearer {token}"}


def _web_socket_url(value: object) -> str:
    return required(fields_of(value), "webSocketUrl", str)
