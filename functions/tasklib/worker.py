"""The worker: claims the tasks of a batch, runs them side by side, settles each.

Every rule about what a delivery means is in `task.judge_delivery`; this module carries the verdicts out, in an
order that loses nothing when it is cut off anywhere: the record first, then the dead letter, then the message.

One thread reads and writes all records that are not a task's own data, and does so for all tasks that wait for it:
their records are read in one call, as many as can start at once are claimed in the next, and whatever ends while a
call is under way is settled together in the one after it. So a batch costs a few calls, not a few per task, and
a task that ends early is settled early. What becomes of their messages is a matter of its own (`messages`).
"""

import random
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import compress
from queue import Empty, SimpleQueue
from typing import Final, NamedTuple, Self, TypeVar

from tasklib import aws, clock
from tasklib.clock import Deadline
from tasklib.messages import Messages
from tasklib.queue import BadMessageError, DeadLetter, Delivery, Queue, TaskMessage
from tasklib.record import DamagedRecordError
from tasklib.retry_policy import RetryPolicy
from tasklib.secret_parameters import SecretParameters
from tasklib.store import Change, TaskStore
from tasklib.task import Decision, Status, Task, Verdict, judge_delivery
from tasklib.task_processes import Ending, TaskProcess, TaskProcesses, TaskTypesError, TypeTerms
from tasklib.telemetry import Measurements, Metric, logger

#: Tasks that run at the same moment in one worker: the event source's default batch.
CONCURRENCY: Final = 10

#: An attempt starts only when this much of the invocation, in milliseconds, is left beyond its time limit.
_SETTLING_TIME: Final = 3_000

#: A call that gets no answer is repeated until this long before the end of the invocation.
_LAST_CALL: Final = 2_000

#: How much longer than the invocation a lease lasts: the clocks of two workers may differ.
_LEASE_SLACK: Final = 5_000

#: The first and the longest pause, in seconds, before a call without an answer is made again.
_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0

Answer = TypeVar("Answer")


class WorkerSettings(NamedTuple):
    """What the stack configures: the default retry policy, and times in milliseconds."""

    policy: RetryPolicy
    time_limit: int  #: of a type that states none, and the most for any
    visibility_timeout: int
    retention: int  #: how long finished tasks are kept; 0: for ever

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Reads the function's environment."""
        return cls(
            policy=RetryPolicy.from_environment(environment),
            time_limit=(int(environment["WORKER_TIMEOUT_SECONDS"]) - 5) * 1000,
            visibility_timeout=int(environment["VISIBILITY_TIMEOUT_SECONDS"]) * 1000,
            retention=int(environment["TASK_RETENTION_DAYS"]) * clock.DAY,
        )


class _Terms(NamedTuple):
    """Under which terms a type's attempts run."""

    policy: RetryPolicy
    time_limit: int  #: milliseconds
    secrets: Mapping[str, str]

    @classmethod
    def of(cls, stated: TypeTerms, defaults: WorkerSettings) -> Self:
        limit = defaults.time_limit
        if stated.time_limit_seconds is not None:
            limit = min(limit, round(stated.time_limit_seconds * 1000))
        return cls(defaults.policy.overridden_by(stated.retry), limit, stated.secrets)

    @property
    def time_needed(self) -> int:
        """What must be left of the invocation, in milliseconds, for an attempt to start."""
        return self.time_limit + _SETTLING_TIME


class _Job(NamedTuple):
    """A task that this worker may run: as its record was read, and once it is claimed, as claimed."""

    delivery: Delivery
    task: Task
    terms: _Terms


class _Ended(NamedTuple):
    """An attempt that is over; `ending` is None when there is nothing to settle: its lease has to run out."""

    job: _Job
    ending: Ending | None
    duration: int  #: milliseconds


class _Settlement(NamedTuple):
    """What an attempt that has ended makes of its task's record, and what the log says of it."""

    job: _Job
    after: Task
    duration: int  #: milliseconds
    facts: Mapping[str, str | int]


