"""The load test: how many submissions a second the API takes, how fast, and what goes wrong.

A closed loop: each of N workers sends its next submission when its last one was answered, over
connections that are kept. So the rate follows the API, and the latencies are those at that rate, not at
one that is held from outside. Nothing is sent twice: what fails is counted, by kind. Latencies are those
of accepted submissions only, since an error is often answered faster.

The client is one Python process. How busy it was is part of the report: near 100 % of a CPU the client
sets the rate, and its own work is part of the latencies; fewer at a time or more machines then tell more.

Processing goes on after the last submission; `client.smoke` measures that.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from client.api import TasksClient
from client.errors import TasksError
from client.measure import Latencies
from client.report import Advance, Report
from client.work import Work

#: With fewer workers than this, so many failures and not one success end a run.
HOPELESS_FAILURES = 5

#: From this part of its time on a CPU, the client is named in the report as what may set the rate.
BUSY = 0.8


class LoadReport(Report):
    """What the API did with the submissions."""

    def __init__(self, url: str, count: int, concurrency: int) -> None:
        super().__init__(url, count)
        self.concurrency = concurrency
        self.sent = 0
        self.accepted_seconds: list[float] = []
        self.cpu_seconds = 0.0

    @property
    def accepted(self) -> int:
        """Submissions answered with a task."""
        return len(self.accepted_seconds)

    @property
    def hopeless(self) -> bool:
        """True when every worker's worth of submissions failed and none was accepted."""
        return not self.accepted and self.errors.total() >= max(self.concurrency, HOPELESS_FAILURES)

    @property
    def complete(self) -> bool:
        return self.accepted == self.count

    @property
    def bars(self) -> Mapping[str, int | None]:
        return {"answered": self.count}

    @property
    def headline(self) -> str:
        return (
            f"{self.accepted} of {self.count} tasks accepted in {self.elapsed:.2f} s, "
            f"{self._throughput():.1f} tasks/s with {self.concurrency} at a time"
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
        return {"submit": Latencies.of(self.accepted_seconds)}

    @property
    def details(self) -> Mapping[str, Any]:
        return {
            "concurrency": self.concurrency,
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
        """Submissions that were under way when the run was ended."""
        return self.sent - self.accepted - self.errors.total()


async def load(client: TasksClient, work: Work, report: LoadReport, *, advance: Advance) -> None:
    """Submit the report's count of tasks, its concurrency at a time.

    Ends early when the first submissions fail one and all: a wall needs no measuring.

    Args:
        client: of the API, with at least as many connections as there are workers.
        work: what each task is.
        report: filled in as things happen.
        advance: told of every answer, errors included.
    """
    numbers = iter(range(1, report.count + 1))

    async def worker() -> None:
        for number in numbers:
            report.sent += 1
            started = time.perf_counter()
            try:
                await work.submit(client, str(uuid4()), number)
            except TasksError as error:
                report.count_error(error)
                if report.hopeless:
                    raise
            else:
                report.accepted_seconds.append(time.perf_counter() - started)
            advance("answered")

    with report.running():
        before = time.process_time()
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(min(report.concurrency, report.count)):
                    tasks.create_task(worker())
        finally:
            report.cpu_seconds = time.process_time() - before
