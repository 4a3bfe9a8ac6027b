"""Answers lost on the way back: AWS did the call, and whoever made it does not know.

The loss is at the wire. Once AWS has carried out a chosen call, the connection breaks in place of its answer, so
that botocore, or beyond its own tries our code, sends it again. Every write of the protocol is lost once here,
which botocore makes up for, and more often than botocore tries. A single statement of a batch that is refused
inside an answer is a loss of its own kind: botocore takes that answer for a good one.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError
from tasklib import clock
from tasklib.clock import Deadline
from tasklib.queue import DeadLetter, Delivery, TaskMessage
from tasklib.record import to_item
from tasklib.task import CRASHED, Status, Task
from tasklib.task_processes import TaskProcesses
from tasklib.task_type import TaskType
from tasklib.worker import Worker, WorkerSettings

from tests.waiting import wait_for

from . import ENVIRONMENT
from .conftest import Stack, event_of, lambda_context, message_of
from .wire import FOREVER, Wire

Load = Callable[[str], ModuleType]

#: How often botocore sends a call (tasklib.aws).
TRIES = 3

#: The operation by which records are changed.
WRITE = "BatchExecuteStatement"

#: Lost once, botocore's repeat gets its answer; lost to all of its tries, the call fails though it was made.
ONCE_AND_OFTEN = pytest.mark.parametrize("times", [1, TRIES], ids=["once", "to botocore"])


class Work:
    """Tasks whose code writes down, outside of the system under test, that it was started."""

    def __init__(self, directory: Path) -> None:
        self._diary = directory / "diary"
        self.good = self.lasting(0)
        self.bad = self.lasting("no number")

    def lasting(self, seconds: object) -> str:
        """The payload of a task that takes so long."""
        return json.dumps({"diary": str(self._diary.parent), "seconds": seconds})

    def starts(self, task_id: str = "t") -> list[int]:
        """The attempts of a task whose code was started, in order."""
        if not self._diary.exists():
            return []
        lines = [line.split() for line in self._diary.read_text().splitlines()]
        return [int(attempt) for _, name, attempt, what in lines if (name, what) == (task_id, "start")]


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)


@pytest.fixture
def short_worker(stack: Stack, processes: TaskProcesses) -> Worker:
    """A worker that gives a task 0.3 s, so that an invocation need not be long, and one second to its first retry."""
    settings = WorkerSettings.from_environment(ENVIRONMENT | {"BACKOFF_BASE_SECONDS": "1"})
    return stack.worker(processes, settings._replace(time_limit=300))


#: Milliseconds of an invocation of the short worker: enough to claim, and to settle for a second and a half.
SHORT = 3_800


def invoke(stack: Stack, worker: Worker, milliseconds: int = 30_000) -> list[Delivery]:
    """One invocation by the task queue, as Lambda makes it. Returns the deliveries that it kept."""
    deliveries = stack.receive(stack.task_queue_url)
    kept = worker.work_off(deliveries, Deadline(milliseconds))
    for delivery in deliveries:
        if delivery.message_id not in kept:
            stack.task_queue.delete(delivery)
    return [delivery for delivery in deliveries if delivery.message_id in kept]


def come_back(stack: Stack, deliveries: list[Delivery]) -> None:
    """Makes messages that were kept visible again: what time would do."""
    for delivery in deliveries:
        stack.sqs.change_message_visibility(
            QueueUrl=stack.task_queue_url, ReceiptHandle=delivery.receipt_handle, VisibilityTimeout=0
        )


def drain(stack: Stack, worker: Worker) -> None:
    """Invocations by one message each, until the queue is empty."""
    while messages(stack, stack.task_queue_url):
        for delivery in stack.receive(stack.task_queue_url):
            assert worker.work_off([delivery], Deadline(30_000)) == []
            stack.task_queue.delete(delivery)


def send(stack: Stack, *tasks: Task) -> None:
    stack.task_queue.send_all([TaskMessage.of(task) for task in tasks])


def messages(stack: Stack, url: str) -> int:
    """All messages of a queue, visible or not."""
    names: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    counts = stack.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(count) for count in counts.values())


def waiting_is_over(stack: Stack, task_id: str = "t") -> None:
    """Ends the task's lease, or its backoff, and sends its message again: what time would do."""
    record = stack.record(task_id)
    name = "leaseUntil" if record.status is Status.PROCESSING else "notBefore"
    stack.dynamodb.update_item(
        TableName=stack.table,
        Key={"taskId": {"S": task_id}, "part": {"S": "state"}},
        UpdateExpression=f"SET {name} = :past",
        ExpressionAttributeValues={":past": {"N": "1"}},
    )
    send(stack, stack.record(task_id))


def crashed(stack: Stack, payload: str, attempts: int) -> Task:
    """A task whose worker died."""
    return stack.submit(
        "t", "busy", payload, status=Status.PROCESSING, attempts=attempts, lease_until=1, claim_id="dead"
    )


