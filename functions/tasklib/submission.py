"""Submission: record first, message second, for one task or a hundred.

Whatever cuts it off in between, the sweep makes up for; it also sends the messages of tasks that are due later than
SQS can delay them.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import compress
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from botocore.exceptions import BotoCoreError

from tasklib import aws, clock
from tasklib.clock import Deadline
from tasklib.queue import Queue, TaskMessage
from tasklib.record import with_data
from tasklib.store import STATEMENTS, TaskStore
from tasklib.task import Task, TaskData
from tasklib.telemetry import logger

if TYPE_CHECKING:
    from botocore.client import BaseClient

#: Calls that are under way at once; as many as there are connections to keep.
_CONCURRENCY: Final = 16

#: Messages of one call.
_MESSAGES: Final = 10

#: No call to AWS is tried when this much, in milliseconds, is left. One try takes at most 3 s (`tasklib.aws`), all
#: three of a call more than an invocation has.
_LAST_TRY: Final = 3_500

Item = TypeVar("Item")


class NoTimeLeftError(BotoCoreError):
    """AWS was too slow: a call was not made, or not tried once more."""

    fmt = "no time is left for this call"


class LastTries:
    """Lets the calls of some clients be tried only as long as an answer can still come in time.

    So whoever has a deadline also has every answer by then, if only that there is none; and nothing is written after
    it, by an invocation that nobody waits for any more.
    """

    def __init__(self, *clients: "BaseClient") -> None:
        self.deadline: Deadline | None = None  #: of the invocation that is under way
        for client in clients:
            client.meta.events.register("before-send", self._check)

    def _check(self, **_: object) -> None:
        if self.deadline and self.deadline.remaining() < _LAST_TRY:
            raise NoTimeLeftError


class Receipt(NamedTuple):
    """What became of one submission.

    `existing` is the task that had its ID already; with an `error`, nobody knows whether it was stored.
    """

    existing: Task | None = None
    error: Exception | None = None

    @property
    def accepted(self) -> bool:
        """Whether the task is new and stored."""
        return self.existing is None and self.error is None


class Submitter:
    """Stores new tasks and queues them, and has an answer for each before the invocation ends.

    `last_tries` watches the clients of the store and the queue; `data_lifetime`, in ms, is how long the tasks' data
    has to last.
    """

    def __init__(
        self, store: TaskStore, task_queue: Queue, last_tries: LastTries, *, data_lifetime: int
    ) -> None:
        self._store = store
        self._queue = task_queue
        self._last_tries = last_tries
        self._data_lifetime = data_lifetime
        self._threads = ThreadPoolExecutor(_CONCURRENCY, thread_name_prefix="submit")

    def submit(self, tasks: Sequence[tuple[Task, TaskData]], deadline: Deadline) -> list[Receipt]:
        """Submits each task by itself, those of the same ID one after another. One receipt for each."""
        self._last_tries.deadline = deadline
        receipts = [Receipt()] * len(tasks)
        places: dict[str, list[int]] = {}
        for place, (task, _) in enumerate(tasks):
            places.setdefault(task.task_id, []).append(place)

        def store(same_id: list[int]) -> None:
            stored: Task | None = None
            for place in same_id:
                task, data = tasks[place]
                receipt = Receipt(stored) if stored else self._store_one(task, data)
                stored = receipt.existing or (with_data(task, data) if receipt.accepted else None)
                receipts[place] = receipt

        once = [tasks[same_id[0]] for same_id in places.values() if len(same_id) == 1]
        inserted = self._insert(once)
        self._each(store, [same_id for task_id, same_id in places.items() if task_id not in inserted])
        now = clock.now()
        messages = [
            TaskMessage.of(task)
            for (task, _), receipt in zip(tasks, receipts, strict=True)
            if receipt.accepted and task.is_queued(now)
        ]
        self._each(self._send, [messages[at : at + _MESSAGES] for at in range(0, len(messages), _MESSAGES)])
        return receipts

    def _insert(self, tasks: Sequence[tuple[Task, TaskData]]) -> set[str]:
        """The IDs of the tasks that were stored many in a call, as most of a batch can be."""
        stored = [with_data(task, data) for task, data in tasks]
        small = [task for task in stored if task.data is not None]
        if len(small) < 2:
            return set()
        inserted: set[str] = set()

        def insert(group: Sequence[Task]) -> None:
            try:
                written = self._store.insert(group)
            except aws.AWS_ERRORS as error:
                # Each is stored by a call of its own then, which costs more. A refusal would cost it for ever.
                facts = {"taskIds": [task.task_id for task in group], "reason": aws.reason(error)}
                logger.warning("tasks not stored together", extra=facts)
                return
            inserted.update(task.task_id for task in compress(group, written))

        # Side by side, so that all together take no longer than one call may.
        self._each(insert, [small[at : at + STATEMENTS] for at in range(0, len(small), STATEMENTS)])
        return inserted

    def _store_one(self, task: Task, data: TaskData) -> Receipt:
        try:
            return Receipt(self._store.create(task, data, data_lifetime=self._data_lifetime))
        except Exception as error:  # noqa: BLE001 - each task is answered by itself
            return Receipt(error=error)

    def _send(self, messages: Sequence[TaskMessage]) -> None:
        try:
            self._queue.send_all(messages)
        except aws.AWS_ERRORS as error:
            # The tasks are stored, so they will run: the sweep sends their messages.
            facts = {"taskIds": [message.task_id for message in messages], "reason": aws.reason(error)}
            logger.warning("messages left to the sweep", extra=facts)

    def _each(self, call: Callable[[Item], None], items: Sequence[Item]) -> None:
        """Makes the calls side by side; returns when all are made."""
        if len(items) == 1:
            call(items[0])
        else:
            list(self._threads.map(call, items))
