"""Submit one task and, if wanted, follow it to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from uuid import uuid4

from client.api import TasksClient
from client.backoff import repeat
from client.live import Event
from client.report import Run
from client.task import Submission, Task
from client.update import Update


class SubmitRun(Run):
    """What became of one task.

    Attributes:
        submission: the task, with its ID.
        wait: whether it is to be followed to its end.
        task: as last read; None until it is accepted.
    """

    def __init__(self, url: str, submission: Submission, *, wait: bool) -> None:
        super().__init__(url)
        self.submission = replace(submission, task_id=submission.task_id or str(uuid4()))
        self.wait = wait
        self.task: Task | None = None

    @property
    def complete(self) -> bool:
        """True when it is accepted, or, if it was to be followed, COMPLETED."""
        return self.task is not None and (not self.wait or self.task.status == "COMPLETED")


async def submit(
    client: TasksClient,
    run: SubmitRun,
    *,
    timeout: float | None,
    tell: Callable[[Update], None],
    notify: Callable[[Event], None],
) -> None:
    """Submit the run's task, again under its ID where that failed for a moment; then follow it, if wanted.

    Args:
        client: of the API.
        run: filled in as things happen.
        timeout: seconds after which it is followed no more; None for no such end.
        tell: told of every state that a followed task has, in order.
        notify: told of the connection.

    Raises:
        TasksError: it was refused or could not be sent, or there is no connection to follow it.
    """
    one = run.submission
    send = partial(
        client.submit,
        task_id=one.task_id,
        task_type=one.task_type,
        answer=one.answer,
        payload=one.payload,
        delay_seconds=one.delay_seconds,
        run_at=one.run_at,
    )
    run.task = task = await repeat(send)
    if not run.wait:
        return
    seen = Update.of(task)
    tell(seen)
    try:
        async with asyncio.timeout(timeout):
            if not task.finished:
                await _follow(client, seen, tell, notify)
            # For its result, and its error in full: an update has neither.
            run.task = await repeat(partial(client.get, task.task_id))
    except TimeoutError:
        pass  # the run shows how far it came


async def _follow(
    client: TasksClient, seen: Update, tell: Callable[[Update], None], notify: Callable[[Event], None]
) -> None:
    async with aclosing(client.watch([seen.task_id], notify=notify)) as updates:
        async for update in updates:
            if update.moved_from(seen):
                tell(update)
            seen = update
            if update.finished:
                return