class TestASubmission:
    @pytest.fixture
    def post(self, load: Load, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], int]:
        module = load("submit_tasks")
        monkeypatch.setattr(module, "_TYPES", {"busy": TaskType("busy", print, {}, None)})

        def post(payload: str) -> int:
            body = {"taskId": "t", "type": "busy", "payload": json.loads(payload)}
            event = {
                "routeKey": "POST /tasks",
                "rawPath": "/tasks",
                "headers": {"content-type": "application/json"},
                "requestContext": {"http": {"method": "POST"}, "requestId": "r"},
                "body": json.dumps(body),
            }
            return module.handler(event, lambda_context())["statusCode"]

        return post

    @pytest.fixture
    def sweep(self, load: Load, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
        monkeypatch.setenv("SWEEP_BEHIND_SECONDS", "0")
        module = load("sweep_tasks")

        def sweep() -> int:
            before = clock.now()
            wait_for(lambda: clock.now() > before, "the next millisecond")
            return module.handler({}, lambda_context(60_000))["sent"]

        return sweep

    @pytest.mark.batch_statements
    @pytest.mark.parametrize("write", ["data", "state"])
    def test_whose_record_was_written_is_accepted(
        self, stack: Stack, wire: Wire, worker: Worker, work: Work, post: Callable[[str], int], write: str
    ) -> None:
        payload = large(work.good)
        wire.lose("PutItem", '"data#' if write == "data" else '"state"', times=1)
        assert post(payload) == 202
        assert [item["part"]["S"].partition("#")[0] for item in stack.items()] == ["data", "state"]
        assert stack.record("t").version == 1
        invoke(stack, worker)
        assert (stack.record("t").status, work.starts()) == (Status.COMPLETED, [1])

    @pytest.mark.batch_statements
    def test_that_is_told_of_no_data_is_safe_to_repeat(
        self, stack: Stack, wire: Wire, worker: Worker, work: Work, post: Callable[[str], int]
    ) -> None:
        wire.lose("PutItem", '"data#', times=TRIES)
        assert post(large(work.good)) == 503
        assert stack.store.get("t") is None
        assert post(large(work.good)) == 202
        assert len(stack.items()) == 2
        invoke(stack, worker)
        assert (stack.record("t").status, work.starts()) == (Status.COMPLETED, [1])

    @pytest.mark.batch_statements
    @pytest.mark.parametrize("repeated", [True, False])
    def test_that_is_told_of_no_record_leaves_none_pending(
        self,
        stack: Stack,
        wire: Wire,
        worker: Worker,
        work: Work,
        post: Callable[[str], int],
        sweep: Callable[[], int],
        repeated: bool,
    ) -> None:
        wire.lose("PutItem", '"state"', times=TRIES)
        assert post(work.good) == 503
        if repeated:
            assert post(work.good) == 200
        assert messages(stack, stack.task_queue_url) == 0
        assert sweep() == 1
        invoke(stack, worker)
        assert (stack.record("t").status, work.starts()) == (Status.COMPLETED, [1])

    @pytest.mark.batch_statements
    @ONCE_AND_OFTEN
    def test_whose_message_comes_more_than_once_runs_once(
        self, stack: Stack, wire: Wire, worker: Worker, work: Work, post: Callable[[str], int], times: int
    ) -> None:
        wire.lose("SendMessageBatch", times=times)
        assert post(work.good) == 202
        assert messages(stack, stack.task_queue_url) == min(times + 1, TRIES)
        drain(stack, worker)
        assert (stack.record("t").attempts, work.starts()) == (1, [1])

    @pytest.mark.batch_statements
    @ONCE_AND_OFTEN
    def test_that_the_sweep_sends_runs_once(
        self,
        stack: Stack,
        wire: Wire,
        worker: Worker,
        work: Work,
        sweep: Callable[[], int],
        times: int,
    ) -> None:
        stack.submit("t", "busy", work.good)
        wire.lose("SendMessageBatch", times=times)
        if times == TRIES:
            with pytest.raises(ConnectionClosedError):
                sweep()
        # The cursor waited: what nobody knows to be sent is sent again.
        assert sweep() == 1
        assert sweep() == 0
        drain(stack, worker)
        assert (stack.record("t").status, work.starts()) == (Status.COMPLETED, [1])

    @ONCE_AND_OFTEN
    def test_is_swept_once_when_the_cursor_moved_unseen(
        self, stack: Stack, wire: Wire, sweep: Callable[[], int], times: int
    ) -> None:
        stack.submit("t")
        wire.lose("UpdateItem", '"cursor#', times=times)
        if times == TRIES:
            with pytest.raises(ConnectionClosedError):
                sweep()
        else:
            assert sweep() == 1
        assert sweep() == 0
        assert messages(stack, stack.task_queue_url) == 1


def large(payload: str) -> str:
    """The same work, with so much data that it gets an item of its own."""
    return json.dumps(json.loads(payload) | {"long": "x" * 2000})


@pytest.mark.batch_statements
@ONCE_AND_OFTEN
class TestAClaim:
    def test_that_was_won_is_known_and_run(
        self, stack: Stack, wire: Wire, worker: Worker, work: Work, times: int
    ) -> None:
        send(stack, stack.submit("t", "busy", work.good))
        wire.lose(WRITE, '"PROCESSING"', times=times)
        assert invoke(stack, worker) == []
        record = stack.record("t")
        assert (record.status, record.attempts, record.version) == (Status.COMPLETED, 1, 3)
        assert work.starts() == [1]

    def test_that_was_lost_to_another_worker_runs_nothing(
        self, stack: Stack, wire: Wire, worker: Worker, work: Work, times: int
    ) -> None:
        send(stack, stack.submit("t", "busy", work.good))
        held = stack.record("t").claimed("other", lease_until=clock.now() + 9_000, now=clock.now())

        def act() -> None:
            stack.dynamodb.put_item(TableName=stack.table, Item=to_item(held))

        wire.meanwhile("BatchGetItem", "", act)
        wire.lose(WRITE, '"PROCESSING"', times=times)
        assert len(invoke(stack, worker)) == 1
        assert stack.record("t") == held
        assert work.starts() == []
        assert messages(stack, stack.task_queue_url) == 1

    def test_after_a_crash_is_known_and_run(
        self, stack: Stack, wire: Wire, worker: Worker, work: Work, times: int
    ) -> None:
        send(stack, crashed(stack, work.good, attempts=1))
        wire.lose(WRITE, CRASHED, times=times)
        assert invoke(stack, worker) == []
        record = stack.record("t")
        assert (record.status, record.attempts, record.version) == (Status.COMPLETED, 2, 3)
        assert work.starts() == [2]


@pytest.mark.batch_statements
@pytest.mark.parametrize("times", [1, TRIES, 2 * TRIES], ids=["once", "to botocore", "to the worker"])
class TestASettlement:
    def test_as_completed(self, stack: Stack, wire: Wire, worker: Worker, work: Work, times: int) -> None:
        send(stack, stack.submit("t", "busy", work.good))
        wire.lose(WRITE, '"COMPLETED"', times=times)
        assert invoke(stack, worker) == []
        record = stack.record("t")
        assert (record.status, record.attempts, record.version) == (Status.COMPLETED, 1, 3)
        assert work.starts() == [1]
        assert messages(stack, stack.task_queue_url) == 0

    def test_as_retrying(self, stack: Stack, wire: Wire, worker: Worker, work: Work, times: int) -> None:
        send(stack, stack.submit("t", "busy", work.bad))
        wire.lose(WRITE, "TypeError", times=times)
        assert len(invoke(stack, worker)) == 1
        record = stack.record("t")
        assert (record.status, record.attempts, record.version) == (Status.RETRYING, 1, 3)
        assert len(json.loads(record.history or "")) == 1
        for _ in range(2):
            waiting_is_over(stack)
            invoke(stack, worker)
        assert (stack.record("t").status, work.starts()) == (Status.FAILED, [1, 2, 3])

    def test_as_failed(self, stack: Stack, wire: Wire, worker: Worker, work: Work, times: int) -> None:
        send(stack, stack.submit("t", "busy", work.bad, attempts=2))
        wire.lose(WRITE, '"FAILED"', times=times)
        assert invoke(stack, worker) == []
        record = stack.record("t")
        assert (record.status, record.attempts, record.version) == (Status.FAILED, 3, 3)
        assert work.starts() == [3]
        assert len(stack.letters()) == 1


@pytest.mark.batch_statements
class TestATaskThatCanNeverRun:
    @ONCE_AND_OFTEN
    def test_is_failed_and_buried(
        self, stack: Stack, wire: Wire, worker: Worker, work: Work, times: int
    ) -> None:
        send(stack, crashed(stack, work.good, attempts=3))
        wire.lose(WRITE, '"FAILED"', times=times)
        kept = invoke(stack, worker)
        record = stack.record("t")
        assert (record.status, record.attempts, record.version) == (Status.FAILED, 3, 2)
        if times == TRIES:
            # Nobody knows whether it was written; the next delivery meets it and goes on.
            assert (len(kept), stack.letters()) == (1, [])
            come_back(stack, kept)
            kept = invoke(stack, worker)
        assert kept == []
        assert stack.record("t") == record
        assert len(stack.letters()) == 1
        assert work.starts() == []


@pytest.mark.batch_statements
class TestADeadLetter:
    @pytest.fixture
    def monitor(self, stack: Stack, load: Load) -> Callable[[], None]:
        """Invocations by the dead-letter queue, one letter each, until it has no more to give."""
        module = load("monitor_dlq")

        def monitor() -> None:
            while letters := stack.receive(stack.dead_letter_queue_url):
                for letter in letters:
                    kept = module.handler(event_of([letter]), lambda_context(60_000))
                    if not kept["batchItemFailures"]:
                        stack.dead_letter_queue.delete(letter)

        return monitor

    @pytest.fixture
    def lines(self, caplog: pytest.LogCaptureFixture) -> Callable[[], int]:
        """How often the monitor logged a dead letter."""
        return lambda: sum(vars(one).get("eventType") == "DLQ_MESSAGE" for one in caplog.records)

    @pytest.mark.parametrize("times", [1, TRIES, 2 * TRIES], ids=["once", "to botocore", "to the worker"])
    def test_that_comes_more_than_once_is_dealt_with_once(
        self,
        stack: Stack,
        wire: Wire,
        worker: Worker,
        work: Work,
        monitor: Callable[[], None],
        lines: Callable[[], int],
        times: int,
    ) -> None:
        send(stack, stack.submit("t", "busy", work.bad, attempts=2))
        wire.lose("SendMessageBatch", "TypeError", times=times)
        kept = invoke(stack, worker)
        for _ in range(times // TRIES):
            # The worker does not insist: the message comes back, later each time, and brings the letter.
            assert len(kept) == 1
            come_back(stack, kept)
            kept = invoke(stack, worker)
        assert kept == []
        assert wire.delays() == [5, 10][: times // TRIES]
        assert messages(stack, stack.task_queue_url) == 0
        assert messages(stack, stack.dead_letter_queue_url) == times + 1
        monitor()
        assert lines() == 1
        assert messages(stack, stack.dead_letter_queue_url) == 0
        record = stack.record("t")
        assert record.dead_lettered_at is not None
        assert (record.attempts, record.version, work.starts()) == (3, 4, [3])

    @ONCE_AND_OFTEN
    def test_whose_mark_was_made_unseen_is_logged_once(
        self, stack: Stack, wire: Wire, monitor: Callable[[], None], lines: Callable[[], int], times: int
    ) -> None:
        task = stack.submit("t", status=Status.FAILED, attempts=3, error_message="bad")
        stack.dead_letter_queue.send(DeadLetter("t", 1, "bad", "c"))
        wire.lose(WRITE, "deadLetteredAt", times=times)
        monitor()
        record = stack.record("t")
        assert record.dead_lettered_at is not None
        assert (record.version, lines()) == (task.version + 1, 1)
        # Without any answer the letter stays, and the next run finds it dealt with.
        assert messages(stack, stack.dead_letter_queue_url) == (times == TRIES)
        stack.dead_letter_queue.send(DeadLetter("t", 1, "bad", "c"))
        monitor()
        assert (stack.record("t"), lines()) == (record, 1)

    @ONCE_AND_OFTEN
    def test_of_a_task_that_the_queue_gave_up_fails_it_once(
        self, stack: Stack, wire: Wire, monitor: Callable[[], None], lines: Callable[[], int], times: int
    ) -> None:
        task = stack.submit("t")
        redriven = TaskMessage.of(task)
        stack.dead_letter_queue.send(redriven)
        wire.lose(WRITE, '"FAILED"', times=times)
        monitor()
        if times == TRIES:
            assert stack.record("t").dead_lettered_at is None
            stack.dead_letter_queue.send(redriven)
            monitor()
        record = stack.record("t")
        assert record.dead_lettered_at is not None
        assert (record.status, record.version, lines()) == (Status.FAILED, 3, 1)

    @ONCE_AND_OFTEN
    def test_that_was_deleted_unseen_is_gone(
        self, stack: Stack, wire: Wire, load: Load, lines: Callable[[], int], times: int
    ) -> None:
        stack.submit("t", status=Status.FAILED, attempts=3, error_message="bad")
        stack.dead_letter_queue.send(DeadLetter("t", 1, "bad", "c"))
        wire.lose("DeleteMessage", times=times)
        load("monitor_dlq").handler({}, lambda_context(60_000))
        assert (lines(), messages(stack, stack.dead_letter_queue_url)) == (1, 0)


@pytest.mark.batch_statements
class TestARetry:
    @pytest.fixture
    def retry(self, load: Load) -> Callable[[], int]:
        module = load("retry_tasks")
        event = {
            "routeKey": "POST /tasks/{taskId}/retry",
            "rawPath": "/tasks/t/retry",
            "requestContext": {"http": {"method": "POST"}, "requestId": "r"},
            "pathParameters": {"taskId": "t"},
        }
        return lambda: module.handler(event, lambda_context())["statusCode"]

    @ONCE_AND_OFTEN
    @pytest.mark.parametrize("write", ["record", "message"])
    def test_starts_one_run(
        self,
        stack: Stack,
        wire: Wire,
        worker: Worker,
        work: Work,
        retry: Callable[[], int],
        write: str,
        times: int,
    ) -> None:
        task = stack.submit("t", "busy", work.good, status=Status.FAILED, attempts=3)
        wire.lose(*((WRITE, "unsentShard") if write == "record" else ("SendMessage",)), times=times)
        if times == TRIES:
            assert retry() == 503
        assert retry() == 202
        record = stack.record("t")
        assert (record.status, record.run, record.version) == (Status.PENDING, 2, task.version + 1)
        drain(stack, worker)
        record = stack.record("t")
        assert (record.status, record.run, record.attempts) == (Status.COMPLETED, 2, 1)
        assert work.starts() == [1]

    @ONCE_AND_OFTEN
    @pytest.mark.parametrize("call", ["SendMessageBatch", WRITE])
    def test_that_is_swept_runs_once(
        self,
        stack: Stack,
        wire: Wire,
        worker: Worker,
        work: Work,
        load: Load,
        call: str,
        times: int,
    ) -> None:
        stack.submit("t", "busy", work.good, status=Status.FAILED, attempts=3)
        assert stack.store.change(stack.record("t"), stack.record("t").restarted(clock.now() - 200_000))
        module = load("sweep_tasks")
        wire.lose(call, times=times)
        if times == TRIES:
            with pytest.raises(ConnectionClosedError):
                module.handler({}, lambda_context(60_000))
        module.handler({}, lambda_context(60_000))
        assert messages(stack, stack.task_queue_url) >= 1
        # Its place in the list of unsent tasks is at the end now.
        assert module.handler({}, lambda_context(60_000))["sent"] == 0
        drain(stack, worker)
        record = stack.record("t")
        assert (record.status, record.attempts, work.starts()) == (Status.COMPLETED, 1, [1])


@pytest.mark.batch_statements
@ONCE_AND_OFTEN
def test_a_message_that_was_put_off_unseen_comes_back_when_it_is_due(
    stack: Stack, wire: Wire, short_worker: Worker, work: Work, times: int
) -> None:
    send(stack, stack.submit("t", "busy", work.bad))
    wire.lose("ChangeMessageVisibilityBatch", times=times)
    before = time.monotonic()
    assert len(invoke(stack, short_worker)) == 1
    assert stack.record("t").status is Status.RETRYING
    wait_for(lambda: invoke(stack, short_worker), "the message, a second later")
    assert 0.8 < time.monotonic() - before < 10
    assert (stack.record("t").attempts, work.starts()) == (2, [1, 2])


class TestNoAnswerAtAll:
    """AWS is gone for the rest of the invocation."""

    @pytest.mark.batch_statements
    @pytest.mark.parametrize("call", ["read", "claim"])
    def test_to_a_claim_gives_the_message_back_unclaimed(
        self, stack: Stack, wire: Wire, short_worker: Worker, work: Work, call: str
    ) -> None:
        send(stack, stack.submit("t", "busy", work.good))
        before = stack.record("t")
        if call == "read":
            wire.cut.add("dynamodb")
        else:
            wire.cut_after("BatchGetItem", "", service="dynamodb")
        began = time.monotonic()
        assert len(invoke(stack, short_worker, SHORT)) == 1
        assert time.monotonic() - began < SHORT / 1000
        wire.mend()
        assert stack.record("t") == before
        assert work.starts() == []
        # Back after the first of the delays for messages that nobody could claim.
        assert wire.delays() == [5]
        assert messages(stack, stack.task_queue_url) == 1
        send(stack, before)
        assert invoke(stack, short_worker) == []
        assert (stack.record("t").attempts, work.starts()) == (1, [1])

    @pytest.mark.batch_statements
    def test_to_a_claim_that_was_made_counts_as_a_crash(
        self, stack: Stack, wire: Wire, short_worker: Worker, work: Work
    ) -> None:
        send(stack, stack.submit("t", "busy", work.good))
        wire.lose(WRITE, '"PROCESSING"', times=1)
        wire.cut_after(WRITE, '"PROCESSING"', service="dynamodb")
        assert len(invoke(stack, short_worker, SHORT)) == 1
        wire.mend()
        record = stack.record("t")
        assert (record.status, record.attempts, work.starts()) == (Status.PROCESSING, 1, [])
        assert messages(stack, stack.task_queue_url) == 1
        waiting_is_over(stack)
        assert invoke(stack, short_worker) == []
        record = stack.record("t")
        assert (record.status, record.attempts, work.starts()) == (Status.COMPLETED, 2, [2])

    @pytest.mark.batch_statements
    @pytest.mark.parametrize("outcome", ["good", "bad"])
    @pytest.mark.parametrize("made", [False, True], ids=["not made", "made"])
    def test_to_a_settlement_leaves_the_message_on_the_queue(
        self, stack: Stack, wire: Wire, short_worker: Worker, work: Work, outcome: str, made: bool
    ) -> None:
        send(stack, stack.submit("t", "busy", work.good if outcome == "good" else work.bad))
        settlement = '"COMPLETED"' if outcome == "good" else "TypeError"
        if made:
            wire.lose(WRITE, settlement, times=1)
        wire.cut_after(WRITE, settlement if made else '"PROCESSING"', service="dynamodb")
        began = time.monotonic()
        assert len(invoke(stack, short_worker, SHORT)) == 1
        assert time.monotonic() - began < SHORT / 1000
        wire.mend()
        assert messages(stack, stack.task_queue_url) == 1
        record = stack.record("t")
        settled = Status.COMPLETED if outcome == "good" else Status.RETRYING
        assert record.status is (settled if made else Status.PROCESSING)
        assert (record.attempts, work.starts()) == (1, [1])
        if record.status is Status.COMPLETED:
            send(stack, record)
            assert invoke(stack, short_worker) == []
            assert (stack.record("t"), work.starts()) == (record, [1])
        else:
            waiting_is_over(stack)
            invoke(stack, short_worker)
            assert (stack.record("t").attempts, work.starts()) == (2, [1, 2])

    @pytest.mark.batch_statements
    def test_to_a_dead_letter_leaves_the_message_on_the_queue(
        self, stack: Stack, wire: Wire, short_worker: Worker, work: Work
    ) -> None:
        send(stack, stack.submit("t", "busy", work.bad, attempts=2))
        wire.cut_after(WRITE, '"FAILED"', service="sqs")
        assert len(invoke(stack, short_worker, SHORT)) == 1
        wire.mend()
        record = stack.record("t")
        assert (record.status, stack.letters()) == (Status.FAILED, [])
        assert messages(stack, stack.task_queue_url) == 1
        send(stack, record)
        assert invoke(stack, short_worker) == []
        assert (stack.record("t"), len(stack.letters()), work.starts()) == (record, 1, [3])

    @pytest.mark.batch_statements
    def test_to_the_delay_of_a_message_leaves_its_neighbours_alone(
        self, stack: Stack, wire: Wire, worker: Worker, deadline: Deadline, work: Work
    ) -> None:
        send(stack, stack.submit("t", "busy", work.bad), stack.submit("neighbour", "busy", work.good))
        deliveries = stack.receive(stack.task_queue_url)
        bad = [delivery.message_id for delivery in deliveries if '"t"' in delivery.body]
        wire.cut.add("sqs")
        assert worker.work_off(deliveries, deadline) == bad
        assert stack.record("t").status is Status.RETRYING
        assert stack.record("neighbour").status is Status.COMPLETED

    def test_to_anything_keeps_every_message(
        self, stack: Stack, wire: Wire, short_worker: Worker, work: Work
    ) -> None:
        send(stack, stack.submit("t", "busy", work.good), stack.submit("u", "busy", work.good))
        deliveries = stack.receive(stack.task_queue_url)
        wire.cut |= {"dynamodb", "sqs"}
        kept = short_worker.work_off(deliveries, Deadline(SHORT))
        assert kept == [delivery.message_id for delivery in deliveries]
        wire.mend()
        assert [stack.record(task_id).attempts for task_id in ("t", "u")] == [0, 0]


class Hang:
    """A call that gets no answer until somebody ends it."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self._over = threading.Event()

    def __call__(self) -> None:
        """What happens to the call."""
        self.began.set()
        self._over.wait(20)

    def end(self) -> None:
        """It is answered."""
        self._over.set()


@pytest.fixture
def hang() -> Generator[Hang]:
    """Ends with the test, so that no thread waits for it any longer."""
    hang = Hang()
    yield hang
    hang.end()


#: The calls that a failed task's message leads to, by the attempts that it has behind it.
FAREWELLS = pytest.mark.parametrize(
    ("call", "attempts"),
    [("ChangeMessageVisibilityBatch", 0), ("SendMessageBatch", 2)],
    ids=["delay", "letter"],
)


@pytest.mark.batch_statements
class TestAQueueThatHangs:
    @FAREWELLS
    def test_holds_up_no_settlement(
        self, stack: Stack, wire: Wire, worker: Worker, work: Work, call: str, attempts: int
    ) -> None:
        bad = stack.submit("t", "busy", work.bad, attempts=attempts)
        send(stack, bad, stack.submit("neighbour", "busy", work.lasting(0.5)))
        settled: list[bool] = []

        def until_the_neighbour_is_settled() -> None:
            end = time.monotonic() + 3
            while not settled and time.monotonic() < end:
                settled.extend([True] * (stack.record("neighbour").status is Status.COMPLETED))

        wire.meanwhile(call, "", until_the_neighbour_is_settled)
        kept = invoke(stack, worker)
        assert settled
        assert len(kept) == (0 if attempts else 1)
        assert stack.record("t").status is (Status.FAILED if attempts else Status.RETRYING)

    def test_is_asked_once_for_all_that_come_too_late(
        self, stack: Stack, wire: Wire, worker: Worker, work: Work
    ) -> None:
        # A task may run 25 s, and 3 s have to be left after it: ten start, and the others are given back when the
        # first of those has ended.
        ids = stack.submit_many("busy", ["first"], work.lasting(1.2))
        ids += stack.submit_many("busy", [f"t{number}" for number in range(9)], work.lasting(1.6))
        late = stack.submit_many("busy", [f"late{number}" for number in range(90)], work.good)
        settled: list[bool] = []

        def until_the_others_are_settled() -> None:
            end = time.monotonic() + 3
            while not settled and time.monotonic() < end:
                records = stack.store.get_many(ids, consistent=True).tasks
                settled.extend([True] * all(record.status is Status.COMPLETED for record in records))

        wire.meanwhile("ChangeMessageVisibilityBatch", "late0", until_the_others_are_settled)
        wire.lose("ChangeMessageVisibilityBatch", times=TRIES)
        kept = worker.work_off([message_of(task_id) for task_id in ids + late], Deadline(29_000))
        assert settled
        assert kept == [f"message of {task_id}" for task_id in late]
        assert wire.calls()["ChangeMessageVisibilityBatch"] == TRIES

    @FAREWELLS
    def test_is_waited_for_until_a_second_before_the_end(
        self, stack: Stack, wire: Wire, short_worker: Worker, work: Work, hang: Hang, call: str, attempts: int
    ) -> None:
        send(stack, stack.submit("t", "busy", work.bad, attempts=attempts))
        wire.meanwhile(call, "", hang)
        deliveries = stack.receive(stack.task_queue_url)
        deadline = Deadline(SHORT)
        assert short_worker.work_off(deliveries, deadline) == [deliveries[0].message_id]
        assert 500 < deadline.remaining() <= 1000
        hang.end()
        if attempts:
            # The letter was sent, and nobody waited for the answer: the next delivery brings it again.
            assert short_worker.work_off(deliveries, Deadline(SHORT)) == []
            assert len(stack.letters()) == 2

    def test_gets_nothing_more_after_the_end(
        self, stack: Stack, wire: Wire, short_worker: Worker, work: Work, hang: Hang
    ) -> None:
        send(stack, stack.submit("t", "busy", work.bad))
        # Fails when its 0.3 s are over, so its letter comes after the other's delay.
        send(stack, stack.submit("doomed", "busy", work.lasting(9), attempts=2))
        wire.meanwhile("ChangeMessageVisibilityBatch", "", hang)
        assert len(invoke(stack, short_worker, SHORT)) == 2
        assert stack.record("doomed").status is Status.FAILED
        hang.end()
        # Only what the next invocation asks for comes after it.
        stack.submit("u", "busy", work.bad, attempts=2)
        assert short_worker.work_off([message_of("u", "busy")], Deadline(SHORT)) == []
        assert [json.loads(letter)["taskId"] for letter in stack.letters()] == ["u"]

    @FAREWELLS
    def test_or_answers_what_nobody_expects_keeps_the_message(
        self, stack: Stack, wire: Wire, worker: Worker, work: Work, call: str, attempts: int
    ) -> None:
        def act() -> None:
            raise RuntimeError("what is this?")

        bad = stack.submit("t", "busy", work.bad, attempts=attempts)
        send(stack, bad, stack.submit("neighbour", "busy", work.good))
        wire.meanwhile(call, "", act)
        kept = invoke(stack, worker)
        assert [TaskMessage.parse(delivery.body).task_id for delivery in kept] == ["t"]
        assert stack.record("neighbour").status is Status.COMPLETED


@pytest.mark.batch_statements
class TestAStatement:
    """One of a call that is answered, and it alone is not carried out, or nobody says that it was."""

    def test_that_claims_and_is_throttled_gives_its_message_back(
        self, stack: Stack, wire: Wire, worker: Worker, work: Work
    ) -> None:
        send(stack, stack.submit("t", "busy", work.good), stack.submit("neighbour", "busy", work.good))
        before = stack.record("t")
        wire.refuse_part(WRITE, '"t"', code="ThrottlingError")
        kept = invoke(stack, worker)
        assert [TaskMessage.parse(delivery.body).task_id for delivery in kept] == ["t"]
        assert wire.delays() == [5]
        assert stack.record("t") == before
        assert (stack.record("neighbour").status, work.starts("neighbour")) == (Status.COMPLETED, [1])
        come_back(stack, kept)
        assert invoke(stack, worker) == []
        record = stack.record("t")
        assert (record.status, record.attempts, work.starts()) == (Status.COMPLETED, 1, [1])

    def test_that_claims_and_is_denied_though_it_was_made_is_known_and_run(
        self, stack: Stack, wire: Wire, worker: Worker, work: Work
    ) -> None:
        send(stack, stack.submit("t", "busy", work.good))
        wire.refuse_part(WRITE, '"PROCESSING"', code="InternalServerError", made=True)
        assert invoke(stack, worker) == []
        record = stack.record("t")
        assert (record.status, record.attempts, record.version) == (Status.COMPLETED, 1, 3)
        assert work.starts() == [1]

    @pytest.mark.parametrize("made", [False, True], ids=["not made", "made"])
    @pytest.mark.parametrize("code", ["ThrottlingError", "InternalServerError"])
    def test_that_settles_is_sent_again_while_its_neighbours_go_on(
        self, stack: Stack, wire: Wire, worker: Worker, work: Work, code: str, made: bool
    ) -> None:
        # More than run at once: some are claimed only when others have ended.
        ids = stack.submit_many("busy", [f"t{number}" for number in range(15)], work.good)
        wire.refuse_part(WRITE, '"COMPLETED"', code=code, times=2, made=made)
        assert worker.work_off([message_of(task_id) for task_id in ids], Deadline(30_000)) == []
        for task_id in ids:
            record = stack.record(task_id)
            assert (record.status, record.attempts, record.version) == (Status.COMPLETED, 1, 3)
            assert work.starts(task_id) == [1]
        calls = [call["Statements"] for call in wire.bodies(WRITE)]
        refused = next(statement for statements in calls for statement in statements if completes(statement))
        first, second, *_ = [place for place, statements in enumerate(calls) if refused in statements]
        assert [statements for statements in calls[first + 1 : second] if not any(map(completes, statements))]

    @pytest.mark.parametrize(
        ("code", "outcome"),
        [
            ("ThrottlingError", "completed"),
            ("ThrottlingError", "failed"),
            ("ValidationError", "completed"),
            ("ValidationError", "retrying"),
            ("ValidationError", "failed"),
        ],
    )
    def test_that_settles_and_is_never_let_through_leaves_the_message_on_the_queue(
        self, stack: Stack, wire: Wire, short_worker: Worker, work: Work, outcome: str, code: str
    ) -> None:
        attempts = 2 if outcome == "failed" else 0
        stack.submit("t", "busy", work.good if outcome == "completed" else work.bad, attempts=attempts)
        send(stack, stack.record("t"))
        texts = {"completed": '"COMPLETED"', "retrying": "TypeError", "failed": '"FAILED"'}
        wire.refuse_part(WRITE, texts[outcome], code=code, times=FOREVER)
        assert len(invoke(stack, short_worker, SHORT)) == 1
        # What can pass is tried again, what is refused is not.
        assert (wire.calls()[WRITE] > 2) == (code == "ThrottlingError")
        record = stack.record("t")
        assert (record.status, work.starts()) == (Status.PROCESSING, [attempts + 1])
        # Neither deleted, nor put off, nor buried: the record does not say what became of it.
        assert (messages(stack, stack.task_queue_url), wire.delays(), stack.letters()) == (1, [], [])

    def test_that_gives_a_task_up_and_is_throttled_gives_its_message_back(
        self, stack: Stack, wire: Wire, worker: Worker, work: Work
    ) -> None:
        send(stack, crashed(stack, work.good, attempts=3))
        wire.refuse_part(WRITE, '"FAILED"', code="ThrottlingError")
        kept = invoke(stack, worker)
        assert (len(kept), wire.delays(), stack.letters()) == (1, [5], [])
        come_back(stack, kept)
        assert invoke(stack, worker) == []
        assert (stack.record("t").status, len(stack.letters())) == (Status.FAILED, 1)


def completes(statement: dict[str, Any]) -> bool:
    return {"S": "COMPLETED"} in statement["Parameters"]


@pytest.mark.batch_statements
class TestAnEntry:
    """One message of a call to a queue, refused inside an answer."""

    def test_that_is_a_dead_letter_is_sent_by_itself(
        self, stack: Stack, wire: Wire, worker: Worker, work: Work
    ) -> None:
        ids = stack.submit_many("busy", ["t", "neighbour"], work.bad, attempts=2)
        wire.refuse_part("SendMessageBatch", 't\\"', code="InternalFailure")
        assert worker.work_off([message_of(task_id) for task_id in ids], Deadline(30_000)) == []
        assert sorted(json.loads(letter)["taskId"] for letter in stack.letters()) == ["neighbour", "t"]

    def test_that_is_a_dead_letter_and_has_no_answer_keeps_its_message(
        self, stack: Stack, wire: Wire, worker: Worker, work: Work
    ) -> None:
        send(stack, stack.submit("t", "busy", work.bad, attempts=2))
        wire.refuse_part("SendMessageBatch", "TypeError", code="InternalFailure")
        wire.refuse("SendMessage", code="InternalFailure", times=TRIES)
        kept = invoke(stack, worker)
        assert (len(kept), stack.letters(), wire.delays()) == (1, [], [5])
        come_back(stack, kept)
        assert invoke(stack, worker) == []
        assert len(stack.letters()) == 1

    def test_that_puts_a_message_off_leaves_the_others_put_off(
        self, stack: Stack, wire: Wire, short_worker: Worker, work: Work
    ) -> None:
        send(stack, *(stack.submit(task_id, "busy", work.bad) for task_id in ("t", "neighbour")))
        wire.refuse_part("ChangeMessageVisibilityBatch", '"Id": "0"', code="InternalFailure")
        assert len(invoke(stack, short_worker)) == 2
        # The other one comes when it is due; this one, when its visibility timeout is over.
        (delivery,) = stack.wait_for_messages(stack.task_queue_url)
        assert delivery.receives == 2
