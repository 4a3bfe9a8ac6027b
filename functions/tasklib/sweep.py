"""The sweep: makes up for messages that were never sent, and for those that SQS has dropped.

A task's record is written first and its message sent second; a function can die in between. The sweep follows
the listing two minutes behind the present, which is longer than a submission can take and than the index lags,
and sends the message of every task that still waits for its first claim. Its cursor moves only after SQS has
accepted them all, so whatever interrupts it, the next run goes on from there. A restarted task is far behind
the cursor, and one that is due later is not to be sent yet: those are listed as unsent until a worker claims them,
and the sweep reads that list too.

SQS drops a message after its retention period, and with it the only thing that would bring the task to a worker. So
each task that has not ended when the sweep meets it is noted for a recheck at a time when its message is gone. A
recheck sends another message for each task that still has not ended, and notes it again. Tasks that end in time, as
nearly all do, are never noted.

While a backlog lasts, there is more to sweep than there is time. So the lists are swept in turn, a stride of each,
and each minute another shard is the first.

A message too many is harmless: the claim lets one through. A record that cannot be read is rechecked after a day. A
list that cannot be swept leaves the others alone.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

from tasklib import aws, clock
from tasklib.clock import Deadline
from tasklib.queue import Queue, TaskMessage
from tasklib.record import DamagedRecordError
from tasklib.store import Change, ListIndex, Recheck, TaskStore
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

#: When a damaged record is looked at again, in milliseconds: somebody has to mend it.
_DAMAGED: Final = clock.DAY


class SweepSettings(NamedTuple):
    """What the stack configures; times are milliseconds.

    `behind` is how far from the present the sweep stays. A message lives for `message_retention`, a finished task for
    `task_retention`, 0 for ever.
    """

    shards: int
    behind: int
    message_retention: int
    task_retention: int


class Sweep:
    """Sends the messages that are missing."""

    def __init__(self, store: TaskStore, task_queue: Queue, settings: SweepSettings) -> None:
        self._store = store
        self._queue = task_queue
        self._settings = settings

    def run(self, deadline: Deadline) -> int:
        """Works through all shards, as far as the time allows. Returns how many messages it sent.

        Raises the first error that a list was given up for, when the other lists are swept.
        """
        now, shards = clock.now(), self._settings.shards
        first, end = now // _MINUTE, created_key("", now - self._settings.behind)
        order = [(first + place) % shards for place in range(shards)]
        lists = deque(self._unsent(shard, end) for shard in order)
        lists.extend(self._submitted(shard, end) for shard in order)
        lists.extend(self._rechecks(str(shard), created_key("", now)) for shard in order)
        sent = 0
        errors: list[Exception] = []
        while lists and deadline.remaining() > _LAST_STRIDE:
            strides = lists.popleft()
            try:
                messages = next(strides, None)
            except DamagedRecordError:
                continue  # the list's own cursor, which is reported
            except Exception as error:  # noqa: BLE001 - raised when the other lists are swept
                errors.append(error)
                continue
            if messages is not None:
                sent += messages
                lists.append(strides)
        if errors:
            raise errors[0]
        return sent

    def _submitted(self, shard: int, end: str) -> Iterator[int]:
        """Sweeps a shard of the listing, a stride at a time; gives how many messages it sent."""
        entries = self._store.entries_between(ListIndex.ALL, shard, self._store.cursor(shard), end, _PAGE)
        while stride := list(islice(entries, _STRIDE)):
            # What happened two minutes ago is in every replica: the cheaper read will do.
            tasks, damaged = self._store.get_many([entry.task_id for entry in stride], consistent=False)
            self._note(
                str(shard), [task for task in tasks if task.needs_message and _has_message(task)], damaged
            )
            sent = self._send(
                [task for task in tasks if task.status is Status.PENDING and task.unsent_key is None]
            )
            if place := next((entry.place for entry in reversed(stride) if not entry.is_damaged), None):
                self._store.move_cursor(shard, place)
            yield len(sent)

    def _unsent(self, shard: int, end: str) -> Iterator[int]:
        """The same for the tasks that were restarted or are due later."""
        entries = self._store.entries_between(ListIndex.UNSENT, shard, "", end, _PAGE)
        errors: list[Exception] = []
        while stride := list(islice(entries, _STRIDE)):
            # A damaged record stays on the list, and is met again each minute until somebody mends it.
            tasks, _ = self._store.get_many([entry.task_id for entry in stride], consistent=False)
            waiting = [task for task in tasks if task.unsent_key is not None]
            self._note(str(shard), waiting)
            sent = self._send(waiting)
            # Further down the list, so that a long queue does not get one more copy every minute.
            outcomes = self._store.write([Change(task, task.sent_again(clock.now())) for task in sent])
            # A record that was damaged meanwhile is reported.
            errors += [outcome.error for outcome in outcomes if isinstance(outcome.error, aws.AWS_ERRORS)]
            yield len(sent)
        if errors:
            raise errors[0]

    def _rechecks(self, shard: str, end: str) -> Iterator[int]:
        """Looks again at the tasks that were noted, whose messages SQS has dropped by now."""
        for recheck in self._store.rechecks(shard, end):
            tasks, damaged = self._store.get_many(recheck.task_ids, consistent=True)
            # Those that are listed as unsent get their messages, and their next recheck, by that list.
            unended = [task for task in tasks if task.needs_message and task.unsent_key is None]
            self._note(shard, unended, damaged)
            self._keep_data([task for task in tasks if task.needs_message])
            sent = self._send(unended)
            self._store.remove_recheck(recheck)
            yield len(sent)

    def _note(self, shard: str, tasks: Sequence[Task], damaged: Sequence[str] = ()) -> None:
        """Have these tasks looked at again, when the messages that they have now are gone."""
        now = clock.now()
        task_ids = [task.task_id for task in tasks]
        for ids, wait in ((task_ids, self._settings.message_retention), (damaged, _DAMAGED)):
            if ids:
                self._store.add_recheck(Recheck.at(now + wait, shard, ids))

    def _keep_data(self, tasks: Sequence[Task]) -> None:
        """Lets the data of tasks that go on waiting live as long as their next message, and a retry after it."""
        lifetime = clock.now() + self._settings.message_retention + self._settings.task_retention
        for task in tasks:
            self._store.keep_data(task, until=lifetime + 3 * clock.DAY, at_least=lifetime + clock.DAY)

    def _send(self, tasks: list[Task]) -> list[Task]:
        self._queue.send_all([TaskMessage.of(task) for task in tasks])
        for task in tasks:
            facts = {"taskId": task.task_id, "run": task.run, "correlationId": task.correlation_id}
            logger.info("message sent again", extra=facts)
        return tasks


def _has_message(task: Task) -> bool:
    """Whether a message of the task was sent: not yet, for one that is due later and listed as unsent."""
    return task.unsent_key is None or task.is_queued(clock.now())
