"""The smoke test: submit some tasks, wait until each is finished.

Submissions keep their task ID when they are sent again, so transient errors (`client.errors`) are
repeated without making a second task, and counted.

What the latencies are:

* `submit`: from the first request of a submission to its acceptance, repeats and their waits included.
* `finish`: from that first request to the answer in which a poll saw the task finished. It is never too
  short, and too long by at most the time since the poll before: the interval, the answer, and with many
  tasks the wait for a turn (`POLLS_PER_SECOND`). The report gives the longest of these times as
  `resolutionSeconds`.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import uuid4

from client.api import TasksClient
from client.backoff import ATTEMPTS, repeat
from client.errors import TasksError, excerpt
from client.measure import Latencies
from client.report import Advance, Report, counts, first
from client.task import Task
from client.work import Work

#: Requests under way at once.
CONCURRENCY = 10

#: Most polls in a second, over all tasks: half of what a stack's API allows by default.
POLLS_PER_SECOND = 50


@dataclass(slots=True)
class Tracked:
    """One task of the run, as far as it has come. Times are those of `time.perf_counter`.

    Attributes:
        task: as last seen; None until it is accepted.
        started: when the first request for it was about to be sent.
        submit_seconds, finish_seconds: the latencies of this module; None until they are known.
        resolution_seconds: by how much `finish_seconds` may be too long.
    """

    task_id: str = field(default_factory=lambda: str(uuid4()))
    task: Task | None = None
    started: float = 0.0
    submit_seconds: float | None = None
    finish_seconds: float | None = None
    resolution_seconds: float = 0.0
    _asked: float = 0.0

    def asking(self) -> None:
        """A request for this task is about to be sent."""
        self._asked, before = time.perf_counter(), self._asked
        self.started = self.started or self._asked
        self.resolution_seconds = self._asked - (before or self._asked)

    def saw(self, task: Task) -> None:
        """An answer shows the task as it is now."""
        now = time.perf_counter()
        self.task = task
        if self.submit_seconds is None:
            self.submit_seconds = now - self.started
        if task.finished:
            self.finish_seconds = now - self.started
            self.resolution_seconds += now - self._asked

    def as_json(self) -> dict[str, Any]:
        """The task's fields of the report."""
        return {
            "taskId": self.task_id,
            "status": self.task and self.task.status,
            "attempts": self.task and self.task.attempts,
            "errorMessage": self.task and self.task.error_message,
            "submitSeconds": self.submit_seconds and round(self.submit_seconds, 6),
            "finishSeconds": self.finish_seconds and round(self.finish_seconds, 6),
        }


class SmokeReport(Report):
    """What became of every task."""

    def __init__(self, url: str, count: int) -> None:
        super().__init__(url, count)
        self.tracked = [Tracked() for _ in range(count)]

    @property
    def submitted(self) -> list[Task]:
        """The tasks that were accepted, as last seen."""
        return [one.task for one in self.tracked if one.task is not None]

    @property
    def finished(self) -> list[Task]:
        """Those of them that ended."""
        return [task for task in self.submitted if task.finished]

    @property
    def complete(self) -> bool:
        return len(self.finished) == self.count

    @property
    def bars(self) -> Mapping[str, int | None]:
        return {"submitted": self.count, "finished": self.count}

    @property
    def headline(self) -> str:
        return f"{len(self.finished)} of {self.count} tasks finished in {self.elapsed:.2f} s"

    @property
    def facts(self) -> Mapping[str, str]:
        failed = [f"{task.task_id} {excerpt(task.error_message or '')}" for task in self._with("FAILED")]
        waiting = [f"{task.task_id} {excerpt(task.status)}" for task in self.submitted if not task.finished]
        return {
            "status": counts(Counter(excerpt(task.status) for task in self.submitted)),
            "attempts": counts(self._attempts()),
            "not submitted": str(self.count - len(self.submitted) or ""),
            "errors": counts(self.errors),
            "failed": first(failed),
            "unfinished": first(waiting),
            "resolution": f"a finish was seen at most {self._resolution():.3f} s late"
            if self.finished
            else "",
        }

    @property
    def latencies(self) -> Mapping[str, Latencies | None]:
        return {
            "submit": Latencies.of([s for one in self.tracked if (s := one.submit_seconds) is not None]),
            "finish": Latencies.of([s for one in self.tracked if (s := one.finish_seconds) is not None]),
        }

    @property
    def details(self) -> Mapping[str, Any]:
        return {
            "submitted": len(self.submitted),
            "finished": len(self.finished),
            "statuses": dict(Counter(task.status for task in self.submitted)),
            "attempts": {str(attempts): tasks for attempts, tasks in self._attempts().items()},
            "resolutionSeconds": round(self._resolution(), 6) if self.finished else None,
            "tasks": [one.as_json() for one in self.tracked],
        }

    def _with(self, status: str) -> list[Task]:
        return [task for task in self.submitted if task.status == status]

    def _attempts(self) -> Counter[int]:
        """Number of attempts -> how many of the finished tasks took that many."""
        return Counter(sorted(task.attempts for task in self.finished))

    def _resolution(self) -> float:
        return max(one.resolution_seconds for one in self.tracked if one.finish_seconds is not None)


async def smoke(
    client: TasksClient, work: Work, report: SmokeReport, *, timeout: float, interval: float, advance: Advance
) -> None:
    """Submit the report's tasks side by side and follow each until it is finished.

    Ends early when a submission or a poll is answered with an error that repeats cannot mend, and when
    repeats do not help before a single task was accepted.

    Args:
        client: of the API.
        work: what each task is.
        report: filled in as things happen; complete or not, it holds what was seen.
        timeout: seconds for the whole run.
        interval: seconds between a task's answer and its next poll.
        advance: told of every task submitted and finished.
    """
    slots = asyncio.Semaphore(CONCURRENCY)
    pace = _Pace(POLLS_PER_SECOND)

    async def ask(one: Tracked, request: partial[Any], attempts: float) -> Task:
        one.asking()
        task = await repeat(request, report.count_error, attempts)
        one.saw(task)
        return task

    async def follow(number: int, one: Tracked) -> None:
        async with slots:
            try:
                task = await ask(one, partial(work.submit, client, one.task_id, number), ATTEMPTS)
            except TasksError as error:
                if error.transient and report.submitted:
                    return  # the others go on; this one is missing from the report
                raise
        advance("submitted")
        while not task.finished:
            await asyncio.sleep(interval)
            await pace.turn()
            async with slots:
                task = await ask(one, partial(client.get, one.task_id), math.inf)
        advance("finished")

    with report.running():
        try:
            async with asyncio.timeout(timeout), asyncio.TaskGroup() as tasks:
                for number, one in enumerate(report.tracked, start=1):
                    tasks.create_task(follow(number, one))
        except TimeoutError:
            pass  # the report shows what is missing


class _Pace:
    """Lets callers through one at a time, evenly, at most so many in a second."""

    def __init__(self, per_second: float) -> None:
        self._gap = 1 / per_second
        self._next = 0.0

    async def turn(self) -> None:
        now = time.perf_counter()
        turn = max(now, self._next)
        self._next = turn + self._gap
        await asyncio.sleep(turn - now)
