"""What the worker does with deliveries: each row of the delivery table, and each way that an attempt can end."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tasklib import clock
from tasklib.clock import Deadline
from tasklib.task import Status, TaskData
from tasklib.task_processes import TaskProcesses
from tasklib.worker import Worker, WorkerSettings

from tests.waiting import wait_for

from . import ENVIRONMENT
from .conftest import Stack, a_task


def payload(**fields: object) -> str:
    return json.dumps(fields)


def data(**fields: object) -> TaskData:
    return TaskData("payload", json.dumps(fields))


def _has_ended(pid: int) -> bool:
    """Gone, or a zombie that nobody has waited for yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


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

    @pytest.mark.parametrize("task_type", ["inexpressible", "endlessly-wordy"])
    def test_that_fails_for_good_does_so_whatever_its_error_is(
        self, stack: Stack, worker: Worker, deadline: Deadline, task_type: str
    ) -> None:
        worker.work_off(stack.deliver(stack.submit("t", task_type)), deadline)
        assert stack.record("t").status is Status.FAILED
        assert len(stack.record("t").error_message or "") <= 1000

    @pytest.mark.parametrize("task_type", ["unspeakable", "verbose", "deep"])
    def test_whose_result_cannot_be_kept_fails_for_good(
        self, stack: Stack, worker: Worker, deadline: Deadline, task_type: str
    ) -> None:
        worker.work_off(stack.deliver(stack.submit("t", task_type)), deadline)
        assert stack.record("t").status is Status.FAILED
        assert "the task's result" in (stack.record("t").error_message or "")


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

    def test_holds_for_processes_outside_of_the_group(
        self, stack: Stack, worker: Worker, deadline: Deadline, tmp_path: Path
    ) -> None:
        work = payload(diary=str(tmp_path))
        tasks = [stack.submit("daemonic", "daemonic", work), stack.submit("detached", "detached", work)]
        began = time.monotonic()
        worker.work_off(stack.deliver(*tasks), deadline)
        assert stack.record("daemonic").status is Status.COMPLETED
        assert stack.record("detached").status is Status.RETRYING
        time.sleep(max(0, began + 1.5 - time.monotonic()))
        assert not (tmp_path / "late").exists()

    def test_ends_early_enough_to_settle_when_aws_was_slow(
        self, stack: Stack, processes: TaskProcesses, tmp_path: Path
    ) -> None:
        def slow(**_: object) -> None:
            time.sleep(1.5)

        stack.submit("t", "busy", payload(diary=str(tmp_path), seconds=20))
        deliveries = stack.deliver(stack.record("t"))
        stack.dynamodb.meta.events.register("before-call.dynamodb.UpdateItem", slow)
        short = Worker(
            stack.store,
            stack.task_queue,
            stack.dead_letter_queue,
            processes,
            WorkerSettings.from_environment(ENVIRONMENT | {"WORKER_TIMEOUT_SECONDS": "7"}),
        )
        deadline = Deadline(5_200)
        try:
            short.work_off(deliveries, deadline)
        finally:
            stack.dynamodb.meta.events.unregister("before-call.dynamodb.UpdateItem", slow)
        assert deadline.remaining() > 0
        assert stack.record("t").status is Status.RETRYING


class TestAProcess:
    @pytest.mark.parametrize("what", ["alarm", "directory", "environment", "umask"])
    def test_that_a_task_left_untidy_is_not_used_again(self, processes: TaskProcesses, what: str) -> None:
        with processes.lend() as process:
            processes.run(process, a_task("t", "untidy"), data(what=what), 5)
        assert not process.alive

    def test_is_used_again_after_a_success_and_not_after_a_failure(self, processes: TaskProcesses) -> None:
        task = a_task("t", "process")
        with processes.lend() as process:
            first = processes.run(process, task, data(), 5)
        with processes.lend() as process:
            second = processes.run(process, task, data(fail=True), 5)
        with processes.lend() as process:
            third = processes.run(process, task, data(), 5)
        assert second.error == "RuntimeError: told to"
        assert first.result != third.result

    def test_can_be_had_after_the_fork_server_and_an_idle_process_died_together(
        self, processes: TaskProcesses
    ) -> None:
        with processes.lend() as process:
            pass
        parent = int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(process.pid, signal.SIGKILL)
        os.kill(parent, signal.SIGKILL)
        wait_for(lambda: _has_ended(parent), "the end of the fork server")
        for _ in range(2):
            with processes.lend() as process:
                ending = processes.run(process, a_task("t", "process"), data(), 5)
            assert ending.result == str(process.pid)

    def test_shows_what_a_task_printed_before_it_died(self) -> None:
        code = (
            "from tasklib.task_processes import TaskProcesses\n"
            "from tests.functions.test_worker import data\n"
            "from tests.functions.conftest import a_task\n"
            "processes = TaskProcesses()\n"
            "with processes.lend() as process:\n"
            "    processes.run(process, a_task('t', 'chatty'), data(), 5)\n"
        )
        root = Path(__file__).resolve().parents[2]
        paths = [Path(__file__).parent / "sample_types", root / "functions", root]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
        environment.pop("PYTHONUNBUFFERED", None)
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        assert "printed by a task" in done.stderr


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

    def test_that_names_another_type_runs_under_that_of_its_record(
        self, stack: Stack, worker: Worker, deadline: Deadline
    ) -> None:
        stack.submit("t", "stubborn", attempts=1)
        for task_type in ("gone", "echo"):
            body = json.dumps({"taskId": "t", "run": 1, "type": task_type, "correlationId": "c"})
            worker.work_off(stack.deliver(body), deadline)
        assert stack.record("t").error_message == "RuntimeError: as ever"

    @pytest.mark.parametrize("run", ["true", "0", "-1", "1.5", "1" * 40])
    def test_with_a_run_that_is_none_is_dead_lettered(
        self, stack: Stack, worker: Worker, deadline: Deadline, run: str
    ) -> None:
        stack.submit("t")
        assert worker.work_off(stack.deliver(f'{{"taskId":"t","run":{run},"type":"echo"}}'), deadline) == []
        assert len(stack.letters()) == 1

    def test_of_an_unknown_type_is_buried(self, stack: Stack, worker: Worker, deadline: Deadline) -> None:
        assert worker.work_off(stack.deliver(stack.submit("t", "gone")), deadline) == []
        record = stack.record("t")
        assert (record.status, record.attempts) == (Status.FAILED, 0)
        assert record.error_message == "unknown task type 'gone'"
        assert len(stack.letters()) == 1
