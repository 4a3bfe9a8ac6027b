"""The monitor: what is done with each dead letter.

The rules are in `task.judge_letter`. The log line comes first, then the mark on the record, then the end of the
letter: a crash in between can repeat a line, never lose one.
"""

from typing import Final

from tasklib import aws, clock
from tasklib.queue import MAX_VISIBILITY, DeadLetter, Delivery, Queue
from tasklib.store import TaskStore
from tasklib.task import Decision, Task, Verdict, judge_letter
from tasklib.telemetry import Metric, count, logger

#: From this receive on, a letter that cannot be handled is put aside for as long as SQS allows.
_PATIENCE: Final = 5


class DeadLetterMonitor:
    """Examines dead letters, one at a time. `retention` is how long finished tasks are kept, in ms; 0: for ever."""

    def __init__(self, store: TaskStore, dead_letter_queue: Queue, *, retention: int) -> None:
        self._store = store
        self._queue = dead_letter_queue
        self._retention = retention

    def examine(self, delivery: Delivery) -> bool:
        """Logs the letter, marks its record, and returns whether the letter may be deleted.

        When AWS does not answer it comes back after its visibility timeout. Any other error is logged, and from
        the fifth receive on the letter is put aside for 12 hours, so that it does not hide the others.
        """
        letter = DeadLetter.parse(delivery.body)
        facts = _names(delivery, letter)
        try:
            return self._examine(delivery, letter)
        except aws.AWS_ERRORS as error:
            logger.warning("no answer from AWS", extra=facts | {"reason": aws.reason(error)})
            return False
        except Exception:  # noqa: BLE001 - logged whole, and the letter stays
            logger.exception("a dead letter could not be handled", extra=facts)
        if delivery.receives >= _PATIENCE:
            self._park(delivery)
        return False

    def delete(self, delivery: Delivery) -> None:
        """Removes a letter that may be deleted. When AWS does not answer it comes back, and is discarded then."""
        try:
            self._queue.delete(delivery)
        except aws.AWS_ERRORS as error:
            facts = _names(delivery, DeadLetter.parse(delivery.body))
            logger.warning("dead letter not deleted", extra=facts | {"reason": aws.reason(error)})

    def _examine(self, delivery: Delivery, letter: DeadLetter) -> bool:
        if letter.task_id is None:
            _report(letter, None, letter.reason)
            return True
        while True:
            now = clock.now()
            task = self._store.get(letter.task_id)
            decision = judge_letter(task, letter.run, now, redriven=letter.redriven)
            if task is None:
                _report(letter, None, letter.reason)
                return True
            if decision.verdict is Verdict.DEFER:
                self._queue.defer(delivery, decision.until - now)
                return False
            if self._carry_out(decision, delivery, letter, task, now):
                return True

    def _carry_out(
        self, decision: Decision, delivery: Delivery, letter: DeadLetter, task: Task, now: int
    ) -> bool:
        """Returns False when the record has to be looked at again."""
        match decision.verdict:
            case Verdict.FAIL:
                given_up = task.given_up(decision.reason, keep=self._retention, now=now)
                if self._store.change(task, given_up):
                    count(Metric.FAILED, task.type)
                return False
            case Verdict.BURY:
                _report(letter, task, decision.reason)
                return self._store.change(task, task.dead_lettered(now))
            case _:
                logger.info(
                    "dead letter discarded", extra=_names(delivery, letter) | {"reason": decision.reason}
                )
                return True

    def _park(self, delivery: Delivery) -> None:
        count(Metric.DEAD_LETTERS_PARKED, None)
        try:
            self._queue.defer(delivery, MAX_VISIBILITY * 1000)
        except aws.AWS_ERRORS as error:
            logger.warning(
                "dead letter not put aside",
                extra={"messageId": delivery.message_id, "reason": aws.reason(error)},
            )


def _names(delivery: Delivery, letter: DeadLetter) -> dict[str, str | int | None]:
    """What identifies a letter in a log line."""
    return {
        "messageId": delivery.message_id,
        "taskId": letter.task_id,
        "run": letter.run,
        "correlationId": letter.correlation_id,
    }


def _report(letter: DeadLetter, task: Task | None, error: str) -> None:
    """The line by which people find a dead letter, and the metric that calls them."""
    facts = {
        "eventType": "DLQ_MESSAGE",
        "taskId": letter.task_id,
        "type": task.type if task else None,
        "run": letter.run,
        "attempts": task.attempts if task else None,
        "retryCount": task.retries if task else None,
        "errorMessage": error,
        "correlationId": letter.correlation_id or (task.correlation_id if task else None),
    }
    logger.error("dead letter", extra=facts)
    count(Metric.DEAD_LETTERS, task.type if task else None)
