"""Follow tasks live until they are finished, or for as long as somebody wants to look."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing

from client.api import USUAL_TIMING, TasksClient
from client.channel import Timing
from client.live import Event
from client.report import Run
from client.update import Update


class WatchRun(Run):
    """What one run has seen of the tasks that it was to follow.

    Attributes:
        latest: the last update of each named task, None while there is none; empty when all tasks are followed.
    """

    def __init__(self, url: str, task_ids: Sequence[str]) -> None:
        super().__init__(url)
        self.latest: dict[str, Update | None] = dict.fromkeys(task_ids)

    @property
    def task_ids(self) -> Sequence[str] | None:
        """The named tasks; None for all."""
        return list(self.latest) or None

    @property
    def unfinished(self) -> Sequence[str]:
        """The named tasks that have not ended, as far as was seen."""
        return [name for name, update in self.latest.items() if update is None or not update.finished]

    @property
    def complete(self) -> bool:
        """True when every named task is COMPLETED."""
        return all(update is not None and update.status == "COMPLETED" for update in self.latest.values())

    def saw(self, update: Update) -> None:
        """Note an update."""
        if update.task_id in self.latest:
            self.latest[update.task_id] = update


async def watch(
    client: TasksClient,
    run: WatchRun,
    *,
    timeout: float | None,
    tell: Callable[[Update], None],
    notify: Callable[[Event], None],
    timing: Timing = USUAL_TIMING,
) -> None:
    """Follow the run's tasks. Ends when all of the named ones are finished, never when none is named.

    Args:
        client: of the API.
        run: filled in as things happen; it holds the error when there is no connection to begin with.
        timeout: seconds after which it ends; None for no such end.
        tell: told of every update, in order.
        notify: told of the connection, and of tasks that are not there.
        timing: of the connection.
    """
    with run.running():
        try:
            async with (
                asyncio.timeout(timeout),
                aclosing(client.watch(run.task_ids, timing=timing, notify=notify)) as updates,
            ):
                async for update in updates:
                    run.saw(update)
                    tell(update)
                    if run.latest and not run.unfinished:
                        return
        except TimeoutError:
            pass  # the run shows what is missing