class Worker:
    """Works off batches of deliveries. Made once per function process; keeps threads and task processes."""

    def __init__(
        self,
        store: TaskStore,
        task_queue: Queue,
        dead_letter_queue: Queue,
        processes: TaskProcesses,
        secrets: SecretParameters,
        settings: WorkerSettings,
    ) -> None:
        self.store = store
        self.task_queue = task_queue
        self.dead_letter_queue = dead_letter_queue
        self.processes = processes
        self.secrets = secrets
        self.settings = settings
        # One thread a task process: whoever has a process can start at once, and is claimed only then.
        self.threads = ThreadPoolExecutor(CONCURRENCY, thread_name_prefix="task")
        self.messenger = ThreadPoolExecutor(1, thread_name_prefix="messages")

    def work_off(self, deliveries: Sequence[Delivery], deadline: Deadline) -> list[str]:
        """Runs what can run and settles it. Returns the ids of the messages that must not be deleted."""
        messages = Messages(
            self.task_queue,
            self.dead_letter_queue,
            self.messenger,
            deadline,
            longest_return=self.settings.visibility_timeout,
        )
        batch = _Batch(self, messages, deadline)
        try:
            batch.work_off(deliveries)
        finally:
            batch.measured.write()
        return messages.kept(deliveries)


class _Batch:
    """One invocation."""

    def __init__(self, worker: Worker, messages: Messages, deadline: Deadline) -> None:
        self._messages = messages
        self._worker = worker
        self._store = worker.store
        self._settings = worker.settings
        self._deadline = deadline
        self._ended: SimpleQueue[_Ended] = SimpleQueue()
        self.measured = Measurements()

    def work_off(self, deliveries: Sequence[Delivery]) -> None:
        """Does with each delivery what has to be done; an error of any kind leaves its neighbours alone."""
        try:
            types = self._worker.processes.types()
            fresh, suspects, twins = self._sort(self._parse(deliveries), types)
        except TaskTypesError as error:
            logger.error("no task can run", extra={"trace": str(error)})
            self._messages.give_back(deliveries)
        except aws.AWS_ERRORS as error:
            self._messages.no_answer(deliveries, error)
        else:
            self._run(fresh)
            # A task whose last worker died, perhaps by its doing, runs when nobody else can be hurt: all others
            # are settled before it starts, alone, and it before the next.
            for suspect in suspects:
                self._run([suspect])
            if twins:
                self.work_off(twins)

    # -- what the deliveries mean

    def _parse(self, deliveries: Sequence[Delivery]) -> list[tuple[Delivery, TaskMessage]]:
        """The deliveries that are task messages; the others go to the dead-letter queue."""
        parsed: list[tuple[Delivery, TaskMessage]] = []
        letters: list[tuple[Delivery, DeadLetter]] = []
        for delivery in deliveries:
            try:
                parsed.append((delivery, TaskMessage.parse(delivery.body)))
            except BadMessageError as error:
                letters.append((delivery, DeadLetter(None, 0, str(error), "")))
        self._messages.bury(letters)
        return parsed

    def _sort(
        self, parsed: Sequence[tuple[Delivery, TaskMessage]], types: Mapping[str, TypeTerms]
    ) -> tuple[list[_Job], list[_Job], list[Delivery]]:
        """Jobs to run together, suspects to run alone, and further deliveries of the same tasks, for afterwards.

        What needs no attempt is dealt with.
        """
        tasks, damaged = self._store.get_many([message.task_id for _, message in parsed], consistent=True)
        records = {task.task_id: task for task in tasks}
        now = clock.now()
        jobs: dict[str, tuple[Verdict, _Job]] = {}
        verdicts: list[tuple[Delivery, TaskMessage, Task | None, Decision]] = []
        twins: list[Delivery] = []
        seen: set[str] = set()
        for delivery, message in parsed:
            if message.task_id in seen:
                twins.append(delivery)
                continue
            seen.add(message.task_id)
            if message.task_id in damaged:
                self._messages.give_back([delivery])
                continue
            task = records.get(message.task_id)
            terms = self._terms(task, types)
            decision = judge_delivery(task, message.run, terms.policy.max_attempts if terms else 0, now)
            if task and terms and decision.verdict in (Verdict.CLAIM, Verdict.RECLAIM):
                jobs[task.task_id] = decision.verdict, _Job(delivery, task, terms)
            else:
                if task and not terms and decision.verdict is Verdict.FAIL:
                    decision = decision._replace(reason=f"unknown task type {task.type!r:.100}")
                verdicts.append((delivery, message, task, decision))
        self._obey(verdicts)
        fresh = [job for verdict, job in jobs.values() if verdict is Verdict.CLAIM]
        return fresh, [job for verdict, job in jobs.values() if verdict is Verdict.RECLAIM], twins

    def _terms(self, task: Task | None, types: Mapping[str, TypeTerms]) -> _Terms | None:
        return _Terms.of(types[task.type], self._settings) if task and task.type in types else None

    def _obey(self, verdicts: Sequence[tuple[Delivery, TaskMessage, Task | None, Decision]]) -> None:
        """Carries out what the task model decided about deliveries that start nothing."""
        letters: list[tuple[Delivery, DeadLetter]] = []
        delays: list[tuple[Delivery, int]] = []
        hopeless: list[tuple[Delivery, DeadLetter]] = []
        changes: list[Change] = []
        now = clock.now()
        for delivery, message, task, decision in verdicts:
            letter = DeadLetter(message.task_id, message.run, decision.reason, message.correlation_id)
            match decision.verdict:
                case Verdict.REJECT | Verdict.BURY:
                    letters.append((delivery, letter))
                case Verdict.DISCARD if task:
                    logger.info("message discarded", extra=_names(task) | {"reason": decision.reason})
                    self._messages.done(delivery)
                case Verdict.FAIL if task:
                    hopeless.append((delivery, letter))
                    after = task.given_up(decision.reason, keep=self._settings.retention, now=now)
                    changes.append(Change(task, after))
                case _:
                    # Due later, or its record was written between the two looks at it.
                    delays.append((delivery, decision.until))
        outcomes = self._store.write(changes)
        for (delivery, letter), change, outcome in zip(hopeless, changes, outcomes, strict=True):
            if outcome.written:
                letters.append((delivery, letter))
                self.measured.add(change.after.type, Metric.FAILED)
            elif outcome.error is None:
                delays.append((delivery, now))
            else:
                self._messages.no_answer([delivery], outcome.error)
        self._messages.bury(letters)
        self._messages.put_off(delays)

    # -- attempts

    def _run(self, jobs: Sequence[_Job]) -> None:
        """Claims, runs and settles, as many at a time as there are task processes."""
        waiting = [*jobs]
        running = 0
        unsettled: list[_Settlement] = []
        pause = _PAUSE
        while waiting or running or unsettled:
            free = CONCURRENCY - running
            if not all(map(self._is_in_time, waiting[:free])):
                late = [not self._is_in_time(job) for job in waiting]
                self._messages.give_back([job.delivery for job in compress(waiting, late)])
                waiting = [job for job, is_late in zip(waiting, late, strict=True) if not is_late]
            running += self._start(waiting[:free])
            waiting = waiting[free:]
            if running:
                ended = self._wait(pause if unsettled else None)
                running -= len(ended)
                unsettled += filter(None, map(self._settlement, ended))
            elif unsettled:
                time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - no secret
            unsettled = self._settle(unsettled, pause)
            pause = min(2 * pause, _LONGEST_PAUSE) if unsettled else _PAUSE

    def _is_in_time(self, job: _Job) -> bool:
        return self._deadline.remaining() >= job.terms.time_needed

    def _start(self, jobs: Sequence[_Job]) -> int:
        """Claims tasks, each with a process that it can start in at once, and starts those that were won.

        Returns how many.
        """
        now = clock.now()
        lease_until = now + self._deadline.remaining() + _LEASE_SLACK
        ready: list[tuple[_Job, Change, TaskProcess]] = []
        for job in jobs:
            try:
                after = job.task.claimed(_new_claim_id(), lease_until=lease_until, now=now)
                ready.append((job, Change(job.task, after), self._worker.processes.take()))
            except Exception:  # noqa: BLE001 - logged whole, and the message goes back
                logger.exception("a task could not be started", extra=_names(job.task))
                self._messages.give_back([job.delivery])
        won = self._claim([(job, change) for job, change, _ in ready])
        for job, change, process in ready:
            if change in won:
                self._measure_claim(change)
                self._worker.threads.submit(self._attempt, job._replace(task=change.after), process)
            else:
                self._worker.processes.put_back(process)
        return len(won)

    def _measure_claim(self, claim: Change) -> None:
        before, after = claim
        self.measured.add(after.type, Metric.TIME_IN_QUEUE, max(0, after.updated_at - before.due_at))
        if after.attempts > 1:
            self.measured.add(after.type, Metric.RETRIED)

    def _claim(self, claims: Sequence[tuple[_Job, Change]]) -> list[Change]:
        """The claims that were won. The messages of the others have been seen to."""
        outcomes = self._store.write([change for _, change in claims])
        seen = self._look_again(
            [job.task.task_id for (job, _), outcome in zip(claims, outcomes, strict=True) if outcome.error]
        )
        won: list[Change] = []
        refused: list[tuple[Delivery, TaskMessage, Task | None, Decision]] = []
        for (job, change), outcome in zip(claims, outcomes, strict=True):
            if outcome.written:
                won.append(change)
            elif outcome.error is None:
                message = TaskMessage.of(job.task)
                attempts = job.terms.policy.max_attempts
                decision = judge_delivery(outcome.record, message.run, attempts, clock.now())
                refused.append((job.delivery, message, outcome.record, decision))
            elif seen.get(job.task.task_id) == change.after and self._is_in_time(job):
                won.append(change)
            else:
                # It may have been made all the same, if there was no answer to the second look either, or no time
                # is left to run it: then its lease ends unused and the attempt counts as a crash.
                self._messages.no_answer([job.delivery], outcome.error)
        self._obey(refused)
        return won

    def _look_again(self, task_ids: Sequence[str]) -> Mapping[str, Task]:
        """The records of tasks that may have been claimed; empty when there is no answer to this either."""
        if not task_ids:
            return {}
        try:
            found = self._insist(lambda: self._store.get_many(task_ids, consistent=True))
        except aws.AWS_ERRORS:
            return {}
        return {task.task_id: task for task in found.tasks}

    def _attempt(self, job: _Job, process: TaskProcess) -> None:
        """Runs in a thread of its own; whatever happens, the attempt ends."""
        started = time.monotonic()
        ending: Ending | None = None
        try:
            data = self._insist(lambda: self._store.read_data(job.task))
            secrets = self._secrets(job)
            # Slow answers of AWS shorten the attempt, or cost it, but never the time to settle.
            time_limit = min(job.terms.time_limit, self._deadline.remaining() - _SETTLING_TIME)
            if data is None:
                ending = Ending(error="task data missing", permanent=True)
            elif isinstance(secrets, Ending):
                ending = secrets
            elif time_limit <= 0:
                logger.warning("no time left for a claimed task", extra=_names(job.task))
            else:
                ending = self._worker.processes.run(process, job.task, data, secrets, time_limit / 1000)
        except aws.AWS_ERRORS as error:
            # Claimed and not run: another worker takes over when the lease ends.
            logger.warning("attempt not settled", extra=_names(job.task) | {"reason": aws.reason(error)})
        except DamagedRecordError as error:
            # It is reported, and may be mended before the next attempt.
            ending = Ending(error=f"the task's data cannot be read: {error}")
        except Exception:  # noqa: BLE001 - logged whole, and the lease runs out
            logger.exception("an attempt could not be made", extra=_names(job.task))
        finally:
            self._worker.processes.put_back(process)
            self._ended.put(_Ended(job, ending, round((time.monotonic() - started) * 1000)))

    def _secrets(self, job: _Job) -> dict[str, str] | Ending:
        """The values of the secrets of a task's type, or the end of an attempt that cannot have them."""
        if not job.terms.secrets:
            return {}
        try:
            return self._worker.secrets.values(job.terms.secrets)
        except aws.AWS_ERRORS as error:
            # Not for the lease to run out: a parameter that is missing or refused is no crash, and may be mended.
            return Ending(error=f"the secrets of the task's type cannot be read: {aws.reason(error)}")

    def _wait(self, seconds: float | None) -> list[_Ended]:
        """The attempts that have ended since the last call; waits for one, `seconds` or as long as it takes."""
        ended: list[_Ended] = []
        try:
            ended.append(self._ended.get(timeout=seconds))
            while True:
                ended.append(self._ended.get_nowait())
        except Empty:
            return ended

    # -- settlement

    def _settlement(self, ended: _Ended) -> _Settlement | None:
        if ended.ending is None:
            return None
        try:
            return self._outcome(ended.job, ended.ending, ended.duration)
        except Exception:  # noqa: BLE001 - logged whole, and the lease runs out
            logger.exception("an attempt could not be settled", extra=_names(ended.job.task))
            return None

    def _outcome(self, job: _Job, ending: Ending, duration: int) -> _Settlement:
        task, policy = job.task, job.terms.policy
        facts = _names(task) | {"durationMs": duration}
        now, keep = clock.now(), self._settings.retention
        if ending.error is None:
            return _Settlement(job, task.completed(ending.result, keep=keep, now=now), duration, facts)
        facts |= {"errorMessage": ending.error, "trace": ending.trace}
        if ending.permanent or task.attempts >= policy.max_attempts:
            return _Settlement(job, task.failed(ending.error, keep=keep, now=now), duration, facts)
        delay = policy.delay(task.attempts, ending.delay_seconds)
        after = task.retrying(ending.error, not_before=now + delay, now=now)
        return _Settlement(job, after, duration, facts | {"retryInMs": delay})

    def _settle(self, settlements: Sequence[_Settlement], pause: float) -> list[_Settlement]:
        """Writes what attempts made of their records. Returns those without an answer, to be written again."""
        outcomes = self._store.write([Change(one.job.task, one.after) for one in settlements])
        unsettled: list[_Settlement] = []
        letters: list[tuple[Delivery, DeadLetter]] = []
        delays: list[tuple[Delivery, int]] = []
        for settlement, outcome in zip(settlements, outcomes, strict=True):
            delivery, after, facts = settlement.job.delivery, settlement.after, settlement.facts
            if outcome.error and aws.may_pass(outcome.error) and self._has_time_for_another_call(pause):
                unsettled.append(settlement)
            elif outcome.error:
                # Another worker takes over when the lease ends.
                logger.warning(
                    "attempt not settled", extra=_names(after) | {"reason": aws.reason(outcome.error)}
                )
            elif not outcome.written:
                # The lease ran out and another worker has the task: nothing here is ours to write or delete.
                logger.warning("claim was taken over", extra=_names(after))
            elif after.status is Status.COMPLETED:
                logger.info("task completed", extra=facts)
                self._measure_end(settlement, Metric.COMPLETED)
                self._messages.done(delivery)
            elif after.status is Status.FAILED:
                logger.error("task failed", extra=facts)
                self._measure_end(settlement, Metric.FAILED)
                reason = after.error_message or ""
                letters.append((delivery, DeadLetter(after.task_id, after.run, reason, after.correlation_id)))
            else:
                logger.warning("attempt failed", extra=facts)
                self._measure_end(settlement)
                delays.append((delivery, after.not_before or 0))
        self._messages.bury(letters)
        self._messages.put_off(delays)
        return unsettled

    def _measure_end(self, settlement: _Settlement, *ends: Metric) -> None:
        """Of an attempt that is settled, and that `ends` its run so."""
        after = settlement.after
        self.measured.add(after.type, Metric.RUN_TIME, settlement.duration)
        for end in ends:
            self.measured.add(after.type, end)
        # Of a later run nobody remembers when it began, and it began because somebody asked.
        if after.status is Status.COMPLETED and after.run == 1:
            self.measured.add(after.type, Metric.TIME_TO_COMPLETION, after.updated_at - after.startable_at)

    # -- calls that have to be answered

    def _insist(self, call: Callable[[], Answer]) -> Answer:
        """Repeats a call that AWS does not answer, until shortly before the invocation ends."""
        pause = _PAUSE
        while True:
            try:
                return call()
            except aws.AWS_ERRORS as error:
                if not aws.may_pass(error) or not self._has_time_for_another_call(pause):
                    raise
            time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - no secret
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _has_time_for_another_call(self, pause: float) -> bool:
        return self._deadline.remaining() >= _LAST_CALL + pause * 1000


def _new_claim_id() -> str:
    return urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def _names(task: Task) -> dict[str, str | int]:
    """What identifies an attempt in a log line."""
    return {
        "taskId": task.task_id,
        "type": task.type,
        "run": task.run,
        "attempt": task.attempts,
        "correlationId": task.correlation_id,
    }
