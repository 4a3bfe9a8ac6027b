"""The worker: claims the tasks of a batch, runs them side by side, settles each.

Every rule about what a delivery means is in `task.judge_delivery`; this module carries the verdicts out, in an
order that loses nothing when it is cut off anywhere: the record first, then the dead letter, then the message.
"""

import random
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, Self, TypeVar

from tasklib import aws, clock
from tasklib.clock import Deadline
from tasklib.queue import BadMessageError, DeadLetter, Delivery, Queue, TaskMessage
from tasklib.retry_policy import RetryPolicy
from tasklib.store import TaskStore
from tasklib.task import Decision, Task, Verdict, judge_delivery
from tasklib.task_processes import Ending, TaskProcess, TaskProcesses, TaskTypesError, TypeTerms
from tasklib.telemetry import logger

#: Tasks that run at the same moment in one worker: the event source's default batch.
CONCURRENCY: Final = 10

#: An attempt starts only when this much of the invocation, in milliseconds, is left beyond its time limit.
_SETTLING_TIME: Final = 3_000

#: A call that gets no answer is repeated until this long before the end of the invocation.
_LAST_CALL: Final = 2_000

#: How much longer than the invocation a lease lasts: the clocks of two workers may differ.
_LEASE_SLACK: Final = 5_000

#: The first wait of a message that goes back unclaimed; it doubles with each receive.
_FIRST_RETURN: Final = 5_000

Answer = TypeVar("Answer")


class Fate(Enum):
    """What becomes of a delivered message when the invocation ends."""

    DELETE = "delete"
    KEEP = "keep"  #: it returns when its visibility timeout is over


@dataclass(frozen=True, slots=True)
class _Suspect:
    """A task whose last worker died, perhaps by its doing: it runs when nobody else can be hurt."""

    lapsed: Task


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What the stack configures: the default retry policy, and times in milliseconds."""

    policy: RetryPolicy
    time_limit: int  #: of a type that states none, and the most for any
    visibility_timeout: int

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Reads the function's environment."""
        return cls(
            policy=RetryPolicy.from_environment(environment),
            time_limit=(int(environment["WORKER_TIMEOUT_SECONDS"]) - 5) * 1000,
            visibility_timeout=int(environment["VISIBILITY_TIMEOUT_SECONDS"]) * 1000,
        )


@dataclass(frozen=True, slots=True)
class _Terms:
    """Under which terms a type's attempts run."""

    policy: RetryPolicy
    time_limit: int  #: milliseconds

    @classmethod
    def of(cls, stated: TypeTerms, defaults: WorkerSettings) -> Self:
        limit = defaults.time_limit
        if stated.time_limit_seconds is not None:
            limit = min(limit, round(stated.time_limit_seconds * 1000))
        return cls(defaults.policy.overridden_by(stated.retry), limit)

    @property
    def time_needed(self) -> int:
        """What must be left of the invocation, in milliseconds, for an attempt to start."""
        return self.time_limit + _SETTLING_TIME


