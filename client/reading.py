"""Read some tasks that are named."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from client.api import TasksClient
from client.backoff import repeat
from client.errors import StatusError
from client.report import Run
from client.task import Task


class GetRun(Run):
    """What was read.

    Attributes:
        task_ids: of the tasks, each once.
        tasks: those that are there, in that order.
        missing: the IDs of those that are not.
    """

    def __init__(self, url: str, task_ids: Sequence[str]) -> None:
        super().__init__(url)
        self.task_ids = list(dict.fromkeys(task_ids))
        self.found: dict[str, Task | None] = {}

    @property
    def tasks(self) -> Sequence[Task]:
        return [task for name in self.task_ids if (task := self.found.get(name)) is not None]

    @property
    def missing(self) -> Sequence[str]:
        return [name for name in self.task_ids if name in self.found and self.found[name] is None]

    @property
    def complete(self) -> bool:
        """True when every task is there."""
        return len(self.tasks) == len(self.task_ids)


async def read_each(client: TasksClient, run: GetRun) -> None:
    """Read the run's tasks, as many at a time as the client has connections; transient errors are repeated.

    Raises:
        ExceptionGroup of TasksError: something else than that a task is not there.
    """

    async def read(name: str) -> None:
        try:
            run.found[name] = await repeat(partial(client.get, name))
        except StatusError as error:
            if error.status != 404 or not error.from_api:
                raise
            run.found[name] = None

    async with asyncio.TaskGroup() as group:
        for name in run.task_ids:
            group.create_task(read(name))
