"""What becomes of the messages of an invocation: done, dead-lettered, put off.

Letters and delays are sent by one thread of the worker's, in the order in which they were asked for: a queue that
does not answer holds up no settlement. A message that nothing becomes of comes back by its visibility timeout, so a
delay may be left out, and a letter is brought once more by the next delivery.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, wait
from contextlib import suppress
from typing import Final, TypeVar

from tasklib import aws, clock
from tasklib.clock import Deadline
from tasklib.queue import BadMessageError, DeadLetter, Delivery, Queue, TaskMessage
from tasklib.telemetry import logger

#: The first wait of a message that goes back unclaimed; it doubles with each receive.
_FIRST_RETURN: Final = 5_000

#: Nobody waits for the queues when this much of the invocation, in milliseconds, is left.
_LAST_WAIT: Final = 1_000

Item = TypeVar("Item")


class Messages:
    """The messages of one invocation. One stays on the queue unless it is done.

    `thread` is an executor of one thread; `longest_return` is the most, in milliseconds, that a message which goes
    back without an attempt is put off.
    """

    def __init__(
        self,
        task_queue: Queue,
        dead_letter_queue: Queue,
        thread: Executor,
        deadline: Deadline,
        *,
        longest_return: int,
    ) -> None:
        self._task_queue = task_queue
        self._dead_letter_queue = dead_letter_queue
        self._thread = thread
        self._deadline = deadline
        self._longest_return = longest_return
        self._done: set[str] = set()
        self._calls: list[Future[None]] = []

    def done(self, delivery: Delivery) -> None:
        """The message may be deleted: its record says all that it could."""
        self._done.add(delivery.message_id)

    def bury(self, letters: Sequence[tuple[Delivery, DeadLetter]]) -> None:
        """Send dead letters; a message whose letter was sent is done."""
        self._later(self._send_letters, letters)

    def put_off(self, delays: Sequence[tuple[Delivery, int]]) -> None:
        """Have each message delivered again at its own time, in milliseconds since 1970."""
        self._later(self._send_delays, delays)

    def give_back(self, deliveries: Sequence[Delivery]) -> None:
        """Back on the queue without an attempt, later each time."""
        self.put_off(self._returns(deliveries))

    def no_answer(self, deliveries: Sequence[Delivery], error: Exception) -> None:
        """Give back what an AWS error stands in the way of."""
        logger.warning("no answer from AWS", extra=_about(deliveries) | {"reason": aws.reason(error)})
        self.give_back(deliveries)

    def kept(self, deliveries: Sequence[Delivery]) -> list[str]:
        """The ids of the messages that must not be deleted.

        Waits for the queues until shortly before the invocation ends; what is not sent by then, is not.
        """
        wait(self._calls, max(0, self._deadline.remaining() - _LAST_WAIT) / 1000)
        for call in self._calls:
            call.cancel()
        return [delivery.message_id for delivery in deliveries if delivery.message_id not in self._done]

    def _later(self, call: Callable[[Sequence[Item]], None], items: Sequence[Item]) -> None:
        if items:
            self._calls.append(self._thread.submit(call, items))

    def _returns(self, deliveries: Sequence[Delivery]) -> list[tuple[Delivery, int]]:
        now = clock.now()
        return [
            (delivery, now + min(_FIRST_RETURN * 2 ** min(delivery.receives - 1, 32), self._longest_return))
            for delivery in deliveries
        ]

    # -- in the thread

    def _send_letters(self, letters: Sequence[tuple[Delivery, DeadLetter]]) -> None:
        """Without an answer the messages go back: they bring the letters once more."""
        try:
            self._dead_letter_queue.send_all([letter for _, letter in letters])
        except aws.AWS_ERRORS as error:
            deliveries = [delivery for delivery, _ in letters]
            logger.warning("no answer from AWS", extra=_about(deliveries) | {"reason": aws.reason(error)})
            self._send_delays(self._returns(deliveries))
            return
        except Exception:  # noqa: BLE001 - logged whole, and the messages come back
            logger.exception("dead letters not sent", extra=_about([delivery for delivery, _ in letters]))
            return
        for delivery, letter in letters:
            facts = {"taskId": letter.task_id, "run": letter.run, "correlationId": letter.correlation_id}
            logger.info("dead letter sent", extra=facts | {"reason": letter.reason})
            self.done(delivery)

    def _send_delays(self, delays: Sequence[tuple[Delivery, int]]) -> None:
        """Without an answer they return all the same, when their visibility timeout is over."""
        now = clock.now()
        try:
            self._task_queue.defer_all([(delivery, until - now) for delivery, until in delays])
        except Exception as error:  # noqa: BLE001 - nothing depends on it
            facts = _about([delivery for delivery, _ in delays])
            logger.warning("messages not deferred", extra=facts | {"reason": aws.reason(error)})


def _about(deliveries: Sequence[Delivery]) -> dict[str, list[str]]:
    """What identifies deliveries in a log line."""
    task_ids: list[str] = []
    for delivery in deliveries:
        with suppress(BadMessageError):
            task_ids.append(TaskMessage.parse(delivery.body).task_id)
    return {"messageIds": [delivery.message_id for delivery in deliveries], "taskIds": task_ids}
