"""Ask one thing of each of many tasks, some at a time: to start anew, to be cancelled.

Either is safe to send again, so transient errors (`client.errors`) are repeated and counted. A retry is answered
202 as before until a worker has claimed the new run, and 409 after that: when an answer was lost, that 409 can be
the trace of one's own retry. A cancelled task is answered 200 as often as it is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

from client.api import TasksClient
from client.backoff import repeat
from client.errors import StatusError, TasksError, excerpt
from client.measure import Latencies
from client.report import Advance, Report, counts, first
from client.task import Task

#: Failed tasks that are listed at a time: the most that the API gives.
PAGE = 100

#: So many tasks in a row without an answer, each asked for several times, end a run.
HOPELESS_FAILURES = 10


class Result(StrEnum):
    """What the API answered for a task."""

    RETRIED = "retried"
    CANCELLED = "cancelled"
    CONFLICT = "conflict"  #: it is not in a state for that, or its data is gone
    MISSING = "missing"  #: there is no such task


#: The answers, other than success, that are about one task and say nothing of the others.
_ABOUT_ONE_TASK = {404: Result.MISSING, 409: Result.CONFLICT}


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of each task.

    Attributes:
        send: asks it of one.
        success: what the answer of success is.
        done: what has happened to a task then, in words.
        refused: why it has not, in words, where the API answers 409.
    """

    send: Callable[[TasksClient, str], Awaitable[Task]]
    success: Result
    done: str
    refused: str


RETRY = Request(TasksClient.retry, Result.RETRIED, "started anew", "not failed")
CANCEL = Request(TasksClient.cancel, Result.CANCELLED, "cancelled", "too late")


@dataclass(slots=True)
class Asked:
    """A task that something was asked of.

    Attributes:
        result: None until an answer came; it stays None when none did.
        run: the task's run, if it was done.
        detail: why it was not, in the API's words.
    """

    task_id: str
    result: Result | None = None
    run: int | None = None
    detail: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The task's fields of the report."""
        return {"taskId": self.task_id, "result": self.result, "run": self.run, "detail": self.detail}


class EachReport(Report):
    """What became of every task; `count` grows while tasks are found.

    Attributes:
        request: what is asked of them.
        tasks: all that were asked for.
        all_found: True when no more will be.
    """

    def __init__(self, url: str, request: Request) -> None:
        super().__init__(url, 0)
        self.request = request
        self.tasks: list[Asked] = []
        self.all_found = False

    def number(self, result: Result) -> int:
        """How many tasks were answered so."""
        return sum(one.result is result for one in self.tasks)

    @property
    def complete(self) -> bool:
        return self.all_found and self.number(self.request.success) == self.count

    @property
    def has_content(self) -> bool:
        return any(one.result is not None for one in self.tasks)

    @property
    def bars(self) -> Mapping[str, int | None]:
        return {"answered": self.count if self.all_found else None}

    @property
    def headline(self) -> str:
        found = "" if self.all_found else " found so far"
        done = self.number(self.request.success)
        return f"{done} of {self.count} tasks{found} {self.request.done} in {self.elapsed:.2f} s"

    @property
    def facts(self) -> Mapping[str, str]:
        return {
            self.request.refused: self._named(Result.CONFLICT, self.number(Result.CONFLICT)),
            "not found": self._named(Result.MISSING, self.number(Result.MISSING)),
            "unanswered": self._named(None, self._unanswered()),
            "errors": counts(self.errors),
        }

    @property
    def latencies(self) -> Mapping[str, Latencies | None]:
        return {}

    @property
    def details(self) -> Mapping[str, Any]:
        return {
            self.request.success: self.number(self.request.success),
            "conflicts": self.number(Result.CONFLICT),
            "missing": self.number(Result.MISSING),
            "unanswered": self._unanswered(),
            "tasks": [one.as_json() for one in self.tasks],
        }

    def _unanswered(self) -> int:
        """Tasks that no answer came for, those included whose turn did not come."""
        return self.count - sum(one.result is not None for one in self.tasks)

    def _named(self, result: Result | None, number: int) -> str:
        names = [one.detail or excerpt(one.task_id) for one in self.tasks if one.result is result]
        return f"{number}: {first(names)}" if number else ""


async def named(task_ids: Iterable[str], report: EachReport) -> AsyncIterator[str]:
    """Tasks that somebody named, each once."""
    names = list(dict.fromkeys(task_ids))
    report.count = len(names)
    report.all_found = True
    for task_id in names:
        yield task_id


async def failed(client: TasksClient, report: EachReport) -> AsyncIterator[str]:
    """Every task that is FAILED when its page is listed, the newest first; raises as `TasksClient.page`.

    Each once: one that fails again meanwhile keeps its place, which the listing has passed.
    """
    cursor: str | None = None
    while not report.all_found:
        ask = partial(client.page, status="FAILED", limit=PAGE, cursor=cursor)
        page = await repeat(ask, report.count_error)
        cursor = page.next_cursor
        report.count += len(page.tasks)
        report.all_found = cursor is None
        for task in page.tasks:
            yield task.task_id


async def ask_each(
    client: TasksClient,
    task_ids: AsyncIterator[str],
    report: EachReport,
    *,
    concurrency: int,
    advance: Advance,
) -> None:
    """Ask what the report's request asks of each task.

    Ends early when an answer is an error that repeats cannot mend and that is not about one task alone,
    when repeats do not help before a single task was answered, or later for several tasks in a row.

    Args:
        client: of the API.
        task_ids: which tasks; more are taken from it as there is room for them.
        report: filled in as things happen; complete or not, it holds what was answered.
        concurrency: tasks under way at once.
        advance: told of every answer.
    """
    slots = asyncio.Semaphore(concurrency)
    unanswered_in_a_row = 0

    async def ask(one: Asked) -> None:
        nonlocal unanswered_in_a_row
        try:
            await repeat(partial(_ask, client, report.request, one), report.count_error)
        except TasksError as error:
            unanswered_in_a_row += 1
            hopeless = unanswered_in_a_row >= HOPELESS_FAILURES or not report.has_content
            if hopeless or not error.transient:
                raise
        else:
            unanswered_in_a_row = 0
            advance("answered")
        finally:
            slots.release()

    with report.running():
        async with asyncio.TaskGroup() as group:
            async for task_id in task_ids:
                await slots.acquire()
                report.tasks.append(one := Asked(task_id))
                group.create_task(ask(one))


async def _ask(client: TasksClient, request: Request, one: Asked) -> None:
    """Ask it of one task and note the answer; raises as `TasksClient.retry` where it is none."""
    try:
        one.run = (await request.send(client, one.task_id)).run
        one.result = request.success
    except StatusError as error:
        if not error.from_api or error.status not in _ABOUT_ONE_TASK:
            raise
        one.result, one.detail = _ABOUT_ONE_TASK[error.status], error.detail or error.title