class Worker:
    """Works off batches of deliveries. Made once per function process; keeps threads and task processes."""

    def __init__(
        self,
        store: TaskStore,
        task_queue: Queue,
        dead_letter_queue: Queue,
        processes: TaskProcesses,
        settings: WorkerSettings,
    ) -> None:
        self._store = store
        self._task_queue = task_queue
        self._dead_letter_queue = dead_letter_queue
        self._processes = processes
        self._settings = settings
        # One thread a task process: whoever has a thread can start at once, and claims only then.
        self._threads = ThreadPoolExecutor(CONCURRENCY, thread_name_prefix="task")

    def work_off(self, deliveries: Sequence[Delivery], deadline: Deadline) -> list[str]:
        """Runs what can run and settles it. Returns the ids of the messages that must not be deleted."""
        try:
            types = self._processes.types()
        except TaskTypesError:
            logger.exception("no task can run")
            for delivery in deliveries:
                self._give_back(delivery)
            return [delivery.message_id for delivery in deliveries]

        def handle(delivery: Delivery) -> Fate | _Suspect:
            return self._handle(delivery, types, deadline)

        first = list(self._threads.map(handle, deliveries))
        kept: list[str] = []
        # All others are settled before the first suspect runs, alone, and it before the next.
        for delivery, fate in zip(deliveries, first, strict=True):
            last = (
                self._handle(delivery, types, deadline, fate.lapsed) if isinstance(fate, _Suspect) else fate
            )
            if last is not Fate.DELETE:
                kept.append(delivery.message_id)
        return kept

    # -- one delivery

    def _handle(
        self,
        delivery: Delivery,
        types: Mapping[str, TypeTerms],
        deadline: Deadline,
        lapsed: Task | None = None,
    ) -> Fate | _Suspect:
        """Does with one delivery what has to be done; an error of any kind leaves its neighbours alone."""
        facts: dict[str, str | int] = {"messageId": delivery.message_id}
        try:
            message = TaskMessage.parse(delivery.body)
            facts |= {"taskId": message.task_id, "run": message.run, "correlationId": message.correlation_id}
            return self._dispatch(delivery, message, types, deadline, lapsed)
        except BadMessageError as error:
            return self._reject(delivery, str(error), deadline)
        except aws.AWS_ERRORS as error:
            logger.warning("no answer from AWS", extra=facts | {"reason": str(error)})
        except Exception:  # noqa: BLE001 - logged whole, and the message goes back
            logger.exception("a delivery could not be handled", extra=facts)
        return self._give_back(delivery)

    def _reject(self, delivery: Delivery, reason: str, deadline: Deadline) -> Fate:
        try:
            return self._bury(DeadLetter(None, 0, reason, ""), deadline)
        except aws.AWS_ERRORS as error:
            facts = {"messageId": delivery.message_id, "reason": str(error)}
            logger.warning("no answer from AWS", extra=facts)
            return self._give_back(delivery)

    def _dispatch(
        self,
        delivery: Delivery,
        message: TaskMessage,
        types: Mapping[str, TypeTerms],
        deadline: Deadline,
        lapsed: Task | None,
    ) -> Fate | _Suspect:
        if message.type not in types:
            # The record knows better; a message may have been written by hand.
            task = self._store.get(message.task_id)
            if task is None or task.type not in types:
                return self._refuse_type(delivery, message, task, deadline)
            message = replace(message, type=task.type)
        terms = _Terms.of(types[message.type], self._settings)
        if deadline.remaining() < terms.time_needed:
            return self._give_back(delivery)
        with self._processes.lend() as process:
            now = clock.now()
            won, task = self._claim(message, terms, deadline, now, lapsed)
            if won and task is not None:
                if task.type in types:  # the record's, should the message name another
                    terms = _Terms.of(types[task.type], self._settings)
                return self._attempt(process, delivery, task, terms, deadline)
        decision = judge_delivery(task, message.run, terms.policy.max_attempts, now)
        return self._obey(decision, delivery, message, task, deadline)

    def _claim(
        self, message: TaskMessage, terms: _Terms, deadline: Deadline, now: int, lapsed: Task | None
    ) -> tuple[bool, Task | None]:
        claim_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        lease_until = now + deadline.remaining() + _LEASE_SLACK
        try:
            if lapsed is not None:
                return self._store.reclaim(lapsed, claim_id=claim_id, lease_until=lease_until, now=now)
            return self._store.claim(
                message.task_id,
                message.run,
                claim_id=claim_id,
                max_attempts=terms.policy.max_attempts,
                lease_until=lease_until,
                now=now,
            )
        except aws.AWS_ERRORS:
            # It may have been made all the same. If so, and if no time is left to run it, its lease ends
            # unused and the attempt counts as a crash.
            task = self._insist(deadline, lambda: self._store.get(message.task_id))
            ours = task is not None and task.claim_id == claim_id and task.lease_is_live(now)
            if ours and deadline.remaining() >= terms.time_needed:
                return True, task
            raise

    def _obey(
        self,
        decision: Decision,
        delivery: Delivery,
        message: TaskMessage,
        task: Task | None,
        deadline: Deadline,
    ) -> Fate | _Suspect:
        """Carries out what the task model decided about a delivery that was not claimed."""
        letter = DeadLetter(message.task_id, message.run, decision.reason, message.correlation_id)
        if task is None or decision.verdict is Verdict.BURY:
            return self._bury(letter, deadline)
        match decision.verdict:
            case Verdict.DISCARD:
                logger.info("message discarded", extra=_names(task) | {"reason": decision.reason})
                return Fate.DELETE
            case Verdict.RECLAIM:
                return _Suspect(task)
            case Verdict.FAIL if self._store.fail_unclaimed(task, decision.reason, clock.now()):
                return self._bury(letter, deadline)
            case _:
                # Due later, or its record was written between the two looks at it.
                return self._defer(delivery, decision.until - clock.now())

    def _refuse_type(
        self, delivery: Delivery, message: TaskMessage, task: Task | None, deadline: Deadline
    ) -> Fate | _Suspect:
        decision = judge_delivery(task, message.run, 0, clock.now())  # no attempts for a type unknown
        if decision.verdict is Verdict.FAIL:
            name = task.type if task is not None else message.type
            decision = replace(decision, reason=f"unknown task type {name!r:.100}")
        return self._obey(decision, delivery, message, task, deadline)

    # -- one attempt

    def _attempt(
        self, process: TaskProcess, delivery: Delivery, task: Task, terms: _Terms, deadline: Deadline
    ) -> Fate:
        started = time.monotonic()
        try:
            data = self._insist(deadline, lambda: self._store.load_data(task))
            # Slow answers of AWS shorten the attempt, or cost it, but never the time to settle.
            time_limit = min(terms.time_limit, deadline.remaining() - _SETTLING_TIME)
            if data is None:
                ending = Ending(error="task data missing", permanent=True)
            elif time_limit <= 0:
                logger.warning("no time left for a claimed task", extra=_names(task))
                return Fate.KEEP
            else:
                ending = self._processes.run(process, task, data, time_limit / 1000)
            facts = _names(task) | {"durationMs": round((time.monotonic() - started) * 1000)}
            return self._settle(delivery, task, terms, ending, deadline, facts)
        except aws.AWS_ERRORS as error:
            # Claimed and not settled: another worker takes over when the lease ends.
            logger.warning("attempt not settled", extra=_names(task) | {"reason": str(error)})
            return Fate.KEEP

    def _settle(
        self,
        delivery: Delivery,
        task: Task,
        terms: _Terms,
        ending: Ending,
        deadline: Deadline,
        facts: Mapping[str, str | int],
    ) -> Fate:
        store, error = self._store, ending.error
        if error is None:
            if not self._insist(deadline, lambda: store.complete(task, ending.result, clock.now())):
                return self._taken_over(task)
            logger.info("task completed", extra=facts)
            return Fate.DELETE
        facts = {**facts, "errorMessage": error, "trace": ending.trace}
        if ending.permanent or task.attempts >= terms.policy.max_attempts:
            if not self._insist(deadline, lambda: store.fail(task, error, clock.now())):
                return self._taken_over(task)
            logger.error("task failed", extra=facts)
            return self._bury(DeadLetter(task.task_id, task.run, error, task.correlation_id), deadline)
        delay = terms.policy.delay(task.attempts)
        due = clock.now() + delay
        if not self._insist(deadline, lambda: store.retry_later(task, error, due, clock.now())):
            return self._taken_over(task)
        logger.warning("attempt failed", extra={**facts, "retryInMs": delay})
        return self._defer(delivery, due - clock.now())

    def _taken_over(self, task: Task) -> Fate:
        """The lease ran out and another worker has the task: nothing here is ours to write or delete."""
        logger.warning("claim was taken over", extra=_names(task))
        return Fate.KEEP

    # -- the message

    def _bury(self, letter: DeadLetter, deadline: Deadline) -> Fate:
        self._insist(deadline, lambda: self._dead_letter_queue.send(letter))
        facts = {"taskId": letter.task_id, "run": letter.run, "correlationId": letter.correlation_id}
        logger.info("dead letter sent", extra=facts | {"reason": letter.reason})
        return Fate.DELETE

    def _give_back(self, delivery: Delivery) -> Fate:
        """Back on the queue without an attempt, later each time."""
        wait = _FIRST_RETURN * 2 ** min(delivery.receives - 1, 32)
        return self._defer(delivery, min(wait, self._settings.visibility_timeout))

    def _defer(self, delivery: Delivery, milliseconds: int) -> Fate:
        try:
            self._task_queue.defer(delivery, milliseconds)
        except aws.AWS_ERRORS as error:
            # It returns all the same, when its visibility timeout is over.
            logger.warning(
                "message not deferred", extra={"messageId": delivery.message_id, "reason": str(error)}
            )
        return Fate.KEEP

    def _insist(self, deadline: Deadline, call: Callable[[], Answer]) -> Answer:
        """Repeats a call that AWS does not answer, until shortly before the invocation ends."""
        pause = 0.1
        while True:
            try:
                return call()
            except aws.AWS_ERRORS as error:
                if not aws.may_pass(error) or deadline.remaining() < _LAST_CALL + pause * 1000:
                    raise
            time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - no secret
            pause = min(2 * pause, 2.0)


def _names(task: Task) -> dict[str, str | int]:
    """What identifies an attempt in a log line."""
    return {
        "taskId": task.task_id,
        "type": task.type,
        "run": task.run,
        "attempt": task.attempts,
        "correlationId": task.correlation_id,
    }
