"""The load test: how many tasks a second the API takes, how fast it answers, and what goes wrong.

A closed loop: each of N workers sends its next request, of one task or a batch of them, when its last one
was answered, over connections that are kept. So the rate follows the API, and the latencies are those at
that rate, not at one that is held from outside. Nothing is sent twice: what fails is counted, by kind and
task; a request that fails as a whole fails each of its tasks. Latencies are those of requests of which a
task was accepted, since an error is often answered faster.

The client is one Python process. How busy it was is part of the report: near 100 % of a CPU the client
sets the rate, and its own work is part of the latencies; fewer at a time or more machines then tell more.

Processing goes on after the last submission; `client.smoke` measures that.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any
from uuid import uuid4

from client.api import TasksClient
from client.errors import TasksError
from client.measure import Latencies
from client.report import Advance, Report
from client.task import Task
from client.work import Work

#: With fewer workers than this, so many requests and not one task accepted end a run.
HOPELESS_FAILURES = 5

#: From this part of its time on a CPU, the client is named in the report as what may set the rate.
BUSY = 0.8


class LoadReport(Report):
    """What the API did with the tasks.

    Attributes:
        concurrency: requests at a time.
        batch: tasks in a request; 1 stands for the route that takes a single one.
        sent: tasks that were sent.
        accepted: tasks that were accepted.
        errors: tasks by the kind of error that each met.
    """

    def __init__(self, url: str, count: int, concurrency: int, batch: int = 1) -> None:
        super().__init__(url, count)
        self.concurrency = concurrency
        self.batch = batch
        self.sent = 0
        self.accepted = 0
        self.request_seconds: list[float] = []
        self.cpu_seconds = 0.0
        self._fruitless_requests = 0

    @property
    def requests(self) -> int:
        """How many requests the whole run takes."""
        return math.ceil(self.count / self.batch)

    @property
    def hopeless(self) -> bool:
        """True when every worker's worth of requests, or all there are, failed and no task was accepted."""
        wall = min(max(self.concurrency, HOPELESS_FAILURES), self.requests)
        return not self.accepted and self._fruitless_requests >= wall

    def count_results(self, results: Sequence[Task | TasksError], seconds: float) -> None:
        """Note what became of each task of a request, which took so long."""
        errors = [result for result in results if isinstance(result, TasksError)]
        for error in errors:
            self.count_error(error)
        accepted = len(results) - len(errors)
        self.accepted += accepted
        if accepted:
            self.request_seconds.append(seconds)
        else:
            self._fruitless_requests += 1

    @property
    def complete(self) -> bool:
        return self.accepted == self.count

    @property
    def bars(self) -> Mapping[str, int | None]:
        return {"answered": self.count}

    @property
    def headline(self) -> str:
        requests = f"{self.concurrency} requests of {self.batch}" if self.batch > 1 else f"{self.concurrency}"
        return (
            f"{self.accepted} of {self.count} tasks accepted in {self.elapsed:.2f} s, "
            f"{self._throughput():.1f} tasks/s with {requests} at a time"
        )

    @property
    def facts(self) -> Mapping[str, str]:
        errors = ", ".join(f"{kind}: {number}" for kind, number in self.errors.most_common())
        unanswered = self._unanswered()
        busy = f"busy {self._busy():.0%} of the time: it, and not the API, may set the rate"
        return {
            "errors": errors or "none",
            "unanswered": str(unanswered) if unanswered else "",
            "client": busy if self._busy() >= BUSY else "",
        }

    @property
    def latencies(self) -> Mapping[str, Latencies | None]:
        return {"submit": Latencies.of(self.request_seconds)}

    @property
    def details(self) -> Mapping[str, Any]:
        return {
            "concurrency": self.concurrency,
            "batchSize": self.batch,
            "sent": self.sent,
            "accepted": self.accepted,
            "unanswered": self._unanswered(),
            "throughputPerSecond": round(self._throughput(), 3),
            "clientBusy": round(self._busy(), 3),
        }

    def _throughput(self) -> float:
        return self.accepted / self.elapsed if self.elapsed else 0.0

    def _busy(self) -> float:
        """The part of the run in which this process was on a CPU."""
        return self.cpu_seconds / self.elapsed if self.elapsed else 0.0

    def _unanswered(self) -> int:
        """Tasks that were under way when the run was ended."""
        return self.sent - self.accepted - self.errors.total()


async def load(client: TasksClient, work: Work, report: LoadReport, *, advance: Advance) -> None:
    """Submit the report's count of tasks in requests of its batch size, its concurrency of them at a time.

    Ends early when the first requests fail one and all: a wall needs no measuring.

    Args:
        client: of the API, with at least as many connections as there are workers.
        work: what each task is.
        report: filled in as things happen.
        advance: told of every task that was answered, with an error or not.
    """
    numbers = iter(range(1, report.count + 1))

    async def submit(batch: Sequence[int]) -> Sequence[Task | TasksError]:
        try:
            if report.batch == 1:
                return [await work.submit(client, str(uuid4()), number) for number in batch]
            return await client.submit_batch([work.submission(str(uuid4()), number) for number in batch])
        except TasksError as error:
            return [error] * len(batch)

    async def worker() -> None:
        while batch := list(islice(numbers, report.batch)):
            report.sent += len(batch)
            started = time.perf_counter()
            results = await submit(batch)
            report.count_results(results, time.perf_counter() - started)
            if report.hopeless:
                raise next(result for result in results if isinstance(result, TasksError))
            for _ in results:
                advance("answered")

    with report.running():
        before = time.process_time()
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(min(report.concurrency, report.requests)):
                    tasks.create_task(worker())
        finally:
            report.cpu_seconds = time.process_time() - before
