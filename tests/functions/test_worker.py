"""What the worker does with deliveries: each row of the delivery table, and each way that an attempt can end."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from tasklib import clock
from tasklib.clock import Deadline
from tasklib.task import Status
from tasklib.worker import Worker

from .conftest import Stack


def payload(**fields: object) -> str:
    return json.dumps(fields)


def visible_in(stack: Stack, url: str) -> int:
    """Messages that are on the queue but not visible yet."""
    answer = stack.sqs.get_queue_attributes(
        QueueUrl=url, AttributeNames=["ApproximateNumberOfMessagesNotVisible"]
    )
    return int(answer["Attributes"]["ApproximateNumberOfMessagesNotVisible"])


class TestAnAttempt:
    def test_that_returns_completes_the_task_with_its_result(
        self, stack: Stack, worker: Worker, deadline: Deadline
    ) -> None:
        deliveries = stack.deliver(stack.submit("t", payload=payload(n=1)))
        assert worker.work_off(deliveries, deadline) == []
        record = stack.record("t")
        assert (record.status, record.attempts, record.version) == (Status.COMPLETED, 1, 3)
        assert json.loads(record.result or "") == {
            "data": {"n": 1},
            "attempt": ["t", 1, 1, "correlation-t"],
        }
        assert record.lease_until is None

    def test_gets_data_that_is_kept_beside_the_record(
        self, stack: Stack, worker: Worker, deadline: Deadline
    ) -> None:
        text = payload(long="ü" * 2000)
        deliveries = stack.deliver(stack.submit("t", payload=text))
        worker.work_off(deliveries, deadline)
        assert json.loads(stack.record("t").result or "")["data"] == json.loads(text)

    def test_that_raises_is_retried_after_its_backoff(
        self, stack: Stack, worker: Worker, deadline: Deadline
    ) -> None:
        deliveries = stack.deliver(stack.submit("t", "failing"))
        before = clock.now()
        assert worker.work_off(deliveries, deadline) == [deliveries[0].message_id]
        record = stack.record("t")
        assert (record.status, record.attempts) == (Status.RETRYING, 1)
        assert record.error_message == "RuntimeError: attempt 1 failed"
        assert 1800 <= (record.not_before or 0) - before <= 2200 + clock.now() - before
        assert stack.receive(stack.task_queue_url) == []
        assert stack.receive(stack.task_queue_url, WaitTimeSeconds=4)[0].receives == 2

    def test_that_is_the_last_ends_in_the_dead_letter_queue(
        self, stack: Stack, worker: Worker, deadline: Deadline
    ) -> None:
        deliveries = stack.deliver(stack.submit("t", "failing", attempts=2))
        assert worker.work_off(deliveries, deadline) == []
        record = stack.record("t")
        assert (record.status, record.attempts) == (Status.FAILED, 3)
        assert [json.loads(letter) for letter in stack.letters()] == [
            {
                "taskId": "t",
                "run": 1,
                "reason": "RuntimeError: attempt 3 failed",
                "correlationId": "correlation-t",
            }
        ]

    def test_that_fails_for_good_is_not_retried(
        self, stack: Stack, worker: Worker, deadline: Deadline
    ) -> None:
        assert worker.work_off(stack.deliver(stack.submit("t", "hopeless")), deadline) == []
        record = stack.record("t")
        assert (record.status, record.attempts) == (Status.FAILED, 1)
        assert record.error_message == "PermanentError: no use"
        assert len(stack.letters()) == 1

    def test_runs_under_what_its_type_states(self, stack: Stack, worker: Worker, deadline: Deadline) -> None:
        before = clock.now()
        worker.work_off(stack.deliver(stack.submit("first", "stubborn")), deadline)
        worker.work_off(stack.deliver(stack.submit("second", "stubborn", attempts=1)), deadline)
        assert (stack.record("first").not_before or 0) - before >= 3600
        assert stack.record("second").status is Status.FAILED

    def test_without_its_data_fails_for_good(self, stack: Stack, worker: Worker, deadline: Deadline) -> None:
        task = stack.submit("t", payload=payload(long="x" * 2000))
        key = {"taskId": {"S": "t"}, "part": {"S": f"data#{task.content_hash}"}}
        stack.dynamodb.delete_item(TableName=stack.table, Key=key)
        assert worker.work_off(stack.deliver(task), deadline) == []
        assert stack.record("t").error_message == "task data missing"
        assert len(stack.letters()) == 1

    @pytest.mark.parametrize(
        ("task_type", "error"),
        [
            ("suicidal", "ProcessDied: the task's process was ended by SIGKILL"),
            ("patricidal", "TimeLimitExceeded: still running after 1 s"),
            ("leaving", "SystemExit: 3"),
            ("garbled", "ValueError: half a pair: ? and much more: yyy"),
        ],
    )
    def test_that_ends_oddly_is_a_failed_attempt(
        self, stack: Stack, worker: Worker, deadline: Deadline, task_type: str, error: str
    ) -> None:
        worker.work_off(stack.deliver(stack.submit("t", task_type)), deadline)
        record = stack.record("t")
        assert record.status is Status.RETRYING
        assert (record.error_message or "").startswith(error)
        assert len(record.error_message or "") <= 1000
        # And the next attempt finds a process to run in.
        worker.work_off(stack.deliver(stack.submit("next")), Deadline(30_000))
        assert stack.record("next").status is Status.COMPLETED

    @pytest.mark.parametrize("task_type", ["unspeakable", "verbose"])
    def test_whose_result_cannot_be_kept_fails_for_good(
        self, stack: Stack, worker: Worker, deadline: Deadline, task_type: str
    ) -> None:
        worker.work_off(stack.deliver(stack.submit("t", task_type)), deadline)
        assert stack.record("t").status is Status.FAILED
        assert "the task's result is" in (stack.record("t").error_message or "")


class TestATimeLimit:
    def test_ends_the_attempt_and_all_that_it_started(
        self, stack: Stack, worker: Worker, deadline: Deadline, tmp_path: Path
    ) -> None:
        task = stack.submit("slow", "endless", payload(diary=str(tmp_path)))
        neighbour = stack.submit("quick")
        began = time.monotonic()
        kept = worker.work_off(stack.deliver(task, neighbour), deadline)
        assert len(kept) == 1
        assert time.monotonic() - began < 1.4
        assert stack.record("slow").error_message == "TimeLimitExceeded: still running after 0.5 s"
        assert stack.record("quick").status is Status.COMPLETED
        # The file would appear 1.5 s after the start, from the task itself or from the process it started.
        time.sleep(max(0, began + 2 - time.monotonic()))
        assert not (tmp_path / "late").exists()

    def test_counts_threads_that_outlive_their_task(
        self, stack: Stack, worker: Worker, deadline: Deadline, tmp_path: Path
    ) -> None:
        worker.work_off(stack.deliver(stack.submit("t", "lingering", payload(diary=str(tmp_path)))), deadline)
        assert stack.record("t").status is Status.COMPLETED
        time.sleep(0.8)
        assert not (tmp_path / "late").exists()

    def test_that_does_not_fit_into_the_invocation_sends_the_message_back_unclaimed(
        self, stack: Stack, worker: Worker
    ) -> None:
        deliveries = stack.deliver(stack.submit("t"))
        assert worker.work_off(deliveries, Deadline(27_000)) == [deliveries[0].message_id]
        assert stack.record("t").attempts == 0
        assert visible_in(stack, stack.task_queue_url) == 1


class TestABatch:
    def test_runs_side_by_side(
        self, stack: Stack, worker: Worker, deadline: Deadline, tmp_path: Path
    ) -> None:
        work = payload(diary=str(tmp_path), seconds=0.5)
        tasks = [stack.submit(f"t{n}", "busy", work) for n in range(10)]
        assert worker.work_off(stack.deliver(*tasks), deadline) == []
        running, most = 0, 0
        for line in sorted((tmp_path / "diary").read_text().splitlines()):
            running += 1 if line.endswith("start") else -1
            most = max(most, running)
        assert most == 10

    def test_is_not_harmed_by_a_bad_message(self, stack: Stack, worker: Worker, deadline: Deadline) -> None:
        good = stack.submit("good")
        unknown = '{"taskId": "nobody", "run": 1, "type": "echo", "correlationId": "c"}'
        assert worker.work_off(stack.deliver("no JSON", unknown, good), deadline) == []
        assert stack.record("good").status is Status.COMPLETED
        letters = sorted(json.loads(letter)["reason"] for letter in stack.letters())
        assert letters == ["no such task", "not a task message: not JSON"]

    def test_runs_suspects_last_and_alone(
        self, stack: Stack, worker: Worker, deadline: Deadline, tmp_path: Path
    ) -> None:
        work = payload(diary=str(tmp_path), seconds=0.2)
        crashed = {"status": Status.PROCESSING, "attempts": 1, "lease_until": clock.now() - 1}
        suspects = [stack.submit(f"suspect{n}", "busy", work, **crashed) for n in range(2)]
        fresh = [stack.submit(f"fresh{n}", "busy", work) for n in range(2)]
        assert worker.work_off(stack.deliver(*suspects, *fresh), deadline) == []
        lines = [line.split() for line in sorted((tmp_path / "diary").read_text().splitlines())]
        assert {task_id for _, task_id, _, _ in lines[:4]} == {"fresh0", "fresh1"}
        assert [what for _, _, _, what in lines[4:]] == ["start", "end", "start", "end"]
        assert stack.record("suspect0").attempts == 2


class TestADelivery:
    """Of a task that cannot be claimed."""

    def test_of_another_run_is_deleted(self, stack: Stack, worker: Worker, deadline: Deadline) -> None:
        task = stack.submit("t", run=2)
        old = json.dumps({"taskId": "t", "run": 1, "type": "echo", "correlationId": "c"})
        assert worker.work_off(stack.deliver(old), deadline) == []
        assert stack.record("t").version == task.version

    @pytest.mark.parametrize(
        "fields",
        [
            {"status": Status.COMPLETED, "attempts": 1},
            {"status": Status.FAILED, "attempts": 3, "dead_lettered_at": 1},
        ],
    )
    def test_of_a_task_that_has_ended_is_deleted(
        self, stack: Stack, worker: Worker, deadline: Deadline, fields: dict[str, Any]
    ) -> None:
        task = stack.submit("t", **fields)
        assert worker.work_off(stack.deliver(task), deadline) == []
        assert stack.record("t").version == task.version
        assert stack.letters() == []

    def test_of_a_failed_task_sends_the_dead_letter_again(
        self, stack: Stack, worker: Worker, deadline: Deadline
    ) -> None:
        task = stack.submit("t", status=Status.FAILED, attempts=3, error_message="bad")
        assert worker.work_off(stack.deliver(task), deadline) == []
        assert json.loads(stack.letters()[0])["reason"] == "bad"

    def test_under_a_live_lease_goes_back_until_it_ends(
        self, stack: Stack, worker: Worker, deadline: Deadline
    ) -> None:
        task = stack.submit("t", status=Status.PROCESSING, attempts=1, lease_until=clock.now() + 1500)
        deliveries = stack.deliver(task)
        assert worker.work_off(deliveries, deadline) == [deliveries[0].message_id]
        assert stack.record("t").version == task.version
        # Visible 2 s later, a whole number of seconds and not before the lease is over.
        again = stack.receive(stack.task_queue_url, WaitTimeSeconds=4)
        assert worker.work_off(again, Deadline(30_000)) == []
        assert stack.record("t").status is Status.COMPLETED

    def test_before_it_is_due_goes_back_until_it_is(
        self, stack: Stack, worker: Worker, deadline: Deadline
    ) -> None:
        task = stack.submit("t", status=Status.RETRYING, attempts=1, not_before=clock.now() + 1500)
        deliveries = stack.deliver(task)
        assert worker.work_off(deliveries, deadline) == [deliveries[0].message_id]
        assert stack.record("t").attempts == 1
        again = stack.receive(stack.task_queue_url, WaitTimeSeconds=4)
        assert worker.work_off(again, Deadline(30_000)) == []
        assert stack.record("t").attempts == 2

    def test_with_no_attempts_left_after_a_crash_is_buried(
        self, stack: Stack, worker: Worker, deadline: Deadline
    ) -> None:
        task = stack.submit("t", status=Status.PROCESSING, attempts=3, lease_until=clock.now() - 1)
        assert worker.work_off(stack.deliver(task), deadline) == []
        record = stack.record("t")
        assert (record.status, record.attempts) == (Status.FAILED, 3)
        assert record.error_message == "the worker died during attempt 3, and no attempts are left"
        assert len(stack.letters()) == 1

    def test_of_an_unknown_type_is_buried(self, stack: Stack, worker: Worker, deadline: Deadline) -> None:
        assert worker.work_off(stack.deliver(stack.submit("t", "gone")), deadline) == []
        record = stack.record("t")
        assert (record.status, record.attempts) == (Status.FAILED, 0)
        assert record.error_message == "unknown task type 'gone'"
        assert len(stack.letters()) == 1
