"""Read the list of tasks, as far as somebody wants it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import partial

from client.api import TasksClient
from client.backoff import repeat
from client.report import Run
from client.task import Task

#: Tasks of a page at most.
PAGE = 100


class ListRun(Run):
    """How far the list was read.

    Attributes:
        status: of the tasks; None for any.
        limit: tasks at most; None for all.
        count: tasks that were read.
        more: whether the list goes on; None until its first page was read.
    """

    def __init__(self, url: str, status: str | None, limit: int | None) -> None:
        super().__init__(url)
        self.status = status
        self.limit = limit
        self.count = 0
        self.more: bool | None = None

    @property
    def complete(self) -> bool:
        """True when all that was wanted was read."""
        return self.more is False or self.count == self.limit


async def read_list(client: TasksClient, run: ListRun) -> AsyncIterator[Sequence[Task]]:
    """The tasks that the run wants, page by page, the newest first; transient errors are repeated.

    Raises:
        TasksError: a page cannot be read.
    """
    cursor: str | None = None
    while not run.complete:
        limit = PAGE if run.limit is None else min(PAGE, run.limit - run.count)
        ask = partial(client.page, status=run.status, limit=limit, cursor=cursor)
        page = await repeat(ask)
        cursor = page.next_cursor
        run.count += len(page.tasks)
        run.more = cursor is not None
        yield page.tasks
