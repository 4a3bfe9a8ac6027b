"""Live updates of tasks, kept up over lost connections and lost updates.

Three things give a reader every task's last state, and none of them alone would:

* the updates that the API pushes over a WebSocket, which are quick, and may be lost;
* a catch-up read over HTTP after every subscription and from time to time, for what was lost;
* the rule which of two states of a task is the newer (`Update.newer_than`), whatever way each came.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Protocol, TypeAlias

from client.backoff import ATTEMPTS, delays, fully_spread_delays, repeat
from client.channel import Channel, NotSubscribed, Subscribed, Timing, Updates
from client.errors import NoAnswerError, StatusError, TasksError, UnsubscribedError, first_of
from client.task import Page, Task
from client.update import Update

#: Tasks that the API lets one connection name.
MAX_WATCHED = 100

#: Without task IDs: so many of the newest tasks are read at the beginning.
FIRST_TASKS = 20

#: Tasks of a page, and pages, that a later read of the list takes at most.
PAGE = 100
MAX_PAGES = 10

#: Tasks whose state is remembered; beyond, those that changed longest ago are forgotten.
MAX_KNOWN = 10_000

#: Updates that wait for a slow reader; more are left waiting in the connection.
MAX_WAITING = 1_000


@dataclass(frozen=True, slots=True)
class Connected:
    """A connection was made, and the subscription answered."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection ended, or a new one could not be made: for `error`; the next try is in `seconds`."""

    error: TasksError
    seconds: float


@dataclass(frozen=True, slots=True)
class Missing:
    """There is no task of this ID, so far. Told once."""

    task_id: str


Event: TypeAlias = Connected | Disconnected | Missing


class Source(Protocol):
    """What is needed of the API; `client.api.TasksClient` has it."""

    def channel(self, timing: Timing) -> AbstractAsyncContextManager[Channel]:
        """A new WebSocket connection."""
        ...

    async def get(self, task_id: str) -> Task:
        """Read a task."""
        ...

    async def page(self, *, limit: int, cursor: str | None) -> Page:
        """Read one page of the list of tasks."""
        ...


