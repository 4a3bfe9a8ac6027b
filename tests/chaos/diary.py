"""The diary: what ran, when and where, written down by the tasks' own code, outside of the system under test.

Each attempt connects, says that it starts and what it is about to do, with times of its own. The end of the
connection is the end of its process and of all that it forked, whoever ended them, and that time is taken here.
"""

import asyncio
import json
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self


@dataclass
class Attempt:
    """One execution of a task's code. `started` and `ended` are seconds of the machine's monotonic clock.

    `started_at` and `seen_at` are milliseconds since 1970; `seen_at` is when a process of it wrote something last.
    `deed` is what the code said it was about to do; None when it was ended before it could. `child` is what a process
    that it forked said. `ended` is None while any of its processes runs.
    """

    task_id: str
    run: int
    number: int
    pid: int
    worker: int
    started: float
    started_at: float
    deed: str | None = None
    ended: float | None = None
    child: str | None = None
    seen_at: float = 0


@dataclass(frozen=True)
class Kill:
    """A process that the harness ended: which function's, and when on the monotonic and on the wall clock (ms)."""

    function: str
    pid: int
    time: float
    at: float


@dataclass
class Diary:
    """Listens on a socket in a directory of its own, in a thread, until its context is left."""

    directory: Path
    kills: list[Kill] = field(default_factory=list[Kill])
    _attempts: list[Attempt] = field(default_factory=list[Attempt])

    @property
    def address(self) -> str:
        """The socket that tasks write to."""
        return str(self.directory / "diary")

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(asyncio.start_unix_server(self._listen, self.address, backlog=1024))
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def note_kill(self, function: str, pid: int) -> None:
        """Write down that the harness is ending a process now."""
        self.kills.append(Kill(function, pid, time.monotonic(), time.time() * 1000))

    def attempts(self) -> Sequence[Attempt]:
        """Every attempt that was seen so far; one whose worker the harness killed ended then at the latest."""
        return [_cut(attempt, self.kills) for attempt in list(self._attempts)]

    def save(self, path: Path) -> None:
        """Keep the diary as lines of JSON."""
        entries: list[dict[str, Any]] = [asdict(entry) for entry in (*self.attempts(), *self.kills)]
        path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        attempt: Attempt | None = None
        try:
            while line := await reader.readline():
                event = json.loads(line)
                if attempt is None:
                    attempt = Attempt(
                        task_id=event["taskId"],
                        run=event["run"],
                        number=event["attempt"],
                        pid=event["pid"],
                        worker=event["worker"],
                        started=event["monotonic"],
                        started_at=event["wall"] * 1000,
                    )
                    self._attempts.append(attempt)
                elif "child" in event:
                    attempt.child = event["child"]
                else:
                    attempt.deed = event["event"]
                # Two processes may write: what comes later need not be written later.
                attempt.seen_at = max(attempt.seen_at, event["wall"] * 1000)
        except ConnectionError:
            pass  # a process that is killed may reset its connection
        finally:
            if attempt is not None:
                attempt.ended = time.monotonic()
            writer.close()


def _cut(attempt: Attempt, kills: Sequence[Kill]) -> Attempt:
    ends = [kill.time for kill in kills if kill.pid == attempt.worker and kill.time >= attempt.started]
    if attempt.ended is not None:
        ends.append(attempt.ended)
    return replace(attempt, ended=min(ends, default=None))
