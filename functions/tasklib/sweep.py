"""The sweep: makes up for messages that were never sent.

A task's record is written first and its message sent second; a function can die in between. The sweep follows
the listing two minutes behind the present, which is longer than a submission can take and than the index lags,
and sends the message of every task that still waits for its first claim. Its cursor moves only after SQS has
accepted them all, so whatever interrupts it, the next run goes on from there. A restarted task is far behind
the cursor, and one that is due later is not to be sent yet: those are listed as unsent until a worker claims them,
and the sweep reads that list too.

While a backlog lasts, there is more to sweep than there is time. So the lists are swept in turn, a stride of each,
and each minute another shard is the first.

A message too many is harmless: the claim lets one through.
"""

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Final

from tasklib import clock
from tasklib.clock import Deadline
from tasklib.queue import Queue, TaskMessage
from tasklib.store import Change, ListIndex, TaskStore
from tasklib.task import Status, Task, created_key
from tasklib.telemetry import logger

#: Entries that are read, and whose messages are sent, before the cursor moves and it is another list's turn.
_STRIDE: Final = 100

#: Entries that one query reads: several strides, since each query takes its time.
_PAGE: Final = 1000

#: In milliseconds.
_MINUTE: Final = 60_000

#: Nothing more is begun when this much of the invocation, in milliseconds, is left.
_LAST_STRIDE: Final = 15_000


class Sweep:
    """Sends what was never sent. `behind` is how far from the present it stays, in milliseconds."""

    def __init__(self, store: TaskStore, task_queue: Queue, *, behind: int) -> None:
        self._store = store
        self._queue = task_queue
        self._behind = behind

    def run(self, shards: int, deadline: Deadline) -> int:
        """Works through all shards, as far as the time allows. Returns how many messages it sent."""
        now = clock.now()
        first, end = now // _MINUTE, created_key("", now - self._behind)
        order = [(first + place) % shards for place in range(shards)]
        lists = deque(self._unsent(shard, end) for shard in order)
        lists.extend(self._submitted(shard, end) for shard in order)
        sent = 0
        while lists and deadline.remaining() > _LAST_STRIDE:
            strides = lists.popleft()
            messages = next(strides, None)
            if messages is not None:
                sent += messages
                lists.append(strides)
        return sent

    def _submitted(self, shard: int, end: str) -> Iterator[int]:
        """Sweeps a shard of the listing, a stride at a time; gives how many messages it sent."""
        entries = self._store.entries_between(ListIndex.ALL, shard, self._store.cursor(shard), end, _PAGE)
        while stride := list(islice(entries, _STRIDE)):
            # What happened two minutes ago is in every replica: the cheaper read will do.
            tasks = self._store.get_many([entry.task_id for entry in stride], consistent=False)
            waiting = [task for task in tasks if task.status is Status.PENDING and task.unsent_key is None]
            sent = self._send(waiting)
            self._store.move_cursor(shard, stride[-1].place)
            yield len(sent)

    def _unsent(self, shard: int, end: str) -> Iterator[int]:
        """The same for the tasks that were started anew or are due later."""
        entries = self._store.entries_between(ListIndex.UNSENT, shard, "", end, _PAGE)
        while stride := list(islice(entries, _STRIDE)):
            tasks = self._store.get_many([entry.task_id for entry in stride], consistent=False)
            sent = self._send([task for task in tasks if task.unsent_key is not None])
            # To the end of the list, so that a long queue does not get one more copy every minute.
            for outcome in self._store.write([Change(task, task.sent_again(clock.now())) for task in sent]):
                if outcome.error is not None:
                    raise outcome.error
            yield len(sent)

    def _send(self, tasks: list[Task]) -> list[Task]:
        self._queue.send_all([TaskMessage.of(task) for task in tasks])
        for task in tasks:
            facts = {"taskId": task.task_id, "run": task.run, "correlationId": task.correlation_id}
            logger.info("message sent again", extra=facts)
        return tasks