class Live:
    """One reader's view of the tasks it watches.

    Args:
        source: where they are.
        task_ids: the tasks; None for all.
        timing: see there.
        notify: told of what happens besides updates.

    Raises:
        ValueError: these are not 1 to 100 task IDs.
    """

    def __init__(
        self,
        source: Source,
        task_ids: Sequence[str] | None,
        *,
        timing: Timing,
        notify: Callable[[Event], None],
    ) -> None:
        self._task_ids = None if task_ids is None else tuple(dict.fromkeys(task_ids))
        if self._task_ids is not None and not 1 <= len(self._task_ids) <= MAX_WATCHED:
            raise ValueError(f"{len(self._task_ids)} task IDs; 1 to {MAX_WATCHED} can be watched")
        self._source = source
        self._timing = timing
        self._notify = notify
        self._delays = self._new_delays()
        self._known: dict[str, Update] = {}  # the one that changed last is the last
        self._missing: set[str] = set()
        self._listed_to: datetime | None = None  # creation of the newest task that a read of the list found
        self._established = False  # the API was subscribed to and read once: what fails now may mend
        self._telling = asyncio.Lock()
        self._waiting: asyncio.Queue[Update | Exception] = asyncio.Queue(MAX_WAITING)

    async def updates(self) -> AsyncGenerator[Update]:
        """See `client.api.TasksClient.watch`."""
        following = asyncio.create_task(self._follow())
        try:
            while True:
                update = await self._waiting.get()
                if isinstance(update, Exception):
                    raise update
                yield update
        finally:
            following.cancel()
            await asyncio.wait([following])

    async def _follow(self) -> None:
        try:
            await self._stay_connected()
        except Exception as error:  # noqa: BLE001 - raised again where the updates are read
            await self._waiting.put(error)

    async def _stay_connected(self) -> None:
        while True:
            error: TasksError | None = None
            try:
                await self._use_a_connection()
            except* TasksError as errors:
                error = first_of(errors)
            assert error is not None, "a connection is used until it fails"
            if not self._established or _token_is_over(error):
                raise error
            delay = next(self._delays)
            self._notify(Disconnected(error, delay))
            await asyncio.sleep(delay)

    async def _use_a_connection(self) -> None:
        answers: asyncio.Queue[Subscribed | StatusError] = asyncio.Queue(1)
        async with self._source.channel(self._timing) as channel, asyncio.TaskGroup() as group:
            group.create_task(self._receive(channel, answers))
            await self._subscribe(channel, answers)
            self._delays = self._new_delays()
            self._notify(Connected())
            # What changed since the last time must be read after the subscription: no gap is between the two.
            await self._catch_up(self._task_ids)
            self._established = True
            while True:
                await asyncio.sleep(self._timing.ping)
                await self._catch_up(self._unfinished())

    async def _receive(self, channel: Channel, answers: asyncio.Queue[Subscribed | StatusError]) -> None:
        subscribed = False
        while True:
            frame = await channel.receive()
            subscribed |= isinstance(frame, Subscribed)
            match frame:
                case Updates(updates):
                    for update in updates:
                        await self._tell(update)
                case Subscribed() | StatusError() as answer if answers.empty():
                    answers.put_nowait(answer)
                case NotSubscribed() if subscribed:
                    with channel.failures():
                        raise UnsubscribedError("the API no longer sends updates on this connection")
                case _:
                    pass  # not for us, or an answer that nobody waits for

    async def _subscribe(self, channel: Channel, answers: asyncio.Queue[Subscribed | StatusError]) -> None:
        """Subscribe; raises StatusError when it is refused, NoAnswerError when it is not answered."""

        async def ask() -> Subscribed | StatusError:
            await channel.subscribe(self._task_ids)
            try:
                async with asyncio.timeout(self._timing.answer):
                    return await answers.get()
            except TimeoutError:
                silence = f"a subscription was not answered within {self._timing.answer:g} s"
                raise NoAnswerError("timeout", silence) from None

        with channel.failures():
            answer = await ask()
            for delay in islice(delays(), ATTEMPTS - 1):
                if isinstance(answer, Subscribed) or not answer.transient:
                    break
                await asyncio.sleep(delay)
                answer = await ask()
            if isinstance(answer, StatusError):
                raise answer

    async def _tell(self, update: Update) -> None:
        """Hand an update to the reader, if it is one for it and newer than what it has."""
        if self._task_ids is not None and update.task_id not in self._task_ids:
            return
        async with self._telling:  # the push and the read of a task must not overtake each other
            known = self._known.get(update.task_id)
            if known is not None and not update.newer_than(known):
                return
            if known is None or update.moved_from(known):
                await self._waiting.put(update)
            # Not before: where the line above is cancelled, the next catch-up read has to tell it.
            self._known.pop(update.task_id, None)
            self._known[update.task_id] = update
            if len(self._known) > MAX_KNOWN:
                del self._known[next(iter(self._known))]

    async def _catch_up(self, task_ids: Sequence[str] | None) -> None:
        """Read these tasks, or for None the newest of the list, and tell what is new."""
        if task_ids is None:
            await self._read_list()
            return
        async with asyncio.TaskGroup() as group:
            for task_id in task_ids:
                group.create_task(self._read_task(task_id))

    async def _read_task(self, task_id: str) -> None:
        try:
            task = await repeat(partial(self._source.get, task_id), attempts=self._attempts)
        except StatusError as error:
            if error.status != 404 or not error.from_api:
                raise
            if task_id not in self._missing | self._known.keys():
                self._missing.add(task_id)
                self._notify(Missing(task_id))
        else:
            await self._tell(Update.of(task))

    async def _read_list(self) -> None:
        """Read the list as far back as something can have changed unseen, within `MAX_PAGES`.

        A first read has no such point: it takes a few tasks, for a beginning.
        """
        limit, most = (PAGE, MAX_PAGES) if self._established else (FIRST_TASKS, 1)
        back_to = self._back_to()
        tasks: list[Task] = []
        cursor: str | None = None
        for _ in range(most):
            ask = partial(self._source.page, limit=limit, cursor=cursor)
            page = await repeat(ask, attempts=self._attempts)
            tasks += page.tasks
            cursor = page.next_cursor
            if cursor is None or (tasks and back_to is not None and tasks[-1].created_at < back_to):
                break
        self._listed_to = max((task.created_at for task in tasks), default=self._listed_to)
        for task in sorted(tasks, key=lambda task: task.updated_at):
            await self._tell(Update.of(task))

    def _back_to(self) -> datetime | None:
        """When the oldest task was created of which a change can have been missed; None: any task's can.

        It is one that was not finished, or the first that came after the last read. A push says nothing about
        the tasks before its own.
        """
        if self._listed_to is None:
            return None
        return min(
            [self._listed_to, *(known.created_at for known in self._known.values() if not known.finished)]
        )

    def _unfinished(self) -> Sequence[str] | None:
        """The named tasks that can still change by themselves; None when all tasks are watched."""
        if self._task_ids is None:
            return None
        return [
            name for name in self._task_ids if (known := self._known.get(name)) is None or not known.finished
        ]

    @property
    def _attempts(self) -> float:
        """How often a read is tried; without limit later on, as the updates come meanwhile."""
        return math.inf if self._established else ATTEMPTS

    def _new_delays(self) -> Iterator[float]:
        return fully_spread_delays(self._timing.reconnect, self._timing.reconnect_longest)


def _token_is_over(error: TasksError) -> bool:
    """Whether no further try can succeed: a client keeps its token, and the API no longer takes it.

    A refused connection is not of this kind: it is the ticket that is not taken, and each try gets another.
    """
    return isinstance(error, StatusError) and error.status == 401 and error.live_url is None
